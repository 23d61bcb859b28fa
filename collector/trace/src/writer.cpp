#include "tidemark/trace/writer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "access_writer.h"
#include "create.h"
#include "host_settle.h"
#include "host_sums_writer.h"
#include "host_writer.h"
#include "limited_trace.h"
#include "schema.h"
#include "sqlite.h"
#include "stack_writer.h"

namespace tidemark::trace {
namespace {

// Below this a finished trace is rewritten without gaps, which takes well under a second.
constexpr int64_t kVacuumBytes = 64 << 20;

int64_t number(auto id) { return static_cast<int64_t>(id); }

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

// Every row table's insert; NULL as id lets SQLite count on.
struct Inserts {
  explicit Inserts(sqlite3* db)
      : string(db, "INSERT INTO string VALUES(?1,?2)", kKeep),
        meta(db, "INSERT OR REPLACE INTO meta VALUES(?1,?2)", kKeep),
        loss(db,
             "INSERT INTO loss_row VALUES(?1,?2,?3) ON CONFLICT(name) DO UPDATE SET "
             "count=count+excluded.count, severity=max(severity,excluded.severity)",
             kKeep),
        process(db, "INSERT INTO process VALUES(?1,?2,?3,?4,?5,?6,?7,?8)", kKeep),
        end_process(db, "UPDATE process SET end_ns=?2, exit=?3 WHERE id=?1", kKeep),
        thread(db, "INSERT INTO thread VALUES(?1,?2,?3,?4)", kKeep),
        rename_thread(db, "UPDATE thread SET name=?2 WHERE id=?1", kKeep),
        module(db, "INSERT INTO module VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8)", kKeep),
        drop_modules(db, "DELETE FROM module WHERE process_id=?1 AND start=?2", kKeep),
        allocation(db,
                   "INSERT INTO device_allocation_row "
                   "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
                   kKeep),
        end_allocation(db,
                       "UPDATE device_allocation_row SET lifetime_ns=?2-alloc_ns, free_stack_id=?3 "
                       "WHERE id=?1",
                       kKeep),
        revive_allocation(
            db, "UPDATE device_allocation_row SET lifetime_ns=NULL, free_stack_id=NULL WHERE id=?1",
            kKeep),
        transfer(db,
                 "INSERT INTO transfer_row "
                 "VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
                 kKeep),
        memset(db, "INSERT INTO memset_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", kKeep),
        kernel(db, "INSERT INTO kernel_row VALUES(?10,?1,?2,?3,?4,?5,?6,?7,?8,?9)", kKeep),
        marker(db, "INSERT INTO marker_row VALUES(NULL,?1,?2,?3,?4,?5,?6)", kKeep),
        end_marker(db, "UPDATE marker_row SET duration_ns=?2-start_ns WHERE id=?1", kKeep),
        pool_reserved(db, "INSERT INTO pool_reserved VALUES(?1,?2,?3,?4)", kKeep),
        out_of_memory(db, "INSERT INTO out_of_memory_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9)",
                      kKeep),
        device_memory(db, "INSERT INTO device_memory_row VALUES(?1,?2,?3,?4,?5)", kKeep),
        window(db, "INSERT INTO recording_window VALUES(NULL,?1,?2,?3)", kKeep),
        end_window(db, "UPDATE recording_window SET end_ns=?2 WHERE id=?1", kKeep),
        process_memory(
            db, "INSERT INTO process_memory VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)", kKeep),
        mapping(db, "INSERT INTO mapping_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", kKeep),
        drop_mappings(db, "DELETE FROM mapping_row WHERE process_id=?1 AND time_ns=?2", kKeep) {}

  static constexpr unsigned kKeep = SQLITE_PREPARE_PERSISTENT;
  Statement string, meta, loss, process, end_process, thread, rename_thread, module, drop_modules,
      allocation, end_allocation, revive_allocation, transfer, memset, kernel, marker, end_marker,
      pool_reserved, out_of_memory, device_memory, window, end_window, process_memory, mapping,
      drop_mappings;
};

class SqliteWriter final : public Writer {
 public:
  SqliteWriter(Connection db, std::string path)
      : db_(std::move(db)),
        path_(std::move(path)),
        inserts_(std::in_place, db_.get()),
        host_(std::in_place, db_.get()),
        stacks_(std::in_place, db_.get()),
        accesses_(std::in_place, db_.get()) {}

