#include "schema.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

namespace tidemark::trace {
namespace {

// Numbers of the enumerations in types.h, as text.
#define LAYER_TEXT(column)                                                        \
  "CASE " column                                                                  \
  " WHEN 0 THEN 'os' WHEN 1 THEN 'heap' WHEN 2 THEN 'driver' WHEN 3 THEN 'pool' " \
  "END"
#define SPACE_TEXT(column) \
  "CASE " column           \
  " WHEN 0 THEN 'host' WHEN 1 THEN 'pinned' WHEN 2 THEN 'managed' WHEN 3 THEN 'device' END"
#define STRING_TEXT(column) "(SELECT text FROM string WHERE string.id=" column ")"

constexpr SchemaObject kTables[] = {
    {"table", "meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"},
    {"table", "string", "CREATE TABLE string(id INTEGER PRIMARY KEY, text TEXT)"},
    {"table", "loss_row",
     "CREATE TABLE loss_row(name TEXT PRIMARY KEY, severity INTEGER, count INTEGER) WITHOUT "
     "ROWID"},
    {"table", "process",
     "CREATE TABLE process(id INTEGER PRIMARY KEY, pid INTEGER, parent_id INTEGER, command TEXT, "
     "start_ns INTEGER, end_ns INTEGER, exit INTEGER, rank INTEGER)"},
    {"table", "thread",
     "CREATE TABLE thread(id INTEGER PRIMARY KEY, process_id INTEGER, tid INTEGER, name TEXT)"},
    {"table", "module",
     "CREATE TABLE module(id INTEGER PRIMARY KEY, process_id INTEGER, path TEXT, build_id TEXT, "
     "base INTEGER, start INTEGER, \"end\" INTEGER, loaded_ns INTEGER, unloaded_ns INTEGER)"},
    {"table", "stack",
     "CREATE TABLE stack(id INTEGER PRIMARY KEY, process_id INTEGER, node_id INTEGER)"},
    {"table", "stack_node",
     "CREATE TABLE stack_node(id INTEGER PRIMARY KEY, parent_id INTEGER, location_id INTEGER)"},
    {"table", "location",
     "CREATE TABLE location(id INTEGER PRIMARY KEY, kind INTEGER, function_id INTEGER, file_id "
     "INTEGER, line INTEGER, module_id INTEGER, inlined INTEGER)"},
    {"table", "host_chunk",
     "CREATE TABLE host_chunk(id INTEGER PRIMARY KEY, kind INTEGER, rows INTEGER, first_id "
     "INTEGER, last_id INTEGER, begin_ns INTEGER, last_ns INTEGER, end_ns INTEGER, layers INTEGER, "
     "data BLOB)"},
    {"table", "device_allocation_row",
     "CREATE TABLE device_allocation_row(id INTEGER PRIMARY KEY, process_id INTEGER, thread_id "
     "INTEGER, layer INTEGER, space INTEGER, device INTEGER, address INTEGER, size INTEGER, "
     "alloc_ns INTEGER, lifetime_ns INTEGER, alloc_stack_id INTEGER, free_stack_id INTEGER, api_id "
     "INTEGER, source_id INTEGER)"},
    {"table", "transfer_row",
     "CREATE TABLE transfer_row(id INTEGER PRIMARY KEY, process_id INTEGER, device INTEGER, stream "
     "INTEGER, kind INTEGER, bytes INTEGER, src_space INTEGER, dst_space INTEGER, src_address "
     "INTEGER, dst_address INTEGER, start_ns INTEGER, duration_ns INTEGER, correlation_id INTEGER, "
     "stack_id INTEGER)",
     1, 4},
    {"table", "memset_row",
     "CREATE TABLE memset_row(id INTEGER PRIMARY KEY, process_id INTEGER, device INTEGER, stream "
     "INTEGER, address INTEGER, bytes INTEGER, start_ns INTEGER, duration_ns INTEGER, "
     "correlation_id INTEGER, stack_id INTEGER)",
     1, 4},
    {"table", "kernel_row",
     "CREATE TABLE kernel_row(id INTEGER PRIMARY KEY, process_id INTEGER, device INTEGER, stream "
     "INTEGER, name_id INTEGER, start_ns INTEGER, duration_ns INTEGER, correlation_id INTEGER, "
     "graph_id INTEGER, stack_id INTEGER)"},
    {"table", "marker_row",
     "CREATE TABLE marker_row(id INTEGER PRIMARY KEY, process_id INTEGER, thread_id INTEGER, "
     "domain_id INTEGER, name_id INTEGER, start_ns INTEGER, duration_ns INTEGER)"},
    {"table", "pool_reserved",
     "CREATE TABLE pool_reserved(process_id INTEGER, device INTEGER, time_ns INTEGER, "
     "reserved_bytes INTEGER)"},
    {"table", "out_of_memory_row",
     "CREATE TABLE out_of_memory_row(id INTEGER PRIMARY KEY, process_id INTEGER, thread_id "
     "INTEGER, "
     "device INTEGER, layer INTEGER, time_ns INTEGER, requested_bytes INTEGER, allocated_bytes "
     "INTEGER, reserved_bytes INTEGER, stack_id INTEGER)"},
};

constexpr SchemaObject kViews[] = {
    {"view", "loss",
     "CREATE VIEW loss AS SELECT name, CASE severity WHEN 0 THEN 'info' WHEN 1 THEN 'data_loss' "
     "WHEN 2 THEN 'error' END AS severity, count FROM loss_row"},
    {"view", "device_allocation",
     "CREATE VIEW device_allocation AS SELECT id, process_id, thread_id, " LAYER_TEXT("layer")  //
     " AS layer, " SPACE_TEXT("space")                                                          //
     " AS space, device, address, size, alloc_ns, alloc_ns+lifetime_ns AS free_ns, "
     "alloc_stack_id, free_stack_id, " STRING_TEXT("api_id")  //
     " AS api, " STRING_TEXT("source_id") " AS source FROM device_allocation_row"},
    {"view", "transfer",
     "CREATE VIEW transfer AS SELECT id, process_id, device, stream, CASE kind WHEN 0 THEN 'HtoD' "
     "WHEN 1 THEN 'DtoH' WHEN 2 THEN 'DtoD' WHEN 3 THEN 'PtoP' WHEN 4 THEN 'HtoH' END AS kind, "
     "bytes, " SPACE_TEXT("src_space") " AS src_space, " SPACE_TEXT("dst_space")  //
     " AS dst_space, src_address, dst_address, start_ns, start_ns+duration_ns AS end_ns, "
     "correlation_id, stack_id FROM transfer_row",
     1, 4},
    {"view", "memset",
     "CREATE VIEW memset AS SELECT id, process_id, device, stream, address, bytes, start_ns, "
     "start_ns+duration_ns AS end_ns, correlation_id, stack_id FROM memset_row",
     1, 4},
    {"view", "kernel",
     "CREATE VIEW kernel AS SELECT id, process_id, device, stream, " STRING_TEXT("name_id")  //
     " AS name, start_ns, start_ns+duration_ns AS end_ns, correlation_id, graph_id, stack_id FROM "
     "kernel_row"},
    {"view", "marker",
     "CREATE VIEW marker AS SELECT id, process_id, thread_id, " STRING_TEXT("domain_id")  //
     " AS domain, " STRING_TEXT("name_id")                                                //
     " AS name, start_ns, start_ns+duration_ns AS end_ns FROM marker_row"},
    {"view", "out_of_memory",
     "CREATE VIEW out_of_memory AS SELECT id, process_id, thread_id, device, " LAYER_TEXT(
         "layer") " AS layer, time_ns, requested_bytes, allocated_bytes, reserved_bytes, stack_id "
                  "FROM "
                  "out_of_memory_row"},
    // A parent's id is smaller than its child's: the condition ends the walk of a damaged tree.
    {"view", "frame",
     "CREATE VIEW frame AS WITH RECURSIVE walk(stack_id, depth, node_id) AS (SELECT id, 0, node_id "
     "FROM stack WHERE node_id IS NOT NULL UNION ALL SELECT walk.stack_id, walk.depth+1, "
     "stack_node.parent_id FROM walk JOIN stack_node ON stack_node.id=walk.node_id WHERE "
     "stack_node.parent_id<walk.node_id) SELECT walk.stack_id AS stack_id, walk.depth AS depth, "
     "CASE location.kind WHEN 0 THEN 'native' WHEN 1 THEN 'python' END AS kind, " STRING_TEXT(
         "location.function_id") " AS function, " STRING_TEXT("location.file_id")  //
     " AS file, location.line AS line, " STRING_TEXT("location.module_id")         //
     " AS module, location.inlined AS inlined FROM walk JOIN stack_node ON "
     "stack_node.id=walk.node_id JOIN location ON location.id=stack_node.location_id"},
};

// What not every version has.
constexpr SchemaObject kOthers[] = {
    {"table", "stack_address",
     "CREATE TABLE stack_address(stack_id INTEGER PRIMARY KEY, process_id INTEGER, shared "
     "INTEGER, addresses BLOB)",
     1, 3},
    {"table", "access",
     "CREATE TABLE access(kernel_id INTEGER, allocation_id INTEGER, PRIMARY KEY(kernel_id, "
     "allocation_id)) WITHOUT ROWID",
     1, 4},
    {"table", "process_memory",
     "CREATE TABLE process_memory(process_id INTEGER, time_ns INTEGER, rss_bytes INTEGER, "
     "peak_rss_bytes INTEGER, pss_bytes INTEGER, anonymous_bytes INTEGER, file_bytes INTEGER, "
     "shared_bytes INTEGER, swap_bytes INTEGER, huge_page_bytes INTEGER, minor_faults INTEGER, "
     "major_faults INTEGER)",
     3},
    {"table", "mapping_row",
     "CREATE TABLE mapping_row(id INTEGER PRIMARY KEY, process_id INTEGER, time_ns INTEGER, start "
     "INTEGER, mapped_bytes INTEGER, kind INTEGER, path_id INTEGER, resident_bytes INTEGER, "
     "pss_bytes INTEGER, swap_bytes INTEGER, huge_page_bytes INTEGER)",
     3},
    {"view", "mapping",
     "CREATE VIEW mapping AS SELECT id, process_id, time_ns, start, mapped_bytes, CASE kind WHEN 0 "
     "THEN 'file' WHEN 1 THEN 'heap' WHEN 2 THEN 'arena' WHEN 3 THEN 'stack' WHEN 4 THEN "
     "'anonymous' WHEN 5 THEN 'static' WHEN 6 THEN 'shared' WHEN 7 THEN 'device' WHEN 8 THEN "
     "'kernel' WHEN 9 THEN 'tidemark' END AS kind, " STRING_TEXT("path_id")  //
     " AS path, resident_bytes, pss_bytes, swap_bytes, huge_page_bytes FROM mapping_row",
     3},
    {"table", "host_total_row",
     "CREATE TABLE host_total_row(process_id INTEGER, layer INTEGER, stack_id INTEGER, api_id "
     "INTEGER, allocations INTEGER, allocated_bytes INTEGER, frees INTEGER, freed_bytes INTEGER, "
     "temporary INTEGER, peak_bytes INTEGER, at_peak_count INTEGER, at_peak_bytes INTEGER, "
     "at_process_peak_count INTEGER, at_process_peak_bytes INTEGER)",
     3},
    {"view", "host_total",
     "CREATE VIEW host_total AS SELECT process_id, " LAYER_TEXT("layer")  //
     " AS layer, stack_id, " STRING_TEXT("api_id")                        //
     " AS api, allocations, allocated_bytes, frees, freed_bytes, temporary, peak_bytes, "
     "at_peak_count, at_peak_bytes, at_process_peak_count, at_process_peak_bytes FROM "
     "host_total_row",
     3},
    {"table", "host_curve_row",
     "CREATE TABLE host_curve_row(process_id INTEGER, layer INTEGER, time_ns INTEGER, bytes "
     "INTEGER, count INTEGER)",
     3},
    {"view", "host_curve",
     "CREATE VIEW host_curve AS SELECT process_id, " LAYER_TEXT(
         "layer") " AS layer, time_ns, bytes, count FROM host_curve_row",
     3},
    {"table", "device_memory_row",
     "CREATE TABLE device_memory_row(process_id INTEGER, bus_id INTEGER, time_ns INTEGER, "
     "used_bytes INTEGER, total_bytes INTEGER)",
     6},
    {"view", "device_memory",
     "CREATE VIEW device_memory AS SELECT process_id, " STRING_TEXT(
         "bus_id") " AS bus, time_ns, used_bytes, total_bytes FROM device_memory_row",
     6},
    {"table", "recording_window",
     "CREATE TABLE recording_window(id INTEGER PRIMARY KEY, process_id INTEGER, begin_ns INTEGER, "
     "end_ns INTEGER)",
     7},
    {"table", "device_power_row",
     "CREATE TABLE device_power_row(bus_id INTEGER, time_ns INTEGER, power_mw INTEGER, energy_mj "
     "INTEGER)",
     8},
    {"view", "device_power",
     "CREATE VIEW device_power AS SELECT " STRING_TEXT(
         "bus_id") " AS bus, time_ns, power_mw, energy_mj FROM device_power_row",
     8},
    {"table", "driver_pool",
     "CREATE TABLE driver_pool(process_id INTEGER, device INTEGER, pool INTEGER, time_ns INTEGER, "
     "held_bytes INTEGER, used_bytes INTEGER)",
     9},
    {"table", "migration_row",
     "CREATE TABLE migration_row(id INTEGER PRIMARY KEY, process_id INTEGER, kind INTEGER, "
     "src_device INTEGER, dst_device INTEGER, address INTEGER, bytes INTEGER, faults INTEGER, "
     "start_ns INTEGER, duration_ns INTEGER)",
     9},
    {"view", "migration",
     "CREATE VIEW migration AS SELECT id, process_id, CASE kind WHEN 0 THEN 'HtoD' WHEN 1 THEN "
     "'DtoH' WHEN 2 THEN 'DtoD' WHEN 3 THEN 'cpu_fault' WHEN 4 THEN 'gpu_fault' WHEN 5 THEN "
     "'thrashing' WHEN 6 THEN 'throttling' WHEN 7 THEN 'remote_map' END AS kind, src_device, "
     "dst_device, address, bytes, faults, start_ns, start_ns+duration_ns AS end_ns FROM "
     "migration_row",
     9},
    {"table", "imported_memory_row",
     "CREATE TABLE imported_memory_row(id INTEGER PRIMARY KEY, process_id INTEGER, thread_id "
     "INTEGER, device INTEGER, address INTEGER, size INTEGER, open_ns INTEGER, close_ns INTEGER, "
     "stack_id INTEGER, api_id INTEGER)",
     9},
    {"view", "imported_memory",
     "CREATE VIEW imported_memory AS SELECT id, process_id, thread_id, device, address, size, "
     "open_ns, close_ns, stack_id, " STRING_TEXT("api_id") " AS api FROM imported_memory_row",
     9},
    {"table", "stack_chunk",
     "CREATE TABLE stack_chunk(id INTEGER PRIMARY KEY, rows INTEGER, data BLOB)", 4},
    {"table", "stack_node_chunk",
     "CREATE TABLE stack_node_chunk(id INTEGER PRIMARY KEY, rows INTEGER, data BLOB)", 4},
    {"table", "address_location_chunk",
     "CREATE TABLE address_location_chunk(id INTEGER PRIMARY KEY, rows INTEGER, data BLOB)", 4},
    {"table", "address_chunk",
     "CREATE TABLE address_chunk(id INTEGER PRIMARY KEY, rows INTEGER, data BLOB)", 4},
    {"table", "transfer_row",
     "CREATE TABLE transfer_row(id INTEGER PRIMARY KEY, process_id INTEGER, device INTEGER, stream "
     "INTEGER, kind INTEGER, bytes INTEGER, src_space INTEGER, dst_space INTEGER, src_address "
     "INTEGER, dst_address INTEGER, start_ns INTEGER, duration_ns INTEGER, correlation_id INTEGER, "
     "stack_id INTEGER, src_allocation_id INTEGER, dst_allocation_id INTEGER)",
     5},
    {"table", "memset_row",
     "CREATE TABLE memset_row(id INTEGER PRIMARY KEY, process_id INTEGER, device INTEGER, stream "
     "INTEGER, address INTEGER, bytes INTEGER, start_ns INTEGER, duration_ns INTEGER, "
     "correlation_id INTEGER, stack_id INTEGER, allocation_id INTEGER)",
     5},
    {"view", "transfer",
     "CREATE VIEW transfer AS SELECT id, process_id, device, stream, CASE kind WHEN 0 THEN 'HtoD' "
     "WHEN 1 THEN 'DtoH' WHEN 2 THEN 'DtoD' WHEN 3 THEN 'PtoP' WHEN 4 THEN 'HtoH' END AS kind, "
     "bytes, " SPACE_TEXT("src_space") " AS src_space, " SPACE_TEXT("dst_space")  //
     " AS dst_space, src_address, dst_address, start_ns, start_ns+duration_ns AS end_ns, "
     "correlation_id, stack_id, src_allocation_id, dst_allocation_id FROM transfer_row",
     5},
    {"view", "memset",
     "CREATE VIEW memset AS SELECT id, process_id, device, stream, address, bytes, start_ns, "
     "start_ns+duration_ns AS end_ns, correlation_id, stack_id, allocation_id FROM memset_row",
     5},
    {"table", "access_chunk",
     "CREATE TABLE access_chunk(id INTEGER PRIMARY KEY, rows INTEGER, first_kernel INTEGER, "
     "last_kernel INTEGER, first_allocation INTEGER, last_allocation INTEGER, data BLOB)",
     5},
};

#undef LAYER_TEXT
#undef SPACE_TEXT
#undef STRING_TEXT

uint32_t big_endian(const std::array<unsigned char, 100>& bytes, size_t at) {
  return uint32_t{bytes[at]} << 24 | uint32_t{bytes[at + 1]} << 16 | uint32_t{bytes[at + 2]} << 8 |
         uint32_t{bytes[at + 3]};
}

}  // namespace

std::span<const SchemaObject> schema_objects() {
  static const auto objects = [] {
    std::array<SchemaObject, std::size(kTables) + std::size(kViews) + std::size(kOthers)> all{};
    auto at = std::copy(std::begin(kTables), std::end(kTables), all.begin());
    at = std::copy(std::begin(kViews), std::end(kViews), at);
    std::copy(std::begin(kOthers), std::end(kOthers), at);
    return all;
  }();
  return objects;
}

Result<FileHeader> read_header(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return fail(errno == ENOENT ? fmt::format("{} does not exist: check the name", path)
                                : fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  }
  if (S_ISDIR(info.st_mode)) {
    return fail(fmt::format("{} is a folder, not a tidemark trace: name the file", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(fmt::format("{} is not a regular file, so not a tidemark trace", path));
  }
  // Through SQLite's own descriptors: closing another one would drop the locks that this process
  // may hold on the file (POSIX).
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(uri_of(path, "mode=ro").c_str(), &raw,
                      SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  const Connection db(raw);
  if (opened != SQLITE_OK) return tl::unexpected(read_error(db.get(), path));
  FileHeader header;
  header.bytes = static_cast<uint64_t>(info.st_size);
  header.empty = info.st_size == 0;
  std::array<unsigned char, 100> bytes{};
  sqlite3_file* file = nullptr;
  sqlite3_file_control(db.get(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  if (file == nullptr || file->pMethods == nullptr ||
      file->pMethods->xRead(file, bytes.data(), static_cast<int>(bytes.size()), 0) != SQLITE_OK) {
    return header;
  }
  header.trace = std::memcmp(bytes.data(), "SQLite format 3", 16) == 0 &&
                 big_endian(bytes, 68) == static_cast<uint32_t>(kApplicationId);
  header.version = static_cast<int32_t>(big_endian(bytes, 60));
  // The page count is valid only when the two counters agree.
  if (big_endian(bytes, 24) == big_endian(bytes, 92)) {
    const uint32_t page = uint32_t{bytes[16]} << 8 | bytes[17];
    header.said_bytes = uint64_t{big_endian(bytes, 28)} * (page == 1 ? 65536 : page);
  }
  return header;
}

Result<void> check_schema(sqlite3* db, const std::string& path, int32_t version) {
  std::map<std::string_view, const SchemaObject*> missing;
  for (const SchemaObject& object : schema_objects()) {
    if (object.since <= version && version <= object.last) {
      missing.emplace(object.name, &object);
    }
  }
  Statement objects(db, "SELECT type, name, sql FROM main.sqlite_master");
  while (objects.row()) {
    const auto found = missing.find(objects.text(1));
    if (found == missing.end() || objects.text(0) != found->second->type ||
        objects.text(2) != found->second->sql) {
      return fail(fmt::format(
          "{} has the {} '{}' which tidemark did not write: not opened, for it might run code",
          path, objects.text(0).substr(0, 16), objects.text(1).substr(0, 64)));
    }
    missing.erase(found);
  }
  if (!objects.done()) return tl::unexpected(read_error(db, path));
  if (!missing.empty()) {
    return tl::unexpected(damaged(path, fmt::format("no table '{}'", missing.begin()->first)));
  }
  return {};
}

int create_missing_objects(sqlite3* db, int32_t version) {
  constexpr std::string_view kCreate = "CREATE ";
  std::set<std::string_view> there;
  for (const SchemaObject& object : schema_objects()) {
    if (object.since <= version && version <= object.last) there.insert(object.name);
  }
  for (const SchemaObject& object : schema_objects()) {
    // What has changed since is there as it was: readers know both.
    if (object.since <= version || there.contains(object.name)) continue;
    const std::string sql = std::string(kCreate) + "TEMP " + (object.sql + kCreate.size());
    if (const int status = execute(db, sql.c_str()); status != SQLITE_OK) return status;
  }
  if (version >= 5) return SQLITE_OK;
  return execute(db,
                 "CREATE TEMP VIEW transfer AS SELECT *, NULL AS src_allocation_id, NULL AS "
                 "dst_allocation_id FROM main.transfer;"
                 "CREATE TEMP VIEW memset AS SELECT *, NULL AS allocation_id FROM main.memset;");
}

}  // namespace tidemark::trace
