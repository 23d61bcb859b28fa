#include "virtual_tables.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "access_scan.h"
#include "host_scan.h"
#include "symbols.h"
#include "virtual_access.h"
#include "virtual_stacks.h"
#include "virtual_table.h"

namespace tidemark::trace {
namespace {

// --- host_allocation ---------------------------------------------------------------------------

constexpr const char* kHostColumns =
    "CREATE TABLE x(id INTEGER, process_id INTEGER, thread_id INTEGER, layer TEXT, space TEXT, "
    "device INTEGER, address INTEGER, size INTEGER, alloc_ns INTEGER, free_ns INTEGER, "
    "alloc_stack_id INTEGER, free_stack_id INTEGER, api TEXT, source TEXT)";
enum HostColumn : uint8_t {
  kId,
  kProcess,
  kThread,
  kLayer,
  kSpace,
  kDevice,
  kAddress,
  kSize,
  kAllocNs,
  kFreeNs,
  kAllocStack,
  kFreeStack,
  kApi,
  kSource
};

struct HostCursor : sqlite3_vtab_cursor {
  explicit HostCursor(sqlite3* db) : sqlite3_vtab_cursor{}, strings(db) {}
  StringTable strings;
  std::unique_ptr<HostScan> scan;
  std::vector<Allocation> rows;
  size_t at = 0;
};

int host_connect(sqlite3* db, void*, int, const char* const*, sqlite3_vtab** out, char**) {
  return connect(db, kHostColumns, out);
}

// Constraints go to the filter as hints: SQLite checks every row again, so a hint may be weaker
// than the constraint but never stronger. One letter per argument tells filter() what it is.
int host_best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  std::string plan;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0) continue;
    const bool equal = constraint.op == SQLITE_INDEX_CONSTRAINT_EQ;
    const bool low = equal || constraint.op == SQLITE_INDEX_CONSTRAINT_GE ||
                     constraint.op == SQLITE_INDEX_CONSTRAINT_GT;
    const bool high = equal || constraint.op == SQLITE_INDEX_CONSTRAINT_LE ||
                      constraint.op == SQLITE_INDEX_CONSTRAINT_LT;
    char letter = 0;
    if (constraint.iColumn == kId && (low || high)) letter = equal ? 'i' : low ? 'g' : 'l';
    if (constraint.iColumn == kAllocNs && (low || high)) letter = equal ? 'a' : low ? 'b' : 'c';
    if (constraint.iColumn == kFreeNs && low) letter = 'f';
    if (constraint.iColumn == kLayer && equal) letter = 'y';
    if (constraint.iColumn == kAllocStack && equal) letter = 's';
    if (letter == 0) continue;
    plan += letter;
    info->aConstraintUsage[i].argvIndex = static_cast<int>(plan.size());
  }
  info->estimatedCost = plan.find('i') != std::string::npos ? 1e3 : plan.empty() ? 1e8 : 1e7;
  info->estimatedRows = plan.find('i') != std::string::npos ? 1 : 1000000;
  info->idxStr = sqlite3_mprintf("%s", plan.c_str());
  info->needToFreeIdxStr = 1;
  return info->idxStr != nullptr ? SQLITE_OK : SQLITE_NOMEM;
}

int load_rows(HostCursor& cursor) {
  cursor.at = 0;
  const auto next = cursor.scan->next(cursor.rows);
  return next ? SQLITE_OK : report(cursor.pVtab, next.error().message);
}

void apply_hint(HostFilter& filter, char letter, sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  if (letter == 'y') {
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
    for (const Layer layer : {Layer::kOs, Layer::kHeap, Layer::kDriver, Layer::kPool}) {
      if (text != nullptr && std::strcmp(text, to_string(layer)) == 0) {
        filter.layers &= static_cast<uint8_t>(1U << static_cast<unsigned>(layer));
      }
    }
    return;
  }
  if (type != SQLITE_INTEGER) return;
  const int64_t number = sqlite3_value_int64(value);
  if (letter == 'i' || letter == 'g') filter.first_id = std::max(filter.first_id, number);
  if (letter == 'i' || letter == 'l') filter.last_id = std::min(filter.last_id, number);
  if (letter == 'a' || letter == 'b') {
    filter.first_alloc_ns = std::max(filter.first_alloc_ns, number);
  }
  if (letter == 'a' || letter == 'c') {
    filter.last_alloc_ns = std::min(filter.last_alloc_ns, number);
  }
  if (letter == 's') filter.alloc_stack = static_cast<StackId>(number);
  if (letter == 'f') filter.min_free_ns = std::max(filter.min_free_ns, number);
}