  // Without finish(): as a killed recording, but with all that was added.
  ~SqliteWriter() override { static_cast<void>(flush()); }

  StringId intern(std::string_view text) override {
    if (text.empty()) return StringId{};
    if (const auto found = strings_.find(text); found != strings_.end()) return found->second;
    const auto id = static_cast<StringId>(strings_.size() + 1);
    strings_.emplace(text, id);
    if (ready()) {
      inserts_->string.bind(1, number(id));
      inserts_->string.bind(2, text);
      check(inserts_->string.run());
    }
    return id;
  }

  void meta(std::string_view key, std::string_view value) override {
    if (!ready()) return;
    if (key == kMetaEndNs) end_given_ = true;
    inserts_->meta.bind(1, key);
    inserts_->meta.bind(2, value);
    check(inserts_->meta.run());
  }

  void loss(std::string_view name, Severity severity, uint64_t added) override {
    if (!ready()) return;
    inserts_->loss.bind(1, name);
    inserts_->loss.bind(2, number(severity));
    inserts_->loss.bind(3, number(added));
    check(inserts_->loss.run());
  }

  ProcessId add_process(const Process& process) override {
    const auto id = static_cast<ProcessId>(++processes_);
    if (!ready()) return id;
    seen(process.start_ns);
    seen(process.end_ns);
    Statement& insert = inserts_->process;
    insert.bind(1, number(id));
    insert.bind(2, process.pid);
    insert.bind_unless(3, number(process.parent), 0);
    insert.bind(4, std::string_view(process.command));
    insert.bind(5, process.start_ns);
    insert.bind_unless(6, process.end_ns, kNever);
    insert.bind_unless(7, process.exit, kUnknownExit);
    insert.bind_unless(8, process.rank, -1);
    check(insert.run());
    return id;
  }

  void end_process(ProcessId id, int64_t end_ns, int32_t exit) override {
    if (!ready()) return;
    seen(end_ns);
    inserts_->end_process.bind(1, number(id));
    inserts_->end_process.bind_unless(2, end_ns, kNever);
    inserts_->end_process.bind_unless(3, exit, kUnknownExit);
    check(inserts_->end_process.run());
  }

  ThreadId add_thread(ProcessId process, int32_t tid, std::string_view name) override {
    const auto id = static_cast<ThreadId>(++threads_);
    if (!ready()) return id;
    inserts_->thread.bind(1, number(id));
    inserts_->thread.bind_unless(2, number(process), 0);
    inserts_->thread.bind(3, tid);
    inserts_->thread.bind(4, name);
    check(inserts_->thread.run());
    return id;
  }

  void rename_thread(ThreadId id, std::string_view name) override {
    if (!ready()) return;
    inserts_->rename_thread.bind(1, number(id));
    inserts_->rename_thread.bind(2, name);
    check(inserts_->rename_thread.run());
  }

  AddressId add_address(ProcessId process, uint64_t word, int64_t time_ns) override {
    return takes_stacks() ? stacks_->add_address(process, word, time_ns) : AddressId{};
  }
  StackNodeId add_stack_node(StackNodeId caller, AddressId address) override {
    bool ok = true;
    if (!takes_stacks()) return {};
    const StackNodeId id = stacks_->add_node(caller, address, ok);
    check(ok);
    return id;
  }
  StackId add_stack(ProcessId process, StackNodeId innermost) override {
    bool ok = true;
    if (!ready()) return {};
    if (turned_away(takes_stacks(), "stacks_beyond_max_size", Severity::kDataLoss)) return {};
    const StackId id = stacks_->add_stack(process, innermost, ok);
    check(ok);
    return id;
  }
  FrameId add_frame(const Frame& frame) override {
    bool ok = true;
    if (!ready()) return {};
    const FrameId id = stacks_->frame(
        frame, [this](std::string_view text) { return intern(text); }, ok);
    check(ok);
    return id;
  }
  void name_address(AddressId id, std::span<const FrameId> frames, bool hook) override {
    if (ready()) check(stacks_->name(id, frames, hook));
  }

