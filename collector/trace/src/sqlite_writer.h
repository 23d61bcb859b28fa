// The Writer of a SQLite file: its statements, its transaction, and what it counts. Private to the
// trace. One thread owns it. writer.cpp holds what happens to the file as a whole; writer_rows.cpp
// one function a kind of row.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>

#include "access_writer.h"
#include "create.h"
#include "host_sums_writer.h"
#include "host_writer.h"
#include "limited_trace.h"
#include "sqlite.h"
#include "stack_writer.h"
#include "tidemark/trace/writer.h"

namespace tidemark::trace {

inline int64_t integer(auto id) { return static_cast<int64_t>(id); }

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
        device_power(db, "INSERT INTO device_power_row VALUES(?1,?2,?3,?4)", kKeep),
        driver_pool(db, "INSERT INTO driver_pool VALUES(?1,?2,?3,?4,?5,?6)", kKeep),
        migration(db, "INSERT INTO migration_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9)", kKeep),
        import(db, "INSERT INTO imported_memory_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9)",
               kKeep),
        end_import(db, "UPDATE imported_memory_row SET close_ns=?2 WHERE id=?1", kKeep),
        window(db, "INSERT INTO recording_window VALUES(NULL,?1,?2,?3)", kKeep),
        end_window(db, "UPDATE recording_window SET end_ns=?2 WHERE id=?1", kKeep),
        process_memory(
            db, "INSERT INTO process_memory VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)", kKeep),
        mapping(db, "INSERT INTO mapping_row VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)", kKeep),
        drop_mappings(db, "DELETE FROM mapping_row WHERE process_id=?1 AND time_ns=?2", kKeep) {}

  static constexpr unsigned kKeep = SQLITE_PREPARE_PERSISTENT;
  Statement string, meta, loss, process, end_process, thread, rename_thread, module, drop_modules,
      allocation, end_allocation, revive_allocation, transfer, memset, kernel, marker, end_marker,
      pool_reserved, out_of_memory, device_memory, device_power, driver_pool, migration, import,
      end_import, window, end_window, process_memory, mapping, drop_mappings;
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
      inserts_->string.bind(1, integer(id));
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
    inserts_->loss.bind(2, integer(severity));
    inserts_->loss.bind(3, integer(added));
    check(inserts_->loss.run());
  }

  ProcessId add_process(const Process& process) override {
    const auto id = static_cast<ProcessId>(++processes_);
    if (!ready()) return id;
    seen(process.start_ns);
    seen(process.end_ns);
    Statement& insert = inserts_->process;
    insert.bind(1, integer(id));
    insert.bind(2, process.pid);
    insert.bind_unless(3, integer(process.parent), 0);
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
    inserts_->end_process.bind(1, integer(id));
    inserts_->end_process.bind_unless(2, end_ns, kNever);
    inserts_->end_process.bind_unless(3, exit, kUnknownExit);
    check(inserts_->end_process.run());
  }

  ThreadId add_thread(ProcessId process, int32_t tid, std::string_view name) override {
    const auto id = static_cast<ThreadId>(++threads_);
    if (!ready()) return id;
    inserts_->thread.bind(1, integer(id));
    inserts_->thread.bind_unless(2, integer(process), 0);
    inserts_->thread.bind(3, tid);
    inserts_->thread.bind(4, name);
    check(inserts_->thread.run());
    return id;
  }

  void rename_thread(ThreadId id, std::string_view name) override {
    if (!ready()) return;
    inserts_->rename_thread.bind(1, integer(id));
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
    insert.bind_unless(1, integer(process), 0);
    insert.bind(2, path);
    insert.bind(3, build_id_hex);
    insert.bind(4, integer(base));
    insert.bind(5, integer(start));
    insert.bind(6, integer(end));
    insert.bind(7, loaded_ns);
    insert.bind_unless(8, unloaded_ns, kNever);
    check(insert.run());
  }
  void drop_modules(ProcessId process, uint64_t start) override {
    if (!ready()) return;
    inserts_->drop_modules.bind(1, integer(process));
    inserts_->drop_modules.bind(2, integer(start));
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
  void add_device_power(const DevicePower& sample) override;
  void add_driver_pool(const DriverPool& sample) override;
  void add_migration(const Migration& migration) override;
  ImportId add_import(const ImportedMemory& import) override;
  void end_import(ImportId id, int64_t close_ns) override;
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

}  // namespace tidemark::trace
