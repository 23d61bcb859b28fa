// The synchronous half: CUPTI's callbacks at the entry and exit of CUDA calls.
//
//   program ── cudaMalloc ─▶ runtime ── cuMemAlloc ─▶ driver
//      enter(runtime, depth 0→1) · enter(driver, 1→2) · exit(driver, 2→1) · exit(runtime, 1→0)
//
// One row for one call of the program: only the outermost of nested calls on a thread is recorded,
// and `api` names it. CUPTI gives runtime call and nested driver calls one correlation id, which
// the activity records carry too; that joins Launch with Kernel, Transfer and Memset.
//
//   allocations   published at exit, on success, stamped after the call
//   out of memory what was asked for of a driver that refused it, at exit
//   frees         published at entry, stamped before the call; Undo at exit if the call failed.
//                 Its header.detail is the Api of the Free that did not happen: the driver
//                 itself frees host memory in between, whose records stand in the same ring.
//   launches, copies, sets   a Launch at entry: who asked, and the addresses of copies and sets
//   arguments of kernels     a Touch at entry of the driver's launch call, nested or not (access.h)
//   kernel nodes of graphs   a GraphNode within the launch or call that makes one, or that copies
//   it
//
// `source` of allocations stays 0 here: the collector knows it from the stack (the first frame
// outside the CUDA libraries), while finding it here would take the loader's lock.
//
// Nothing here allocates, waits for a lock of the target's or calls back into CUDA, but for
// cuptiGetDeviceId and cuptiGetStreamIdEx, which CUPTI allows in callbacks, and a flush before a
// context ends.
#pragma once

#include <cupti.h>

#include <atomic>
#include <cstdint>

#include "access.h"
#include "calls.h"
#include "cupti_library.h"
#include "delivery.h"
#include "flusher.h"
#include "imports.h"
#include "physical.h"
#include "tidemark/wire/client.h"
#include "window.h"

namespace tidemark::cuda {

class Recorder {
 public:
  // Lives in pages of its own and is never destroyed: callbacks may come until the very end.
  static Recorder* create(const wire::Client& client, const Cupti& cupti);

  // Subscribes and enables. False: nothing is recorded, `loss` and `why` say what stood in the way.
  bool start(wire::Loss& loss, Message& why);
  // From the exit handler: the last records, complete or not.
  void finish();

 private:
  Recorder(const wire::Client& client, const Cupti& cupti)
      : client_(client),
        cupti_(cupti),
        process_key_(client.process_key()),
        access_(client_),
        window_(client_),
        delivery_(client_, cupti_, access_, window_),
        flusher_(client_, &Recorder::periodic_work) {}

  // Kernels, copies, sets and accesses are wanted too.
  bool takes_work() const { return client_.arena()->record_device == wire::Device::kAll; }
  bool subscribe(wire::Loss& loss, Message& why);
  void enable_callbacks();
  void start_access();
  bool enable_activity(Message& why);
  Message result_text(CUptiResult result) const;

  static void CUPTIAPI on_callback(void* self, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                                   const void* data);
  static void CUPTIAPI on_buffer_requested(uint8_t** buffer, size_t* size, size_t* max_records);
  static void CUPTIAPI on_buffer_completed(CUcontext context, uint32_t stream, uint8_t* buffer,
                                           size_t size, size_t valid_bytes);
  static uint64_t CUPTIAPI on_timestamp();
  static void periodic_work();

  struct Call {  // one callback of an outermost call
    CUpti_CallbackId id;
    bool runtime;
    CallInfo info;
    const CUpti_CallbackData& data;
    wire::StackId stack;
  };
  void on_enter(const Call& call);
  void on_driver_launch(CUpti_CallbackId id, const CUpti_CallbackData& data);
  void on_exit(const Call& call, bool success);
  void on_resource(CUpti_CallbackId id, const void* data);
  void on_graph_node(CUpti_CallbackId id, const CUpti_ResourceData& data);
  void on_fatal_error(const CUpti_StateData& data);

  void publish_alloc(const Call& call, const Allocated& allocated, wire::Space space,
                     int16_t device);
  void publish_out_of_memory(const Call& call);
  void publish_free(const Call& call, uint64_t address);
  void publish_undo(const Call& call, uint64_t times);
  void publish_launch(const Call& call);
  void publish_captured_launch();
  void publish_map(wire::RecordType type, const Mapped& range, uint64_t allocation);
  void publish_freed_now(const Call& call, const FreedKeys& freed);
  void publish_import(const Call& call, wire::Api api, uint64_t address, uint64_t bytes);
  // From an address of device memory to the end of its allocation; 0: not told.
  uint64_t bytes_from(uint64_t address) const;
  void publish_import_end(const Call& call, uint64_t address);
  // From a program's first managed memory on, which belongs to `device`: what the driver does with
  // its pages. Programs without any do not pay for it.
  void watch_migrations(int16_t device);

  bool in_recorded_process();
  bool usable() const { return !broken_.load(std::memory_order_relaxed); }
  int16_t device_of(const CUpti_CallbackData& data);
  uint64_t stream_of(const Call& call, const Allocated& allocated) const;
  void flush(uint32_t flag);
  void publish_facts_once();

  static constexpr uint32_t kContexts = 256;

  const wire::Client& client_;
  const Cupti cupti_;
  const uint64_t process_key_;
  CUpti_SubscriberHandle subscriber_ = nullptr;
  CUresult (*address_range_)(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) = nullptr;
  CUresult (*device_count_)(int* count) = nullptr;
  bool activity_ = false;
  AccessRecorder access_;
  Window window_;
  Delivery delivery_;
  Flusher flusher_;
  PhysicalMemory physical_;
  ImportedHandles imports_;
  std::atomic<bool> broken_{false};  // CUPTI has told of an error that ended it
  std::atomic<bool> fork_counted_{false};
  std::atomic<bool> have_context_{false};
  std::atomic<bool> facts_published_{false};
  std::atomic<bool> migrations_watched_{false};
  std::atomic<int16_t> device_of_context_[kContexts] = {};  // ordinal + 1; 0: not asked yet
};

}  // namespace tidemark::cuda
