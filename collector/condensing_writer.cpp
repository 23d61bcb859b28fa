#include "condensing_writer.h"

namespace tidemark::collector {
namespace {

using trace::Layer;

bool is_host(Layer layer) { return layer == Layer::kOs || layer == Layer::kHeap; }

class CondensingWriter final : public trace::Writer {
 public:
  CondensingWriter(std::unique_ptr<trace::Writer> inner, HostRows rows)
      : inner_(std::move(inner)), keep_rows_(rows == HostRows::kKeep) {}

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
    return inner_->add_stack(process, innermost);
  }
  trace::FrameId add_frame(const trace::Frame& frame) override { return inner_->add_frame(frame); }
  void name_address(trace::AddressId id, std::span<const trace::FrameId> frames,
                    bool hook) override {
    inner_->name_address(id, frames, hook);
  }
  void add_module(trace::ProcessId process, std::string_view path, std::string_view build_id_hex,
                  uint64_t base, uint64_t start, uint64_t end, int64_t loaded_ns,
                  int64_t unloaded_ns) override {
    inner_->add_module(process, path, build_id_hex, base, start, end, loaded_ns, unloaded_ns);
  }

  trace::AllocationId add_allocation(const trace::Allocation& begin) override {
    if (!is_host(begin.layer)) return inner_->add_allocation(begin);
    // Ids of rows that are never written are our own; a layer tells them from the others.
    const auto id =
        keep_rows_ ? inner_->add_allocation(begin) : static_cast<trace::AllocationId>(++host_ids_);
    sums_.begin(id, begin);
    return id;
  }
  void end_allocation(trace::AllocationId id, Layer layer, int64_t free_ns,
                      trace::StackId free_stack) override {
    if (is_host(layer)) sums_.end(id, free_ns);
    if (keep_rows_ || !is_host(layer)) inner_->end_allocation(id, layer, free_ns, free_stack);
  }
  void revive_allocation(trace::AllocationId id, Layer layer) override {
    if (is_host(layer)) sums_.revive(id);
    if (keep_rows_ || !is_host(layer)) inner_->revive_allocation(id, layer);
  }

  void add_transfer(const trace::Transfer& row) override { inner_->add_transfer(row); }
  void add_memset(const trace::Memset& row) override { inner_->add_memset(row); }
  void add_kernel(const trace::Kernel& row) override { inner_->add_kernel(row); }
  void add_marker(const trace::Marker& row) override { inner_->add_marker(row); }
  void add_pool_reserved(const trace::PoolReserved& row) override {
    inner_->add_pool_reserved(row);
  }
  void add_out_of_memory(const trace::OutOfMemory& row) override { inner_->add_out_of_memory(row); }
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
  Result<void> flush() override {
    // A killed recording shall have its sums, but writing them costs more the more there are.
    sums_.settle();
    if (++flushes_ >= next_write_) {
      write_sums();
      next_write_ = flushes_ * 2;
      if (next_write_ > flushes_ + kMostFlushesBetween)
        next_write_ = flushes_ + kMostFlushesBetween;
    }
    return inner_->flush();
  }
  Result<void> finish() override {
    sums_.settle_all();
    write_sums();
    add_loss("sums_out_of_order", trace::Severity::kInfo, sums_.late_events());
    add_loss("revivals_too_late", trace::Severity::kDataLoss, sums_.lost_revivals());
    return inner_->finish();
  }

 private:
  static constexpr uint64_t kMostFlushesBetween = 30;

  void add_loss(std::string_view name, trace::Severity severity, uint64_t count) {
    if (count != 0) inner_->loss(name, severity, count);
  }
  void write_sums() { inner_->replace_host_totals(sums_.totals(), sums_.curves()); }

  std::unique_ptr<trace::Writer> inner_;
  bool keep_rows_;
  HostAggregate sums_;
  int64_t host_ids_ = 0;
  uint64_t flushes_ = 0;
  uint64_t next_write_ = 1;
};

}  // namespace

std::unique_ptr<trace::Writer> condensing_writer(std::unique_ptr<trace::Writer> writer,
                                                 HostRows rows) {
  return std::make_unique<CondensingWriter>(std::move(writer), rows);
}

}  // namespace tidemark::collector
