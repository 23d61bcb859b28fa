#include "condensing_writer.h"

#include <algorithm>

namespace tidemark::collector {
namespace {

using trace::Layer;

bool is_host(Layer layer) { return layer == Layer::kOs || layer == Layer::kHeap; }

class CondensingWriter final : public trace::Writer {
 public:
  CondensingWriter(std::unique_ptr<trace::Writer> inner, HostRows rows, int64_t most_bytes)
      : inner_(std::move(inner)),
        keep_rows_(rows == HostRows::kKeep),
        limited_(most_bytes > 0),
        sums_needed_(!keep_rows_) {
    if (limited_) inner_->limit({most_bytes, keep_rows_});
  }

  trace::StringId intern(std::string_view text) override { return inner_->intern(text); }
  void meta(std::string_view key, std::string_view value) override { inner_->meta(key, value); }
  void loss(std::string_view name, trace::Severity severity, uint64_t added) override {
    inner_->loss(name, severity, added);
  }
  trace::ProcessId add_process(const trace::Process& process) override {
    return inner_->add_process(process);
  }
  void end_process(trace::ProcessId id, int64_t end_ns, int32_t exit) override {
    if (end_ns != trace::kNever) sums_.end_process(id, end_ns);
    inner_->end_process(id, end_ns, exit);
  }
  trace::ThreadId add_thread(trace::ProcessId process, int32_t tid,
                             std::string_view name) override {
    return inner_->add_thread(process, tid, name);
  }
  void rename_thread(trace::ThreadId id, std::string_view name) override {
    inner_->rename_thread(id, name);
  }
  trace::AddressId add_address(trace::ProcessId process, uint64_t word, int64_t time_ns) override {
    return inner_->add_address(process, word, time_ns);
  }
  trace::StackNodeId add_stack_node(trace::StackNodeId caller, trace::AddressId address) override {
    return inner_->add_stack_node(caller, address);
  }
  trace::StackId add_stack(trace::ProcessId process, trace::StackNodeId innermost) override {
    make_room();
    return inner_->add_stack(process, innermost);
  }
  trace::FrameId add_frame(const trace::Frame& frame) override { return inner_->add_frame(frame); }
  void name_address(trace::AddressId id, std::span<const trace::FrameId> frames,
                    bool hook) override {
    make_room();
    inner_->name_address(id, frames, hook);
  }
  void add_module(trace::ProcessId process, std::string_view path, std::string_view build_id_hex,
                  uint64_t base, uint64_t start, uint64_t end, int64_t loaded_ns,
                  int64_t unloaded_ns) override {
    inner_->add_module(process, path, build_id_hex, base, start, end, loaded_ns, unloaded_ns);
  }
  void drop_modules(trace::ProcessId process, uint64_t start) override {
    inner_->drop_modules(process, start);
  }

  trace::AllocationId add_allocation(const trace::Allocation& begin) override {
    make_room();
    if (!is_host(begin.layer)) return inner_->add_allocation(begin);
    // Ids of rows that are never written are our own; a layer tells them from the others.
    const auto id =
        keep_rows_ ? inner_->add_allocation(begin) : static_cast<trace::AllocationId>(++host_ids_);
    sums_.begin(id, begin);
    return id;
  }
  void end_allocation(trace::AllocationId id, Layer layer, int64_t free_ns,
                      trace::StackId free_stack) override {
    make_room();
    if (is_host(layer)) sums_.end(id, free_ns);
    if (keep_rows_ || !is_host(layer)) inner_->end_allocation(id, layer, free_ns, free_stack);
  }
  void revive_allocation(trace::AllocationId id, Layer layer) override {
    if (is_host(layer)) sums_.revive(id);
    if (keep_rows_ || !is_host(layer)) inner_->revive_allocation(id, layer);
  }

