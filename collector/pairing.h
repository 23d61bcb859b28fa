// Turns the ordered records of all processes into rows: pairs allocations with frees, joins
// launches with what the device did, and counts what does not add up. Pure apart from the Writer:
// no clock, no files, no /proc. One thread.
//
// Laws
//  1. At an address of one layer of one process at most one row lives. An allocation there ends the
//     row that lived (loss `allocations_at_live_address`).
//  2. A free of what no row describes changes nothing and is counted.
//  3. An Undo leaves things as if the ring's last Free or Unmap had not been (a split mapping keeps
//     rows of length zero as a trace of it).
//  4. Trace memory is bounded by what lives, not by what happened.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "losses.h"
#include "merge.h"
#include "process_state.h"
#include "python_code.h"
#include "recording_window.h"
#include "tidemark/collector/recorder.h"
#include "tidemark/trace/writer.h"
#include "tidemark/wire/api.h"
#include "tidemark/wire/stack_id.h"

namespace tidemark::collector {

// Who writes into a ring, read once when the ring was found.
struct RingIdentity {
  uint64_t process_key = 0;
  int32_t pid = 0;
  int32_t tid = 0;
  std::string thread_name;
  bool foreign = false;  // pid and tid are of another pid namespace: /proc does not know them
};

// What an Undo needs: the last Free or Unmap of a ring.
struct LastFree {
  enum class Kind : uint8_t { kNone, kBlock, kRange } kind = Kind::kNone;
  trace::Layer layer{};
  uint16_t api = 0;
  uint64_t address = 0;
  trace::AllocationId row{};
  uint64_t bytes = 0;  // of what a kernel can be handed
  std::vector<Mapping> removed;
  std::vector<Mapping> pieces;
};

// A handle of cuMemCreate is a number of its own and may equal some address: it gets its own keys.
constexpr uint64_t driver_key(uint64_t address, uint16_t api) {
  const auto name = static_cast<wire::Api>(api);
  const bool handle = name == wire::Api::kCuMemCreate || name == wire::Api::kCuMemRelease;
  return handle ? address | uint64_t{1} << 63 : address;
}

struct Producer {
  RingIdentity identity;
  ProcessState* process = nullptr;  // null until its process has introduced itself
  trace::ThreadId thread{};
  LastFree last_free;
  // Of the driver and pool layers, latest last: the driver frees host memory before a call fails.
  std::vector<LastFree> device_frees;
};

class Pairing final : public EventSink {
 public:
  // `start_ns`: the recording's zero. `rank_of(pid)` is asked once for each new process.
  Pairing(trace::Writer& writer, Losses& losses, uint64_t start_ns,
          std::function<int32_t(int32_t pid)> rank_of);

  // Until then, all that the device does is kept. `window` outlives this.
  void keep_only(RecordingWindow& window) {
    window_ = &window;
    no_launch_.outside = window.told_to_targets();
  }

  std::unique_ptr<Producer> open_ring(RingIdentity identity) const;

  void begin_pass(uint64_t now_ns) override;
  bool knows_process(const Producer& producer) const override;
  void definition(Producer& producer, const wire::Header& record) override;
  void events(std::span<OrderedEvent> batch) override;
  void activity(Producer& producer, const wire::Header& record) override;
  void end_pass() override;

  // The kernel calls a thread otherwise now.
  void rename_thread(const Producer& producer, std::string_view name);

  // Gives the Writer what has become known of modules since the last call.
  void write_modules();

  // From now on nothing waits for a definition that might come later.
  void expect_no_more() { final_ = true; }
  // `exit` as in trace::Process. Its live blocks stay open in the trace: they end with the process.
  void end_process(ProcessState& process, uint64_t time_ns, int32_t exit);
  // Counts what never came.
  void finish(bool killed);

  [[nodiscard]] const std::vector<std::unique_ptr<ProcessState>>& processes() const {
    return processes_;
  }
  [[nodiscard]] ProcessState* live_process(int32_t pid) const;
  [[nodiscard]] const PythonCodes& python_codes() const { return python_codes_; }
  [[nodiscard]] const EventCounts& counts() const { return counts_; }
  [[nodiscard]] uint32_t thread_count() const { return thread_count_; }
  [[nodiscard]] int64_t trace_time(uint64_t time_ns) const {
    return static_cast<int64_t>(time_ns) - static_cast<int64_t>(start_ns_);
  }

 private:
  // Definitions
  void on_process_start(const Producer& producer, const wire::ProcessStart& record);
  uint64_t definition_time(uint64_t time_ns) const;
  void on_stack(ProcessState& process, const wire::Stack& record);
  void on_module(ProcessState& process, const wire::Module& record);
  void on_module_unload(ProcessState& process, const wire::Module& record);
  void on_thread_name(Producer& producer, const wire::Text& record);
  static void note_name(ProcessState& process, int32_t tid, std::string_view name);
  void on_meta(const wire::Meta& record);
  ProcessState& add_process(uint64_t key, int32_t pid);
  void adopt(Producer& producer);  // sets process and thread