int host_filter(sqlite3_vtab_cursor* base, int, const char* plan, int count,
                sqlite3_value** values) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<HostCursor*>(base);
    HostFilter filter;
    for (int i = 0; i < count; ++i) apply_hint(filter, plan[i], values[i]);
    cursor.scan = std::make_unique<HostScan>(static_cast<Table*>(base->pVtab)->db, path_of(base),
                                             filter, kWindowRows, Decoding::kAhead);
    return load_rows(cursor);
  });
}

int host_next(sqlite3_vtab_cursor* base) {
  auto& cursor = *static_cast<HostCursor*>(base);
  if (++cursor.at < cursor.rows.size()) return SQLITE_OK;
  return guarded(base->pVtab, [&] { return load_rows(cursor); });
}

int host_eof(sqlite3_vtab_cursor* base) {
  const auto& cursor = *static_cast<HostCursor*>(base);
  return cursor.at >= cursor.rows.size() ? 1 : 0;
}

void host_value(HostCursor& cursor, sqlite3_context* context, int column) {
  const Allocation& row = cursor.rows[cursor.at];
  switch (column) {
    case kId:
      return sqlite3_result_int64(context, static_cast<int64_t>(row.id));
    case kProcess:
      return give(context, static_cast<int64_t>(row.process), 0);
    case kThread:
      return give(context, static_cast<int64_t>(row.thread), 0);
    case kLayer:
      return sqlite3_result_text(context, to_string(row.layer), -1, SQLITE_STATIC);
    case kSpace:
      return sqlite3_result_text(context, to_string(row.space), -1, SQLITE_STATIC);
    case kDevice:
      return give(context, row.device, kNoDevice);
    case kAddress:
      return sqlite3_result_int64(context, static_cast<int64_t>(row.address));
    case kSize:
      return sqlite3_result_int64(context, static_cast<int64_t>(row.size));
    case kAllocNs:
      return sqlite3_result_int64(context, row.alloc_ns);
    case kFreeNs:
      return give(context, row.free_ns, kNever);
    case kAllocStack:
      return give(context, static_cast<int64_t>(row.alloc_stack), 0);
    case kFreeStack:
      return give(context, static_cast<int64_t>(row.free_stack), 0);
    case kApi:
      return give(context, cursor.strings.text(row.api));
    case kSource:
      return give(context, cursor.strings.text(row.source));
    default:
      return sqlite3_result_null(context);
  }
}

int host_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  return guarded(base->pVtab, [&] {
    host_value(*static_cast<HostCursor*>(base), context, column);
    return SQLITE_OK;
  });
}

int host_rowid(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  const auto& cursor = *static_cast<HostCursor*>(base);
  *out = static_cast<int64_t>(cursor.rows[cursor.at].id);
  return SQLITE_OK;
}

const sqlite3_module& host_module() {
  static const sqlite3_module module = [] {
    sqlite3_module m{};
    m.xConnect = host_connect;  // no xCreate: the module is the table
    m.xBestIndex = host_best_index;
    m.xDisconnect = disconnect;
    m.xOpen = open_cursor<HostCursor>;
    m.xClose = close_cursor<HostCursor>;
    m.xFilter = host_filter;
    m.xNext = host_next;
    m.xEof = host_eof;
    m.xColumn = host_column;
    m.xRowid = host_rowid;
    return m;
  }();
  return module;
}

}  // namespace

int register_modules(sqlite3* db) {
  const int host =
      sqlite3_create_module_v2(db, "host_allocation", &host_module(), nullptr, nullptr);
  if (host != SQLITE_OK) return host;
  const int stacks = register_stack_modules(db);
  return stacks != SQLITE_OK ? stacks : register_access_module(db);
}

int create_temp_objects(sqlite3* db) {
  const int status =
      execute(db,
              "CREATE TEMP VIEW IF NOT EXISTS allocation AS SELECT * FROM "
              "main.device_allocation UNION ALL SELECT * FROM host_allocation;"
              "CREATE TEMP VIEW IF NOT EXISTS frame AS SELECT * FROM tidemark_frame;");
  if (status != SQLITE_OK || !has_stack_chunks(db)) return status;
  const int access = !has_access_chunks(db)
                         ? SQLITE_OK  // a table of that name, without rows
                         : execute(db,
                                   "CREATE TEMP VIEW IF NOT EXISTS access AS SELECT * FROM "
                                   "tidemark_access;");
  if (access != SQLITE_OK) return access;
  return execute(
      db,
      "CREATE TEMP VIEW IF NOT EXISTS stack AS SELECT * FROM tidemark_stack;"
      "CREATE TEMP VIEW IF NOT EXISTS stack_node AS SELECT * FROM tidemark_stack_node;"
      "CREATE TEMP VIEW IF NOT EXISTS stack_address AS SELECT * FROM tidemark_stack_address;");
}

}  // namespace tidemark::trace