  void add_transfer(const trace::Transfer& row) override {
    make_room();
    inner_->add_transfer(row);
  }
  void add_memset(const trace::Memset& row) override {
    make_room();
    inner_->add_memset(row);
  }
  int64_t add_kernel(const trace::Kernel& row) override {
    make_room();
    return inner_->add_kernel(row);
  }
  void add_accesses(int64_t kernel, std::span<const trace::AllocationId> allocations) override {
    inner_->add_accesses(kernel, allocations);
  }
  trace::MarkerId add_marker(const trace::Marker& row) override {
    make_room();
    return inner_->add_marker(row);
  }
  void end_marker(trace::MarkerId id, int64_t end_ns) override { inner_->end_marker(id, end_ns); }
  void add_pool_reserved(const trace::PoolReserved& row) override {
    inner_->add_pool_reserved(row);
  }
  void add_out_of_memory(const trace::OutOfMemory& row) override { inner_->add_out_of_memory(row); }
  trace::WindowId add_window(const trace::RecordingWindow& window) override {
    return inner_->add_window(window);
  }
  void end_window(trace::WindowId id, int64_t end_ns) override { inner_->end_window(id, end_ns); }
  void add_device_memory(const trace::DeviceMemory& row) override {
    inner_->add_device_memory(row);
  }
  void add_device_power(const trace::DevicePower& row) override { inner_->add_device_power(row); }
  void add_driver_pool(const trace::DriverPool& row) override {
    make_room();
    inner_->add_driver_pool(row);
  }
  void add_migration(const trace::Migration& row) override {
    make_room();
    inner_->add_migration(row);
  }
  trace::ImportId add_import(const trace::ImportedMemory& row) override {
    return inner_->add_import(row);
  }
  void end_import(trace::ImportId id, int64_t close_ns) override {
    inner_->end_import(id, close_ns);
  }
  void add_process_memory(const trace::ProcessMemory& row) override {
    inner_->add_process_memory(row);
  }
  void add_mappings(std::span<const trace::Mapping> snapshot) override {
    inner_->add_mappings(snapshot);
  }
  void drop_mappings(trace::ProcessId process, int64_t time_ns) override {
    inner_->drop_mappings(process, time_ns);
  }
  void replace_host_totals(std::span<const trace::HostTotal> totals,
                           std::span<const trace::HostCurvePoint> curves) override {
    inner_->replace_host_totals(totals, curves);
  }
  void limit(const trace::Limit& limit) override { inner_->limit(limit); }
  trace::Room room() override { return inner_->room(); }
  Result<void> commit() override { return inner_->commit(); }
  Result<trace::Condensed> condense(int64_t settled_ns) override {
    return inner_->condense(settled_ns);
  }
  Result<void> flush() override {
    sums_.settle();
    if (limited_) make_room_now();
    // A killed recording shall have its sums. Where there are no rows, what the last ones came to
    // is missed least; else both must say the same.
    if (sums_needed_ && (keep_rows_ || ++flushes_ >= next_write_)) {
      write_sums();
      next_write_ = std::min(flushes_ * 2, flushes_ + kMostFlushesBetween);
    }
    return inner_->flush();
  }
  Result<void> finish() override {
    sums_.settle_all();
    if (limited_) make_room_now();
    if (sums_needed_) write_sums();
    add_loss("sums_out_of_order", trace::Severity::kInfo, sums_.late_events());
    add_loss("revivals_too_late", trace::Severity::kDataLoss, sums_.lost_revivals());
    return inner_->finish();
  }

 private:
  static constexpr uint64_t kMostFlushesBetween = 30;
  static constexpr uint64_t kAdditionsBetween = 1024;
  // No trace has so many rows that these could be those of the real writer.
  static constexpr int64_t kIdsOfOurOwn = int64_t{1} << 48;

  void add_loss(std::string_view name, trace::Severity severity, uint64_t count) {
    if (count != 0) inner_->loss(name, severity, count);
  }
  void write_sums() { inner_->replace_host_totals(sums_.totals(), sums_.curves()); }

  // Asked now and then: a pass of the collector may bring more than a trace may hold.
  void make_room() {
    if (!limited_ || ++additions_ % kAdditionsBetween != 0) return;
    make_room_now();
  }
  // Errors stay in the real writer, and come with the next flush.
  void make_room_now() {
    const trace::Room room = inner_->room();
    if (room == trace::Room::kEnough) return;
    if (room == trace::Room::kCondense) {
      sums_needed_ = true;
      // A long pass brings more than a trace may hold: what is not settled cannot be condensed, and
      // then there would seem to be nothing but what lives.
      sums_.settle();
    }
    if (sums_needed_ && keep_rows_) write_sums();
    if (room == trace::Room::kCommit) {
      static_cast<void>(inner_->commit());
      return;
    }
    const auto condensed = inner_->condense(sums_.settled_ns());
    if (!condensed || condensed->rows_left) return;
    keep_rows_ = false;
    host_ids_ = kIdsOfOurOwn;
  }

  std::unique_ptr<trace::Writer> inner_;
  bool keep_rows_;
  bool limited_;
  bool sums_needed_;  // false: the rows say all
  HostAggregate sums_;
  uint64_t additions_ = 0;
  int64_t host_ids_ = 0;
  uint64_t flushes_ = 0;
  uint64_t next_write_ = 1;
};

}  // namespace

std::unique_ptr<trace::Writer> condensing_writer(std::unique_ptr<trace::Writer> writer,
                                                 HostRows rows, int64_t most_bytes) {
  return std::make_unique<CondensingWriter>(std::move(writer), rows, most_bytes);
}

}  // namespace tidemark::collector