  void add_module(ProcessId process, std::string_view path, std::string_view build_id_hex,
                  uint64_t base, uint64_t start, uint64_t end, int64_t loaded_ns,
                  int64_t unloaded_ns) override {
    if (!ready()) return;
    Statement& insert = inserts_->module;
    insert.bind_unless(1, number(process), 0);
    insert.bind(2, path);
    insert.bind(3, build_id_hex);
    insert.bind(4, number(base));
    insert.bind(5, number(start));
    insert.bind(6, number(end));
    insert.bind(7, loaded_ns);
    insert.bind_unless(8, unloaded_ns, kNever);
    check(insert.run());
  }
  void drop_modules(ProcessId process, uint64_t start) override {
    if (!ready()) return;
    inserts_->drop_modules.bind(1, number(process));
    inserts_->drop_modules.bind(2, number(start));
    check(inserts_->drop_modules.run());
  }

  AllocationId add_allocation(const Allocation& begin) override;
  void end_allocation(AllocationId id, Layer layer, int64_t free_ns, StackId free_stack) override;
  void revive_allocation(AllocationId id, Layer layer) override;
  void add_transfer(const Transfer& transfer) override;
  void add_memset(const Memset& memset) override;
  int64_t add_kernel(const Kernel& kernel) override;
  void add_accesses(int64_t kernel, std::span<const AllocationId> allocations) override;
  MarkerId add_marker(const Marker& marker) override;
  void end_marker(MarkerId id, int64_t end_ns) override;
  void add_pool_reserved(const PoolReserved& sample) override;
  void add_out_of_memory(const OutOfMemory& event) override;
  WindowId add_window(const RecordingWindow& window) override;
  void end_window(WindowId id, int64_t end_ns) override;
  void add_device_memory(const DeviceMemory& sample) override;
  void add_process_memory(const ProcessMemory& sample) override;
  void add_mappings(std::span<const Mapping> snapshot) override;
  void drop_mappings(ProcessId process, int64_t time_ns) override;
  void replace_host_totals(std::span<const HostTotal> totals,
                           std::span<const HostCurvePoint> curves) override;

  void limit(const Limit& limit) override;
  Room room() override;
  Result<void> commit() override;
  Result<Condensed> condense(int64_t settled_ns) override;
  Result<void> flush() override;
  Result<void> finish() override;

 private:
  static constexpr int32_t kUnknownExit = std::numeric_limits<int32_t>::min();

  // True when rows can be added: nothing failed yet, a transaction is open.
  bool ready() {
    if (error_ || !db_) return false;
    if (in_transaction_) return true;
    in_transaction_ = check(execute(db_.get(), "BEGIN IMMEDIATE") == SQLITE_OK);
    return in_transaction_;
  }
  bool check(bool ok) {
    if (!ok && !error_) error_ = write_error(db_.get(), path_);
    return ok;
  }
  void seen(int64_t time_ns) {
    if (time_ns != kNever) last_event_ns_ = std::max(last_event_ns_, time_ns);
  }
  Result<void> outcome() const {
    if (error_) return tl::unexpected(*error_);
    return {};
  }
  bool takes_stacks() { return ready() && (!limited_ || limited_->takes_stacks()); }
  // Counts what a full trace does not take; true: leave it out.
  bool turned_away(bool taken, const char* loss_name, Severity severity);
  bool no_details() {
    return limited_ &&
           turned_away(limited_->takes_details(), "details_beyond_max_size", Severity::kDataLoss);
  }
  bool no_samples() {
    return limited_ && turned_away(limited_->takes_details(), "memory_samples_beyond_max_size",
                                   Severity::kInfo);
  }
  void compact();
  void close_statements();
  void close_files();

