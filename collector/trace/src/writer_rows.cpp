// One function a kind of row.
#include "sqlite_writer.h"

namespace tidemark::trace {

AllocationId SqliteWriter::add_allocation(const Allocation& begin) {
  const auto id = static_cast<AllocationId>(++allocation_count_);
  if (!ready()) return id;
  seen(begin.alloc_ns);
  if (is_host(begin.layer)) {
    check(host_->add(id, begin));
    return id;
  }
  Statement& insert = inserts_->allocation;
  insert.bind(1, integer(id));
  insert.bind_unless(2, integer(begin.process), 0);
  insert.bind_unless(3, integer(begin.thread), 0);
  insert.bind(4, integer(begin.layer));
  insert.bind(5, integer(begin.space));
  insert.bind_unless(6, begin.device, kNoDevice);
  insert.bind(7, integer(begin.address));
  insert.bind(8, integer(begin.size));
  insert.bind(9, begin.alloc_ns);
  insert.bind_null(10);
  insert.bind_unless(11, integer(begin.alloc_stack), 0);
  stacks_->use_in_row(begin.alloc_stack);
  insert.bind_null(12);
  insert.bind_unless(13, integer(begin.api), 0);
  insert.bind_unless(14, integer(begin.source), 0);
  check(insert.run());
  return id;
}

void SqliteWriter::end_allocation(AllocationId id, Layer layer, int64_t free_ns,
                                  StackId free_stack) {
  if (!ready() || integer(id) < 1 || integer(id) > allocation_count_) return;
  seen(free_ns);
  if (is_host(layer)) {
    check(host_->end(id, static_cast<AllocationId>(allocation_count_), free_ns, free_stack));
    return;
  }
  inserts_->end_allocation.bind(1, integer(id));
  inserts_->end_allocation.bind(2, free_ns);
  inserts_->end_allocation.bind_unless(3, integer(free_stack), 0);
  stacks_->use_in_row(free_stack);
  check(inserts_->end_allocation.run());
}

void SqliteWriter::revive_allocation(AllocationId id, Layer layer) {
  if (!ready() || integer(id) < 1 || integer(id) > allocation_count_) return;
  if (is_host(layer)) {
    check(host_->revive(id, static_cast<AllocationId>(allocation_count_)));
    return;
  }
  inserts_->revive_allocation.bind(1, integer(id));
  check(inserts_->revive_allocation.run());
}

void SqliteWriter::add_transfer(const Transfer& transfer) {
  if (!ready() || no_details()) return;
  seen(transfer.end_ns);
  Statement& insert = inserts_->transfer;
  insert.bind_unless(1, integer(transfer.process), 0);
  insert.bind_unless(2, transfer.device, kNoDevice);
  insert.bind(3, transfer.stream);
  insert.bind(4, integer(transfer.kind));
  insert.bind(5, integer(transfer.bytes));
  insert.bind(6, integer(transfer.src_space));
  insert.bind(7, integer(transfer.dst_space));
  insert.bind_unless(8, integer(transfer.src_address), 0);
  insert.bind_unless(9, integer(transfer.dst_address), 0);
  insert.bind(10, transfer.start_ns);
  insert.bind(11, transfer.end_ns - transfer.start_ns);
  insert.bind(12, transfer.correlation);
  insert.bind_unless(13, integer(transfer.stack), 0);
  insert.bind_unless(14, integer(transfer.src_allocation), 0);
  insert.bind_unless(15, integer(transfer.dst_allocation), 0);
  stacks_->use_in_row(transfer.stack);
  check(insert.run());
}

void SqliteWriter::add_memset(const Memset& memset) {
  if (!ready() || no_details()) return;
  seen(memset.end_ns);
  Statement& insert = inserts_->memset;
  insert.bind_unless(1, integer(memset.process), 0);
  insert.bind_unless(2, memset.device, kNoDevice);
  insert.bind(3, memset.stream);
  insert.bind(4, integer(memset.address));
  insert.bind(5, integer(memset.bytes));
  insert.bind(6, memset.start_ns);
  insert.bind(7, memset.end_ns - memset.start_ns);
  insert.bind(8, memset.correlation);
  insert.bind_unless(9, integer(memset.stack), 0);
  insert.bind_unless(10, integer(memset.allocation), 0);
  stacks_->use_in_row(memset.stack);
  check(insert.run());
}

int64_t SqliteWriter::add_kernel(const Kernel& kernel) {
  if (!ready() || no_details()) return 0;
  seen(kernel.end_ns);
  Statement& insert = inserts_->kernel;
  insert.bind_unless(1, integer(kernel.process), 0);
  insert.bind_unless(2, kernel.device, kNoDevice);
  insert.bind(3, kernel.stream);
  insert.bind_unless(4, integer(kernel.name), 0);
  insert.bind(5, kernel.start_ns);
  insert.bind(6, kernel.end_ns - kernel.start_ns);
  insert.bind(7, kernel.correlation);
  insert.bind_unless(8, kernel.graph, 0);
  insert.bind_unless(9, integer(kernel.stack), 0);
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
  insert.bind_unless(1, integer(marker.process), 0);
  insert.bind_unless(2, integer(marker.thread), 0);
  insert.bind_unless(3, integer(marker.domain), 0);
  insert.bind_unless(4, integer(marker.name), 0);
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
  inserts_->end_marker.bind(1, integer(id));
  inserts_->end_marker.bind(2, end_ns);
  check(inserts_->end_marker.run());
}

void SqliteWriter::add_pool_reserved(const PoolReserved& sample) {
  if (!ready()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->pool_reserved;
  insert.bind_unless(1, integer(sample.process), 0);
  insert.bind_unless(2, sample.device, kNoDevice);
  insert.bind(3, sample.time_ns);
  insert.bind(4, integer(sample.reserved_bytes));
  check(insert.run());
}

void SqliteWriter::add_out_of_memory(const OutOfMemory& event) {
  if (!ready()) return;
  seen(event.time_ns);
  Statement& insert = inserts_->out_of_memory;
  insert.bind_unless(1, integer(event.process), 0);
  insert.bind_unless(2, integer(event.thread), 0);
  insert.bind_unless(3, event.device, kNoDevice);
  insert.bind(4, integer(event.layer));
  insert.bind(5, event.time_ns);
  insert.bind(6, integer(event.requested_bytes));
  insert.bind(7, integer(event.allocated_bytes));
  insert.bind(8, integer(event.reserved_bytes));
  insert.bind_unless(9, integer(event.stack), 0);
  stacks_->use_in_row(event.stack);
  check(insert.run());
}

WindowId SqliteWriter::add_window(const RecordingWindow& window) {
  if (!ready()) return WindowId{};
  Statement& insert = inserts_->window;
  insert.bind_unless(1, integer(window.process), 0);
  insert.bind(2, window.begin_ns);
  insert.bind_unless(3, window.end_ns, kNever);
  if (!check(insert.run())) return WindowId{};
  return static_cast<WindowId>(sqlite3_last_insert_rowid(db_.get()));
}

void SqliteWriter::end_window(WindowId id, int64_t end_ns) {
  if (id == WindowId{} || !ready()) return;
  inserts_->end_window.bind(1, integer(id));
  inserts_->end_window.bind(2, end_ns);
  check(inserts_->end_window.run());
}

void SqliteWriter::add_device_memory(const DeviceMemory& sample) {
  if (!ready() || no_samples()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->device_memory;
  insert.bind_unless(1, integer(sample.process), 0);
  insert.bind_unless(2, integer(sample.bus), 0);
  insert.bind(3, sample.time_ns);
  insert.bind(4, integer(sample.used_bytes));
  insert.bind_unless(5, integer(sample.total_bytes), 0);
  check(insert.run());
}

void SqliteWriter::add_device_power(const DevicePower& sample) {
  if (!ready() || no_samples()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->device_power;
  insert.bind_unless(1, integer(sample.bus), 0);
  insert.bind(2, sample.time_ns);
  insert.bind(3, sample.power_mw);
  insert.bind_unless(4, sample.energy_mj, DevicePower::kUntold);
  check(insert.run());
}

void SqliteWriter::add_driver_pool(const DriverPool& sample) {
  if (!ready() || no_details()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->driver_pool;
  insert.bind_unless(1, integer(sample.process), 0);
  insert.bind_unless(2, sample.device, kNoDevice);
  insert.bind(3, integer(sample.pool));
  insert.bind(4, sample.time_ns);
  insert.bind(5, integer(sample.held_bytes));
  insert.bind(6, integer(sample.used_bytes));
  check(insert.run());
}

void SqliteWriter::add_migration(const Migration& migration) {
  if (!ready() || no_details()) return;
  seen(migration.end_ns);
  Statement& insert = inserts_->migration;
  insert.bind_unless(1, integer(migration.process), 0);
  insert.bind(2, integer(migration.kind));
  insert.bind_unless(3, migration.src_device, kNoDevice);
  insert.bind_unless(4, migration.dst_device, kNoDevice);
  insert.bind(5, integer(migration.address));
  insert.bind(6, integer(migration.bytes));
  insert.bind(7, migration.faults);
  insert.bind(8, migration.start_ns);
  insert.bind(9, migration.end_ns - migration.start_ns);
  check(insert.run());
}

ImportId SqliteWriter::add_import(const ImportedMemory& import) {
  if (!ready()) return ImportId{};
  seen(import.open_ns);
  Statement& insert = inserts_->import;
  insert.bind_unless(1, integer(import.process), 0);
  insert.bind_unless(2, integer(import.thread), 0);
  insert.bind_unless(3, import.device, kNoDevice);
  insert.bind(4, integer(import.address));
  insert.bind_unless(5, integer(import.size), 0);
  insert.bind(6, import.open_ns);
  insert.bind_unless(7, import.close_ns, kNever);
  insert.bind_unless(8, integer(import.stack), 0);
  insert.bind_unless(9, integer(import.api), 0);
  stacks_->use_in_row(import.stack);
  if (!check(insert.run())) return ImportId{};
  return static_cast<ImportId>(sqlite3_last_insert_rowid(db_.get()));
}

void SqliteWriter::end_import(ImportId id, int64_t close_ns) {
  if (id == ImportId{} || !ready()) return;
  seen(close_ns);
  inserts_->end_import.bind(1, integer(id));
  inserts_->end_import.bind(2, close_ns);
  check(inserts_->end_import.run());
}

void SqliteWriter::add_process_memory(const ProcessMemory& sample) {
  if (!ready() || no_samples()) return;
  seen(sample.time_ns);
  Statement& insert = inserts_->process_memory;
  insert.bind(1, integer(sample.process));
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
    insert.bind(1, integer(mapping.process));
    insert.bind(2, mapping.time_ns);
    insert.bind(3, integer(mapping.start));
    insert.bind(4, integer(mapping.mapped_bytes));
    insert.bind(5, integer(mapping.kind));
    insert.bind_unless(6, integer(mapping.path), 0);
    insert.bind(7, integer(mapping.resident_bytes));
    insert.bind(8, integer(mapping.pss_bytes));
    insert.bind(9, integer(mapping.swap_bytes));
    insert.bind(10, integer(mapping.huge_page_bytes));
    check(insert.run());
  }
}

void SqliteWriter::drop_mappings(ProcessId process, int64_t time_ns) {
  if (!ready()) return;
  inserts_->drop_mappings.bind(1, integer(process));
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

}  // namespace tidemark::trace
