#include "tidemark/trace/reader.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "access_scan.h"
#include "host_scan.h"
#include "joined_reader.h"
#include "open.h"
#include "query.h"
#include "symbols.h"

namespace tidemark::trace {
namespace {

constexpr size_t kBatchRows = 4096;

template <class T>
T as(const Statement& row, int column) {
  return static_cast<T>(row.integer(column));
}

template <class Enum>
bool in_range(Enum value, Enum last) {
  return value <= last;
}

bool valid(const Allocation& row) {
  return in_range(row.layer, Layer::kPool) && in_range(row.space, Space::kDevice);
}
bool valid(const Transfer& row) {
  return in_range(row.kind, TransferKind::kHtoH) && in_range(row.src_space, Space::kDevice) &&
         in_range(row.dst_space, Space::kDevice);
}
bool valid(const Mapping& row) { return in_range(row.kind, MappingKind::kTidemark); }
bool valid(const HostTotal& row) {
  return is_host(row.layer) && row.frees <= row.allocations &&
         row.freed_bytes <= row.allocated_bytes;
}
bool valid(const HostCurvePoint& row) { return is_host(row.layer); }
bool valid(const OutOfMemory& row) { return in_range(row.layer, Layer::kPool); }
bool valid(const Migration& row) {
  return in_range(row.kind, MigrationKind::kRemoteMap) && row.end_ns >= row.start_ns;
}
bool valid(const auto&) { return true; }

int64_t sum(int64_t a, int64_t b) {  // of untrusted numbers
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

int16_t device_of(const Statement& row, int column) {
  return row.is_null(column) ? kNoDevice : as<int16_t>(row, column);
}

int64_t end_of(const Statement& row, int start, int duration) {
  return row.is_null(duration) ? kNever : sum(row.integer(start), row.integer(duration));
}

Allocation allocation_of(const Statement& row) {
  return {as<AllocationId>(row, 0), as<ProcessId>(row, 1), as<ThreadId>(row, 2),
          as<Layer>(row, 3),        as<Space>(row, 4),     device_of(row, 5),
          as<uint64_t>(row, 6),     as<uint64_t>(row, 7),  row.integer(8),
          end_of(row, 8, 9),        as<StackId>(row, 10),  as<StackId>(row, 11),
          as<StringId>(row, 12),    as<StringId>(row, 13)};
}

// Until format 4 without the last columns, of two kinds of rows: SQLite gives NULL for them.
Transfer transfer_of(const Statement& row) {
  return {row.integer(0),           as<ProcessId>(row, 1),    device_of(row, 2),
          as<uint32_t>(row, 3),     as<TransferKind>(row, 4), as<uint64_t>(row, 5),
          as<Space>(row, 6),        as<Space>(row, 7),        as<uint64_t>(row, 8),
          as<uint64_t>(row, 9),     row.integer(10),          end_of(row, 10, 11),
          as<uint32_t>(row, 12),    as<StackId>(row, 13),     as<AllocationId>(row, 14),
          as<AllocationId>(row, 15)};
}

Memset memset_of(const Statement& row) {
  return {row.integer(0),       as<ProcessId>(row, 1),    device_of(row, 2),
          as<uint32_t>(row, 3), as<uint64_t>(row, 4),     as<uint64_t>(row, 5),
          row.integer(6),       end_of(row, 6, 7),        as<uint32_t>(row, 8),
          as<StackId>(row, 9),  as<AllocationId>(row, 10)};
}

Kernel kernel_of(const Statement& row) {
  return {row.integer(0),       as<ProcessId>(row, 1), device_of(row, 2), as<uint32_t>(row, 3),
          as<StringId>(row, 4), row.integer(5),        end_of(row, 5, 6), as<uint32_t>(row, 7),
          as<uint32_t>(row, 8), as<StackId>(row, 9)};
}

Marker marker_of(const Statement& row) {
  return {as<MarkerId>(row, 0), as<ProcessId>(row, 1), as<ThreadId>(row, 2), as<StringId>(row, 3),
          as<StringId>(row, 4), row.integer(5),        end_of(row, 5, 6)};
}

PoolReserved pool_reserved_of(const Statement& row) {
  return {as<ProcessId>(row, 1), device_of(row, 2), row.integer(3), as<uint64_t>(row, 4)};
}

OutOfMemory out_of_memory_of(const Statement& row) {
  return {as<ProcessId>(row, 1), as<ThreadId>(row, 2), device_of(row, 3),
          as<Layer>(row, 4),     row.integer(5),       as<uint64_t>(row, 6),
          as<uint64_t>(row, 7),  as<uint64_t>(row, 8), as<StackId>(row, 9)};
}

ProcessMemory process_memory_of(const Statement& row) {
  const auto measured = [&](int column) { return row.integer_or(column, kNotMeasured); };
  return {as<ProcessId>(row, 1), row.integer(2), row.integer(3),  measured(4),
          measured(5),           measured(6),    measured(7),     measured(8),
          measured(9),           measured(10),   row.integer(11), row.integer(12)};
}

RecordingWindow window_of(const Statement& row) {
  return {as<WindowId>(row, 0), as<ProcessId>(row, 1), row.integer(2), row.integer_or(3, kNever)};
}

DeviceMemory device_memory_of(const Statement& row) {
  return {as<ProcessId>(row, 1), as<StringId>(row, 2), row.integer(3), as<uint64_t>(row, 4),
          as<uint64_t>(row, 5)};
}

DevicePower device_power_of(const Statement& row) {
  return {as<StringId>(row, 1), row.integer(2), row.integer(3),
          row.integer_or(4, DevicePower::kUntold)};
}

DriverPool driver_pool_of(const Statement& row) {
  return {as<ProcessId>(row, 1), device_of(row, 2),    as<uint64_t>(row, 3),
          row.integer(4),        as<uint64_t>(row, 5), as<uint64_t>(row, 6)};
}

Migration migration_of(const Statement& row) {
  return {row.integer(0),    as<ProcessId>(row, 1), as<MigrationKind>(row, 2), device_of(row, 3),
          device_of(row, 4), as<uint64_t>(row, 5),  as<uint64_t>(row, 6),      as<uint32_t>(row, 7),
          row.integer(8),    end_of(row, 8, 9)};
}

ImportedMemory import_of(const Statement& row) {
  return {as<ImportId>(row, 0), as<ProcessId>(row, 1),     as<ThreadId>(row, 2),
          device_of(row, 3),    as<uint64_t>(row, 4),      as<uint64_t>(row, 5),
          row.integer(6),       row.integer_or(7, kNever), as<StackId>(row, 8),
          as<StringId>(row, 9)};
}

Mapping mapping_of(const Statement& row) {
  return {as<ProcessId>(row, 1),   row.integer(2),       as<uint64_t>(row, 3), as<uint64_t>(row, 4),
          as<MappingKind>(row, 5), as<StringId>(row, 6), as<uint64_t>(row, 7), as<uint64_t>(row, 8),
          as<uint64_t>(row, 9),    as<uint64_t>(row, 10)};
}

HostTotal host_total_of(const Statement& row) {
  return {as<ProcessId>(row, 1), as<Layer>(row, 2),     as<StackId>(row, 3),
          as<StringId>(row, 4),  as<uint64_t>(row, 5),  as<uint64_t>(row, 6),
          as<uint64_t>(row, 7),  as<uint64_t>(row, 8),  as<uint64_t>(row, 9),
          as<uint64_t>(row, 10), as<uint64_t>(row, 11), as<uint64_t>(row, 12),
          as<uint64_t>(row, 13), as<uint64_t>(row, 14)};
}

HostCurvePoint host_curve_point_of(const Statement& row) {
  return {as<ProcessId>(row, 1), as<Layer>(row, 2), row.integer(3), as<uint64_t>(row, 4),
          as<uint64_t>(row, 5)};
}

bool passes(const Allocation& row, const AllocationFilter& filter) {
  return row.alloc_ns < filter.end_ns && row.free_ns > filter.begin_ns &&
         (!filter.layer || row.layer == *filter.layer) &&
         (!filter.space || row.space == *filter.space) &&
         (!filter.device || row.device == *filter.device) &&
         (!filter.alloc_stack || row.alloc_stack == *filter.alloc_stack);
}

HostFilter host_filter_of(const AllocationFilter& filter) {
  HostFilter host;
  if (filter.layer) {
    host.layers = static_cast<uint8_t>(1U << static_cast<unsigned>(*filter.layer));
  }
  host.last_alloc_ns = filter.end_ns - 1;
  host.min_free_ns = filter.begin_ns + 1;
  if (filter.begin_ns == AllocationFilter{}.begin_ns) host.min_free_ns = HostFilter{}.min_free_ns;
  if (filter.end_ns == kNever) host.last_alloc_ns = HostFilter{}.last_alloc_ns;
  host.alloc_stack = filter.alloc_stack;
  host.any_order = filter.any_order;
  return host;
}

class SqliteReader final : public Reader {
 public:
  SqliteReader(Connection db, std::string path)
      : db_(std::move(db)),
        path_(std::move(path)),
        strings_(db_.get()),
        stacks_(db_.get(), strings_) {}

  Result<void> load();

  const std::string& path() const override { return path_; }
  std::string meta(std::string_view key) const override {
    for (const auto& [name, value] : meta_) {
      if (name == key) return value;
    }
    return {};
  }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return meta_;
  }
  const std::vector<Process>& processes() const override { return processes_; }
  const std::vector<Thread>& threads() const override { return threads_; }
  const std::vector<Loss>& losses() const override { return losses_; }
  bool finished() const override { return meta(kMetaFinished) == "1"; }
  int64_t end_ns() const override {
    const std::string end = meta(kMetaEndNs);
    const std::string text = end.empty() ? meta(kMetaLastEventNs) : end;
    int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }
  const std::string& text(StringId id) const override { return strings_.text(id); }
  std::span<const Frame> frames(StackId id) const override { return stacks_.frames(id); }

  Result<void> allocations(const AllocationFilter& filter,
                           const Visit<Allocation>& visit) const override;
  Result<void> transfers(const Visit<Transfer>& visit) const override {
    return visit_rows<Transfer>("SELECT * FROM main.transfer_row ORDER BY id", transfer_of, visit);
  }
  Result<void> memsets(const Visit<Memset>& visit) const override {
    return visit_rows<Memset>("SELECT * FROM main.memset_row ORDER BY id", memset_of, visit);
  }
  Result<void> kernels(const Visit<Kernel>& visit) const override {
    return visit_rows<Kernel>("SELECT * FROM main.kernel_row ORDER BY id", kernel_of, visit);
  }
  Result<void> accesses(const AccessFilter& filter, const Visit<Access>& visit) const override {
    const ReadTransaction transaction(db_.get());
    AccessScan scan(db_.get(), path_, filter);
    std::vector<Access> rows;
    for (;;) {
      if (auto next = scan.next(rows); !next) return next;
      if (rows.empty()) return {};
      visit(rows);
    }
  }
  Result<void> markers(const Visit<Marker>& visit) const override {
    return visit_rows<Marker>("SELECT * FROM main.marker_row ORDER BY id", marker_of, visit);
  }
  Result<std::vector<PoolReserved>> pool_reserved() const override {
    return all_rows<PoolReserved>("SELECT rowid, * FROM main.pool_reserved ORDER BY rowid",
                                  pool_reserved_of);
  }
  Result<std::vector<OutOfMemory>> out_of_memory() const override {
    return all_rows<OutOfMemory>("SELECT * FROM main.out_of_memory_row ORDER BY id",
                                 out_of_memory_of);
  }
  // Without "main.": of a trace of format 1 these are empty TEMP tables.
  Result<std::vector<ProcessMemory>> process_memory() const override {
    return all_rows<ProcessMemory>("SELECT rowid, * FROM process_memory ORDER BY rowid",
                                   process_memory_of);
  }
  Result<std::vector<RecordingWindow>> windows() const override {
    return all_rows<RecordingWindow>("SELECT * FROM recording_window ORDER BY id", window_of);
  }
  Result<std::vector<DeviceMemory>> device_memory() const override {
    return all_rows<DeviceMemory>("SELECT rowid, * FROM device_memory_row ORDER BY rowid",
                                  device_memory_of);
  }
  Result<std::vector<DevicePower>> device_power() const override {
    return all_rows<DevicePower>("SELECT rowid, * FROM device_power_row ORDER BY rowid",
                                 device_power_of);
  }
  Result<std::vector<DriverPool>> driver_pools() const override {
    return all_rows<DriverPool>("SELECT rowid, * FROM driver_pool ORDER BY rowid", driver_pool_of);
  }
  Result<void> migrations(const Visit<Migration>& visit) const override {
    return visit_rows<Migration>("SELECT * FROM migration_row ORDER BY id", migration_of, visit);
  }
  Result<std::vector<ImportedMemory>> imports() const override {
    return all_rows<ImportedMemory>("SELECT * FROM imported_memory_row ORDER BY id", import_of);
  }
  Result<std::vector<Mapping>> mappings() const override {
    return all_rows<Mapping>("SELECT * FROM mapping_row ORDER BY id", mapping_of);
  }
  Result<std::vector<HostTotal>> host_totals() const override {
    return all_rows<HostTotal>("SELECT rowid, * FROM host_total_row ORDER BY rowid", host_total_of);
  }
  Result<std::vector<HostCurvePoint>> host_curve() const override {
    return all_rows<HostCurvePoint>("SELECT rowid, * FROM host_curve_row ORDER BY rowid",
                                    host_curve_point_of);
  }
  Result<void> query(const std::string& sql,
                     const std::function<void(std::span<const std::string>)>& header,
                     const std::function<bool(std::span<const Cell>)>& row) const override {
    return run_query(db_.get(), path_, sql, header, row);
  }

 private:
  // Calls `each` per row. The first column must ascend: pages of a hostile file may form a net
  // that brings the same rows again without end.
  template <class Each>
  Result<void> each_row(const char* sql, Each&& each) const {
    const ReadTransaction transaction(db_.get());
    Statement row(db_.get(), sql);
    int64_t before = std::numeric_limits<int64_t>::min();
    while (row.row()) {
      if (row.integer(0) <= before) return tl::unexpected(damaged(path_, "rows out of order"));
      before = row.integer(0);
      if (!each(row)) return tl::unexpected(damaged(path_, "an impossible value"));
    }
    if (!row.done()) return tl::unexpected(read_error(db_.get(), path_));
    return {};
  }

  template <class Row>
  Result<void> visit_rows(const char* sql, Row (*convert)(const Statement&),
                          const Visit<Row>& visit) const {
    std::vector<Row> batch;
    auto read = each_row(sql, [&](const Statement& row) {
      batch.push_back(convert(row));
      if (!valid(batch.back())) return false;
      if (batch.size() == kBatchRows) {
        visit(batch);
        batch.clear();
      }
      return true;
    });
    if (read && !batch.empty()) visit(batch);
    return read;
  }

  template <class Row>
  Result<std::vector<Row>> all_rows(const char* sql, Row (*convert)(const Statement&)) const {
    std::vector<Row> rows;
    auto read = each_row(sql, [&](const Statement& row) {
      rows.push_back(convert(row));
      return valid(rows.back());
    });
    if (!read) return tl::unexpected(read.error());
    return rows;
  }

  Result<void> load_texts();
  Result<void> host_allocations(const AllocationFilter& filter,
                                const Visit<Allocation>& visit) const;
  Result<void> device_allocations(const AllocationFilter& filter,
                                  const Visit<Allocation>& visit) const;
  Result<void> merged_allocations(const AllocationFilter& filter,
                                  const Visit<Allocation>& visit) const;

  Connection db_;
  std::string path_;
  mutable StringTable strings_;
  mutable StackTable stacks_;
  std::vector<std::pair<std::string, std::string>> meta_;
  std::vector<Process> processes_;
  std::vector<Thread> threads_;
  std::vector<Loss> losses_;
};

Result<void> SqliteReader::load_texts() {
  const ReadTransaction transaction(db_.get());
  Statement meta(db_.get(), "SELECT key, value FROM main.meta ORDER BY key");
  while (meta.row()) {
    if (!meta_.empty() && meta.text(0) <= meta_.back().first) {
      return tl::unexpected(damaged(path_, "meta out of order"));
    }
    meta_.emplace_back(meta.text(0), meta.text(1));
  }
  if (!meta.done()) return tl::unexpected(read_error(db_.get(), path_));
  Statement loss(db_.get(), "SELECT name, severity, count FROM main.loss_row ORDER BY name");
  while (loss.row()) {
    if (!losses_.empty() && loss.text(0) <= losses_.back().name) {
      return tl::unexpected(damaged(path_, "losses out of order"));
    }
    // A severity that this reader does not know is taken as the worst.
    const int64_t severity = loss.integer(1);
    losses_.push_back({std::string(loss.text(0)),
                       severity < 0 || severity > 2 ? Severity::kError : as<Severity>(loss, 1),
                       as<uint64_t>(loss, 2)});
  }
  if (!loss.done()) return tl::unexpected(read_error(db_.get(), path_));
  return {};
}

Result<void> SqliteReader::load() {
  const ReadTransaction transaction(db_.get());
  if (auto texts = load_texts(); !texts) return texts;
  auto processes = each_row("SELECT * FROM main.process ORDER BY id", [&](const Statement& row) {
    processes_.push_back(
        {as<ProcessId>(row, 0), as<int32_t>(row, 1), as<ProcessId>(row, 2),
         std::string(row.text(3)), row.integer(4), row.integer_or(5, kNever),
         static_cast<int32_t>(row.integer_or(6, std::numeric_limits<int32_t>::min())),
         static_cast<int32_t>(row.integer_or(7, -1))});
    return true;
  });
  if (!processes) return processes;
  return each_row("SELECT * FROM main.thread ORDER BY id", [&](const Statement& row) {
    threads_.push_back({as<ThreadId>(row, 0), as<ProcessId>(row, 1), as<int32_t>(row, 2),
                        std::string(row.text(3))});
    return true;
  });
}

Result<void> SqliteReader::host_allocations(const AllocationFilter& filter,
                                            const Visit<Allocation>& visit) const {
  HostScan scan(db_.get(), path_, host_filter_of(filter), kWindowRows, Decoding::kAhead);
  std::vector<Allocation> rows;
  for (;;) {
    if (auto next = scan.next(rows); !next) return next;
    if (rows.empty()) return {};
    // All else the scan has seen to.
    if (filter.space || filter.device) {
      std::erase_if(rows, [&](const Allocation& row) { return !passes(row, filter); });
    }
    if (!rows.empty()) visit(rows);
  }
}

Result<void> SqliteReader::device_allocations(const AllocationFilter& filter,
                                              const Visit<Allocation>& visit) const {
  std::vector<Allocation> batch;
  auto read =
      each_row("SELECT * FROM main.device_allocation_row ORDER BY id", [&](const Statement& row) {
        const Allocation next = allocation_of(row);
        if (!valid(next)) return false;
        if (passes(next, filter)) batch.push_back(next);
        if (batch.size() == kBatchRows) {
          visit(batch);
          batch.clear();
        }
        return true;
      });
  if (read && !batch.empty()) visit(batch);
  return read;
}

// Host chunks and device rows share one sequence of ids: a merge of two ascending streams.
Result<void> SqliteReader::merged_allocations(const AllocationFilter& filter,
                                              const Visit<Allocation>& visit) const {
  std::vector<Allocation> batch;
  const auto give = [&](const Allocation& row) {
    if (!passes(row, filter)) return;
    batch.push_back(row);
    if (batch.size() < kBatchRows) return;
    visit(batch);
    batch.clear();
  };
  HostScan scan(db_.get(), path_, host_filter_of(filter), kWindowRows, Decoding::kAhead);
  std::vector<Allocation> host;
  size_t at = 0;
  Result<void> host_result;
  const auto more_host = [&] {
    host_result = scan.next(host);
    at = 0;
    return host_result && !host.empty();
  };
  bool has_host = more_host();
  // Gives the host rows before `id`.
  const auto give_host = [&](AllocationId id) {
    while (has_host && host[at].id < id) {
      give(host[at]);
      if (++at == host.size()) has_host = more_host();
    }
  };
  auto device =
      each_row("SELECT * FROM main.device_allocation_row ORDER BY id", [&](const Statement& row) {
        const Allocation next = allocation_of(row);
        if (!valid(next)) return false;
        give_host(next.id);
        give(next);
        return true;
      });
  if (!device) return device;
  give_host(static_cast<AllocationId>(std::numeric_limits<int64_t>::max()));
  if (!host_result) return host_result;
  if (!batch.empty()) visit(batch);
  return {};
}

Result<void> SqliteReader::allocations(const AllocationFilter& filter,
                                       const Visit<Allocation>& visit) const {
  const ReadTransaction transaction(db_.get());
  if (filter.begin_ns == kNever || filter.end_ns == std::numeric_limits<int64_t>::min()) return {};
  const bool host = !filter.layer || is_host(*filter.layer);
  const bool device = !filter.layer || !is_host(*filter.layer);
  if (!device) return host_allocations(filter, visit);
  if (!host) return device_allocations(filter, visit);
  if (filter.any_order) {
    auto given = host_allocations(filter, visit);
    return given ? device_allocations(filter, visit) : given;
  }
  Statement any_device(db_.get(), "SELECT 1 FROM main.device_allocation_row LIMIT 1");
  return any_device.row() ? merged_allocations(filter, visit) : host_allocations(filter, visit);
}

}  // namespace

Result<std::unique_ptr<Reader>> Reader::open(const std::string& path) {
  std::error_code unknown;  // then it is opened as a file, which says what is wrong
  if (std::filesystem::is_directory(path, unknown)) return open_folder(path);
  auto db = open_trace_file(path);
  if (!db) return tl::unexpected(db.error());
  auto reader = std::make_unique<SqliteReader>(std::move(*db), path);
  if (auto loaded = reader->load(); !loaded) return tl::unexpected(loaded.error());
  return reader;
}

}  // namespace tidemark::trace