  Connection db_;
  std::string path_;
  // Optional, so that statements can go before the connection does.
  std::optional<Inserts> inserts_;
  std::optional<HostWriter> host_;
  std::optional<StackWriter> stacks_;
  std::optional<AccessWriter> accesses_;
  std::optional<HostSumsWriter> host_sums_;
  std::optional<LimitedTrace> limited_;
  std::unordered_map<std::string, StringId, StringHash, std::equal_to<>> strings_;
  std::optional<Error> error_;
  bool in_transaction_ = false;
  bool end_given_ = false;
  int32_t processes_ = 0;
  int32_t threads_ = 0;
  int64_t allocation_count_ = 0;
  int64_t kernel_count_ = 0;
  int64_t last_event_ns_ = 0;
  int64_t written_event_ns_ = -1;
};

AllocationId SqliteWriter::add_allocation(const Allocation& begin) {
  const auto id = static_cast<AllocationId>(++allocation_count_);
  if (!ready()) return id;
  seen(begin.alloc_ns);
  if (is_host(begin.layer)) {
    check(host_->add(id, begin));
    return id;
  }
  Statement& insert = inserts_->allocation;
  insert.bind(1, number(id));
  insert.bind_unless(2, number(begin.process), 0);
  insert.bind_unless(3, number(begin.thread), 0);
  insert.bind(4, number(begin.layer));
  insert.bind(5, number(begin.space));
  insert.bind_unless(6, begin.device, kNoDevice);
  insert.bind(7, number(begin.address));
  insert.bind(8, number(begin.size));
  insert.bind(9, begin.alloc_ns);
  insert.bind_null(10);
  insert.bind_unless(11, number(begin.alloc_stack), 0);
  stacks_->use_in_row(begin.alloc_stack);
  insert.bind_null(12);
  insert.bind_unless(13, number(begin.api), 0);
  insert.bind_unless(14, number(begin.source), 0);
  check(insert.run());
  return id;
}

void SqliteWriter::end_allocation(AllocationId id, Layer layer, int64_t free_ns,
                                  StackId free_stack) {
  if (!ready() || number(id) < 1 || number(id) > allocation_count_) return;
  seen(free_ns);
  if (is_host(layer)) {
    check(host_->end(id, static_cast<AllocationId>(allocation_count_), free_ns, free_stack));
    return;
  }
  inserts_->end_allocation.bind(1, number(id));
  inserts_->end_allocation.bind(2, free_ns);
  inserts_->end_allocation.bind_unless(3, number(free_stack), 0);
  stacks_->use_in_row(free_stack);
  check(inserts_->end_allocation.run());
}

void SqliteWriter::revive_allocation(AllocationId id, Layer layer) {
  if (!ready() || number(id) < 1 || number(id) > allocation_count_) return;
  if (is_host(layer)) {
    check(host_->revive(id, static_cast<AllocationId>(allocation_count_)));
    return;
  }
  inserts_->revive_allocation.bind(1, number(id));
  check(inserts_->revive_allocation.run());
}

void SqliteWriter::add_transfer(const Transfer& transfer) {
  if (!ready() || no_details()) return;
  seen(transfer.end_ns);
  Statement& insert = inserts_->transfer;
  insert.bind_unless(1, number(transfer.process), 0);
  insert.bind_unless(2, transfer.device, kNoDevice);
  insert.bind(3, transfer.stream);
  insert.bind(4, number(transfer.kind));
  insert.bind(5, number(transfer.bytes));
  insert.bind(6, number(transfer.src_space));
  insert.bind(7, number(transfer.dst_space));
  insert.bind_unless(8, number(transfer.src_address), 0);
  insert.bind_unless(9, number(transfer.dst_address), 0);
  insert.bind(10, transfer.start_ns);
  insert.bind(11, transfer.end_ns - transfer.start_ns);
  insert.bind(12, transfer.correlation);
  insert.bind_unless(13, number(transfer.stack), 0);
  insert.bind_unless(14, number(transfer.src_allocation), 0);
  insert.bind_unless(15, number(transfer.dst_allocation), 0);
  stacks_->use_in_row(transfer.stack);
  check(insert.run());
}

void SqliteWriter::add_memset(const Memset& memset) {
  if (!ready() || no_details()) return;
  seen(memset.end_ns);
  Statement& insert = inserts_->memset;
  insert.bind_unless(1, number(memset.process), 0);
  insert.bind_unless(2, memset.device, kNoDevice);
  insert.bind(3, memset.stream);
  insert.bind(4, number(memset.address));
  insert.bind(5, number(memset.bytes));
  insert.bind(6, memset.start_ns);
  insert.bind(7, memset.end_ns - memset.start_ns);
  insert.bind(8, memset.correlation);
  insert.bind_unless(9, number(memset.stack), 0);
  insert.bind_unless(10, number(memset.allocation), 0);
  stacks_->use_in_row(memset.stack);
  check(insert.run());
}

int64_t SqliteWriter::add_kernel(const Kernel& kernel) {
  if (!ready() || no_details()) return 0;
  seen(kernel.end_ns);
  Statement& insert = inserts_->kernel;
  insert.bind_unless(1, number(kernel.process), 0);
  insert.bind_unless(2, kernel.device, kNoDevice);
  insert.bind(3, kernel.stream);
  insert.bind_unless(4, number(kernel.name), 0);
  insert.bind(5, kernel.start_ns);
  insert.bind(6, kernel.end_ns - kernel.start_ns);
  insert.bind(7, kernel.correlation);
  insert.bind_unless(8, kernel.graph, 0);
  insert.bind_unless(9, number(kernel.stack), 0);
  insert.bind(10, ++kernel_count_);
  stacks_->use_in_row(kernel.stack);
  return check(insert.run()) ? kernel_count_ : 0;
}

void SqliteWriter::add_accesses(int64_t kernel, std::span<const AllocationId> allocations) {
  if (ready() && kernel != 0) check(accesses_->add(kernel, allocations));
}

MarkerId SqliteWriter::add_marker(const Marker& marker) {
  if (!ready() || no_details()) return MarkerId{};
  seen(marker.start_ns);
  seen(marker.end_ns);
  Statement& insert = inserts_->marker;
  insert.bind_unless(1, number(marker.process), 0);
  insert.bind_unless(2, number(marker.thread), 0);
  insert.bind_unless(3, number(marker.domain), 0);
  insert.bind_unless(4, number(marker.name), 0);
  insert.bind(5, marker.start_ns);
  if (marker.end_ns == kNever) {
    insert.bind_null(6);
  } else {
    insert.bind(6, marker.end_ns - marker.start_ns);
  }
  if (!check(insert.run())) return MarkerId{};
  return static_cast<MarkerId>(sqlite3_last_insert_rowid(db_.get()));
}

void SqliteWriter::end_marker(MarkerId id, int64_t end_ns) {
  if (id == MarkerId{} || !ready()) return;
  seen(end_ns);
  inserts_->end_marker.bind(1, number(id));
  inserts_->end_marker.bind(2, end_ns);
  check(inserts_->end_marker.run());
}

void SqliteWriter::add_pool_reserved(const PoolReserved& sample) {
  if (!ready()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->pool_reserved;
  insert.bind_unless(1, number(sample.process), 0);
  insert.bind_unless(2, sample.device, kNoDevice);
  insert.bind(3, sample.time_ns);
  insert.bind(4, number(sample.reserved_bytes));
  check(insert.run());
}

void SqliteWriter::add_out_of_memory(const OutOfMemory& event) {
  if (!ready()) return;
  seen(event.time_ns);
  Statement& insert = inserts_->out_of_memory;
  insert.bind_unless(1, number(event.process), 0);
  insert.bind_unless(2, number(event.thread), 0);
  insert.bind_unless(3, event.device, kNoDevice);
  insert.bind(4, number(event.layer));
  insert.bind(5, event.time_ns);
  insert.bind(6, number(event.requested_bytes));
  insert.bind(7, number(event.allocated_bytes));
  insert.bind(8, number(event.reserved_bytes));
  insert.bind_unless(9, number(event.stack), 0);
  stacks_->use_in_row(event.stack);
  check(insert.run());
}

WindowId SqliteWriter::add_window(const RecordingWindow& window) {
  if (!ready()) return WindowId{};
  Statement& insert = inserts_->window;
  insert.bind_unless(1, number(window.process), 0);
  insert.bind(2, window.begin_ns);
  insert.bind_unless(3, window.end_ns, kNever);
  if (!check(insert.run())) return WindowId{};
  return static_cast<WindowId>(sqlite3_last_insert_rowid(db_.get()));
}

void SqliteWriter::end_window(WindowId id, int64_t end_ns) {
  if (id == WindowId{} || !ready()) return;
  inserts_->end_window.bind(1, number(id));
  inserts_->end_window.bind(2, end_ns);
  check(inserts_->end_window.run());
}

void SqliteWriter::add_device_memory(const DeviceMemory& sample) {
  if (!ready() || no_samples()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->device_memory;
  insert.bind_unless(1, number(sample.process), 0);
  insert.bind_unless(2, number(sample.bus), 0);
  insert.bind(3, sample.time_ns);
  insert.bind(4, number(sample.used_bytes));
  insert.bind_unless(5, number(sample.total_bytes), 0);
  check(insert.run());
}

void SqliteWriter::add_process_memory(const ProcessMemory& sample) {
  if (!ready() || no_samples()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->process_memory;
  insert.bind(1, number(sample.process));
  insert.bind(2, sample.time_ns);
  insert.bind(3, sample.rss_bytes);
  insert.bind_unless(4, sample.peak_rss_bytes, kNotMeasured);
  insert.bind_unless(5, sample.pss_bytes, kNotMeasured);
  insert.bind_unless(6, sample.anonymous_bytes, kNotMeasured);
  insert.bind_unless(7, sample.file_bytes, kNotMeasured);
  insert.bind_unless(8, sample.shared_bytes, kNotMeasured);
  insert.bind_unless(9, sample.swap_bytes, kNotMeasured);
  insert.bind_unless(10, sample.huge_page_bytes, kNotMeasured);
  insert.bind(11, sample.minor_faults);
  insert.bind(12, sample.major_faults);
  check(insert.run());
}

void SqliteWriter::add_mappings(std::span<const Mapping> snapshot) {
  if (!ready() || no_samples()) return;
  Statement& insert = inserts_->mapping;
  for (const Mapping& mapping : snapshot) {
    seen(mapping.time_ns);
    insert.bind(1, number(mapping.process));
    insert.bind(2, mapping.time_ns);
    insert.bind(3, number(mapping.start));
    insert.bind(4, number(mapping.mapped_bytes));
    insert.bind(5, number(mapping.kind));
    insert.bind_unless(6, number(mapping.path), 0);
    insert.bind(7, number(mapping.resident_bytes));
    insert.bind(8, number(mapping.pss_bytes));
    insert.bind(9, number(mapping.swap_bytes));
    insert.bind(10, number(mapping.huge_page_bytes));
    check(insert.run());
  }
}

void SqliteWriter::drop_mappings(ProcessId process, int64_t time_ns) {
  if (!ready()) return;
  inserts_->drop_mappings.bind(1, number(process));
  inserts_->drop_mappings.bind(2, time_ns);
  check(inserts_->drop_mappings.run());
}

void SqliteWriter::replace_host_totals(std::span<const HostTotal> totals,
                                       std::span<const HostCurvePoint> curves) {
  if (!ready()) return;
  // The sums of many stacks may be more than one transaction may hold.
  const auto pause = [this] {
    if (limited_ && limited_->room(0) == Room::kCommit) static_cast<void>(commit());
    return ready();
  };
  if (!host_sums_) host_sums_.emplace(db_.get());
  check(host_sums_->write_totals(totals, pause));
  if (ready()) check(host_sums_->write_curves(curves));
  for (const HostCurvePoint& point : curves) seen(point.time_ns);
}

void SqliteWriter::limit(const Limit& limit) { limited_.emplace(db_.get(), path_, limit); }

Room SqliteWriter::room() {
  if (!limited_ || !ready()) return Room::kEnough;
  const Room room = limited_->room(host_->open_bytes() + accesses_->open_bytes());
  if (auto error = limited_->ran_out()) error_ = std::move(error);
  return room;
}

bool SqliteWriter::turned_away(bool taken, const char* loss_name, Severity severity) {
  if (!taken) loss(loss_name, severity, 1);
  return !taken;
}

Result<void> SqliteWriter::commit() {
  if (!error_ && in_transaction_) {
    check(stacks_->flush(StackWriter::For::kNow));  // rows name them
    check(accesses_->flush(false));
    if (!error_) check(execute(db_.get(), "COMMIT") == SQLITE_OK);
    if (!error_) in_transaction_ = false;
    if (!error_ && limited_) limited_->committed();
  }
  return outcome();
}

Result<Condensed> SqliteWriter::condense(int64_t settled_ns) {
  if (!limited_) return Condensed{};
  if (auto flushed = flush(); !flushed) return tl::unexpected(flushed.error());
  auto condensed = limited_->condense(settled_ns);
  if (!condensed) {
    error_ = condensed.error();
  } else if (!condensed->rows_left) {
    host_.emplace(db_.get());
    loss("live_allocations_condensed", Severity::kInfo, condensed->allocations);
  }
  return condensed;
}

Result<void> SqliteWriter::flush() {
  if (!error_ && in_transaction_) {
    check(host_->flush());
    if (limited_ && limited_->newly_exceeded()) loss("max_size_exceeded", Severity::kInfo, 1);
    if (!error_ && written_event_ns_ != last_event_ns_) {
      meta(kMetaLastEventNs, std::to_string(last_event_ns_));
      written_event_ns_ = last_event_ns_;
    }
  }
  return commit();
}

void SqliteWriter::compact() {
  if (limited_) {
    limited_->compact(kVacuumBytes);
    return;
  }
  Statement size(db_.get(), "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size");
  const int64_t bytes = size.row() ? size.integer(0) : kVacuumBytes;
  size = Statement();
  // Not necessary for a valid trace, so a failure (no room for the copy) is no error.
  execute(db_.get(), bytes < kVacuumBytes ? "VACUUM" : "PRAGMA incremental_vacuum");
}

void SqliteWriter::close_statements() {
  inserts_.reset();
  host_.reset();
  stacks_.reset();
  accesses_.reset();
  host_sums_.reset();
}

void SqliteWriter::close_files() {
  close_statements();
  compact();
  limited_.reset();  // its statements would keep the journal
  // A reader that follows the recording keeps the journal: then the trace stays in WAL mode, whole
  // and readable, and the two side files stay until somebody writes it again.
  sqlite3_busy_timeout(db_.get(), 2000);
  const int emptied = execute(db_.get(), "PRAGMA wal_checkpoint(TRUNCATE)");
  if (check(emptied == SQLITE_OK || emptied == SQLITE_BUSY)) {
    const int single = execute(db_.get(), "PRAGMA journal_mode=DELETE");
    check(single == SQLITE_OK || single == SQLITE_BUSY || single == SQLITE_LOCKED);
  }
}

Result<void> SqliteWriter::finish() {
  if (!db_) return outcome();
  if (flush() && ready()) {
    if (!end_given_) meta(kMetaEndNs, std::to_string(last_event_ns_));
    check(stacks_->flush(StackWriter::For::kGood));
    check(accesses_->flush(true));
    if (!error_) check(stacks_->write_plain(db_.get()));
    static_cast<void>(flush());
  }
  if (!error_) {
    Settling how;
    if (limited_) how = {kMaxChunkRows, [this] { return limited_->most_twice(); }};
    if (auto settled = settle_host_chunks(db_.get(), path_, how); !settled) {
      error_ = settled.error();
    }
  }
  if (ready()) {
    meta(kMetaFinished, "1");
    static_cast<void>(flush());
  }
  if (!error_) close_files();
  close_statements();
  limited_.reset();
  db_.reset();
  return outcome();
}

}  // namespace

StackId Writer::add_framed_stack(ProcessId process, std::span<const Frame> innermost_first) {
  StackNodeId node{};
  for (size_t i = innermost_first.size(); i-- > 0;) {
    const AddressId address = add_address(process, 0, 0);
    const FrameId frame = add_frame(innermost_first[i]);
    name_address(address, {&frame, 1}, false);
    node = add_stack_node(node, address);
  }
  return add_stack(process, node);
}

Result<std::unique_ptr<Writer>> Writer::create(const std::string& path) {
  auto db = create_trace_file(path);
  if (!db) return tl::unexpected(db.error());
  return std::make_unique<SqliteWriter>(std::move(*db), path);
}

}  // namespace tidemark::trace