  // Events
  static void look_ahead(std::span<const OrderedEvent> batch);
  // False: not now.
  bool event(Producer& producer, const wire::Header& record);
  bool on_heap_alloc(Producer& producer, const wire::HeapAlloc& record, uint64_t time_ns);
  bool on_heap_free(Producer& producer, const wire::HeapFree& record, uint64_t time_ns);
  void end_by_early_free(ProcessState& process, const Producer& producer, uint64_t address,
                         uint64_t time_ns, trace::AllocationId row);
  bool end_overlapped(ProcessState& process, const Producer& producer, uint64_t address,
                      uint64_t time_ns, trace::StackId stack);
  // What seemed reversed before that time was not.
  void give_up_reversed(ProcessState& process, uint64_t before_ns);
  bool on_map(Producer& producer, const wire::Alloc& record, uint64_t time_ns);
  bool on_free(Producer& producer, const wire::Free& record, uint64_t time_ns);
  bool on_unmap(Producer& producer, const wire::Unmap& record, uint64_t time_ns);
  void on_undo(Producer& producer, uint16_t api);
  void undo_block(ProcessState& process, const LastFree& last);
  void undo_range(ProcessState& process, LastFree& last);
  bool on_device_alloc(Producer& producer, const wire::DeviceAlloc& record, uint64_t time_ns);
  bool on_launch(Producer& producer, const wire::Launch& record, uint64_t time_ns);
  static trace::AllocationId innermost_at(const ProcessState& process, uint64_t address);
  void on_touch(Producer& producer, const wire::Touch& record);
  void on_graph_node(Producer& producer, const wire::GraphNode& record);
  static void on_device_map(Producer& producer, const wire::DeviceMap& record);
  bool on_out_of_memory(Producer& producer, const wire::OutOfMemory& record, uint64_t time_ns);
  bool on_import(Producer& producer, const wire::Import& record, uint64_t time_ns);
  void on_import_end(Producer& producer, const wire::ImportEnd& record, uint64_t time_ns);
  void on_marker(Producer& producer, const wire::Marker& record, uint64_t time_ns);
  void on_marker_end(Producer& producer, const wire::MarkerEnd& record, uint64_t time_ns);
  trace::StringId marker_text(ProcessState& process, wire::NameId id);
  void map_range(Producer& producer, const trace::Allocation& row);
  // Ends what lies in [start, end) and begins what is left of it.
  struct Range {
    uint64_t start;
    uint64_t end;
    int64_t time_ns;
    trace::StackId stack;
  };
  void cut_range(ProcessState& process, const Range& range, trace::StringId api, LastFree& undo);
  trace::AllocationId begin_block(BlockMap& blocks, uint64_t key, const trace::Allocation& row);
  void count_unknown_free(const ProcessState& process, uint64_t& frees);

  // What the device did; false: wait for the launch or the name.
  struct Late {
    ProcessState* process;
    alignas(8) std::array<std::byte, sizeof(wire::Kernel)> record;
  };
  bool add_activity(ProcessState& process, const wire::Header& record, bool last_chance);
  bool add_transfer(ProcessState& process, const wire::Transfer& record, bool last_chance);
  bool add_memset(ProcessState& process, const wire::Memset& record, bool last_chance);
  bool add_kernel(ProcessState& process, const wire::Kernel& record, bool last_chance);
  void add_driver_pool(ProcessState& process, const wire::DriverPool& record);
  void add_migration(const ProcessState& process, const wire::Migration& record);
  bool left_out(PendingLaunch& launch, const char* counter);
  PendingLaunch* launch_of(ProcessState& process, uint32_t correlation, bool last_chance);
  void add_accesses(ProcessState& process, int64_t kernel, const wire::Kernel& record,
                    PendingLaunch& launch);

  // References
  // False: the stack is not defined yet and the event should wait.
  bool resolve_stack(ProcessState& process, wire::StackId hash, StackRef*& out);
  bool wait_for_stack(ProcessState& process, wire::StackId hash);
  StackRef* find_stack(ProcessState& process, wire::StackId id);
  // Puts a path under `caller`, a node of the tree, and what has waited for its nodes.
  void add_path(ProcessState& process, uint32_t caller, wire::StackId caller_id,
                const StackPath& path);
  // Gives a node of the tree, and its callers, to the Writer.
  trace::StackNodeId write_node(ProcessState& process, uint32_t node);
  // Makes a node of the tree a stack of the trace.
  StackRef& add_stack(ProcessState& process, wire::StackId id, uint32_t node);
  NameEntry* find_name(ProcessState& process, wire::NameId id, int depth);
  trace::StringId plain_name(ProcessState& process, wire::NameId id);
  trace::StringId source_of(ProcessState& process, const StackRef* stack, wire::NameId told,
                            wire::Layer layer, uint64_t time_ns);
  trace::StringId api_text(uint16_t api) const;

  trace::Writer& writer_;
  Losses& losses_;
  uint64_t start_ns_;
  std::function<int32_t(int32_t)> rank_of_;
  uint64_t now_ns_ = 0;
  bool final_ = false;
  std::vector<std::unique_ptr<ProcessState>> processes_;
  std::unordered_map<uint64_t, ProcessState*> by_key_;
  std::vector<Late> late_;      // of the last pass
  std::vector<Late> late_now_;  // of this pass
  std::array<trace::StringId, static_cast<size_t>(wire::Api::kCount)> api_texts_{};
  EventCounts counts_;
  uint32_t thread_count_ = 0;
  PythonCodes python_codes_;
  StackRef no_stack_;
  PendingLaunch no_launch_;
  RecordingWindow* window_ = nullptr;  // null: no limit
  std::vector<uint32_t> unwritten_;    // nodes, innermost first
};

}  // namespace tidemark::collector
