#include "recorder.h"

#include <new>

#include "activity.h"
#include "client.h"
#include "device_facts.h"
#include "pages.h"
#include "tidemark/wire/api.h"

namespace tidemark::cuda {

using wire::RecordType;

namespace {

// Buffer, timestamp and thread callbacks carry no pointer of ours.
std::atomic<Recorder*> g_recorder{nullptr};

// Enabled calls that this thread is inside of. Initial-exec: four bytes of the loader's reserve,
// where any other model would allocate from the target's heap, under the loader's lock, in a hook.
__attribute__((tls_model("initial-exec"))) thread_local uint32_t t_depth = 0;
// Correlation id of the launch that this thread is making; 0: none. What makes a node meanwhile is
// a stream capture, or a call that adds one.
__attribute__((tls_model("initial-exec"))) thread_local uint32_t t_launch = 0;
// The outermost call gives the device work, outside of the window.
__attribute__((tls_model("initial-exec"))) thread_local bool t_outside = false;
// Outside of the window: the launch's call, of which nothing has been told. Should it turn out to
// be one of a stream capture, it must be: what was captured may be launched inside.
struct Untold {
  CUpti_CallbackId id;
  const void* params;  // null: none
};
__attribute__((tls_model("initial-exec"))) thread_local Untold t_untold{};

template <class Record>
Record record_of(RecordType type, wire::Api api, uint64_t time_ns) {
  Record record{};
  record.header.type = type;
  record.header.detail = static_cast<uint16_t>(api);
  record.header.bytes = sizeof(Record);
  record.header.time_ns = time_ns;
  return record;
}

bool stack_at_enter(CallKind kind) {
  return kind == CallKind::kFree || kind == CallKind::kLaunch || kind == CallKind::kCopy ||
         kind == CallKind::kSet || kind == CallKind::kRelease || kind == CallKind::kUnmap;
}

bool stack_at_exit(CallKind kind) {
  return kind == CallKind::kAlloc || kind == CallKind::kCreate || kind == CallKind::kImport;
}

// The 64 bits that CUPTI keeps between entry and exit of a call: how many frees were published.
void remember(const CUpti_CallbackData& data, uint64_t frees) {
  if (data.correlationData != nullptr) *data.correlationData = frees;
}
uint64_t remembered(const CUpti_CallbackData& data) {
  return data.correlationData != nullptr ? *data.correlationData : 0;
}

bool succeeded(const CUpti_CallbackData& data) {  // cudaSuccess and CUDA_SUCCESS are 0
  return data.functionReturnValue != nullptr &&
         *static_cast<const int*>(data.functionReturnValue) == 0;
}

// cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY are 2.
bool refused_memory(const CUpti_CallbackData& data) {
  return data.functionReturnValue != nullptr &&
         *static_cast<const int*>(data.functionReturnValue) == 2;
}

}  // namespace

Recorder* Recorder::create(const wire::Client& client, const Cupti& cupti) {
  void* memory = map_pages(sizeof(Recorder));
  if (memory == nullptr) return nullptr;
  auto* recorder = new (memory) Recorder(client, cupti);
  g_recorder.store(recorder);
  return recorder;
}

void CUPTIAPI Recorder::on_callback(void* self_pointer, CUpti_CallbackDomain domain,
                                    CUpti_CallbackId id, const void* data) {
  auto& self = *static_cast<Recorder*>(self_pointer);
  if (domain == CUPTI_CB_DOMAIN_RESOURCE) return self.on_resource(id, data);
  if (domain == CUPTI_CB_DOMAIN_STATE) {
    return self.on_fatal_error(*static_cast<const CUpti_StateData*>(data));
  }
  const bool runtime = domain == CUPTI_CB_DOMAIN_RUNTIME_API;
  if (!runtime && domain != CUPTI_CB_DOMAIN_DRIVER_API) return;
  const CallInfo info = runtime ? runtime_call(id) : driver_call(id);
  if (info.kind == CallKind::kNone || data == nullptr) return;

  const auto& call_data = *static_cast<const CUpti_CallbackData*>(data);
  const bool enter = call_data.callbackSite == CUPTI_API_ENTER;
  if (enter) {
    if (t_depth++ != 0) {
      if (!runtime && info.kind == CallKind::kLaunch) self.on_driver_launch(id, call_data);
      return;
    }
  } else {
    // An exit without entry: the call was under way when the callbacks were enabled (the first
    // call of a program loads this library). Its nested calls have been recorded as outermost.
    if (t_depth == 0 || --t_depth != 0) return;
    t_launch = 0;
    t_untold.params = nullptr;
    t_outside = false;
  }
  if (!self.in_recorded_process()) return;
  if (enter && gives_work(info.kind)) t_outside = !self.window_.enter(call_data.correlationId);
  if (t_outside && enter) {
    if (!runtime && info.kind == CallKind::kLaunch) self.on_driver_launch(id, call_data);
    return;
  }

  const bool success = !enter && succeeded(call_data);
  const bool at_exit =
      stack_at_exit(info.kind) || (info.kind == CallKind::kMap && self.imports_.any());
  const bool wants_stack =
      enter ? stack_at_enter(info.kind) : (success || refused_memory(call_data)) && at_exit;
  // Taken here and not further down, so that leaving out one frame leaves out all of ours.
  const wire::StackId stack = wants_stack ? self.client_.capture_stack(1) : 0;
  const Call call{id, runtime, info, call_data, stack};
  if (enter) {
    self.on_enter(call);
  } else {
    self.on_exit(call, success);
  }
}

void Recorder::on_driver_launch(CUpti_CallbackId id, const CUpti_CallbackData& data) {
  if (!access_.started() || !in_recorded_process()) return;
  t_launch = data.correlationId;
  if (t_outside) {
    t_untold = {id, data.functionParams};
  } else {
    access_.launch(id, data.functionParams, data.correlationId);
  }
}

// Without a stack: the collector asks for one only where the launch itself made a row.
void Recorder::publish_captured_launch() {
  auto record = record_of<wire::Launch>(RecordType::kLaunch, wire::Api::kUnknown, client_.now_ns());
  record.correlation = t_launch;
  client_.publish(&record);
  access_.launch(t_untold.id, t_untold.params, t_launch);
  t_untold.params = nullptr;
}

void Recorder::on_enter(const Call& call) {
  const void* params = call.data.functionParams;
  remember(call.data, 0);
  switch (call.info.kind) {
    case CallKind::kLaunch:
      publish_launch(call);
      if (!call.runtime) on_driver_launch(call.id, call.data);
      return;
    case CallKind::kCopy:
    case CallKind::kSet:
      return publish_launch(call);
    case CallKind::kFree: {
      delivery_.cover(call.data.correlationId);
      const uint64_t address =
          call.runtime ? runtime_freed(call.id, params) : driver_freed(call.id, params);
      if (address == 0) return;
      publish_free(call, address);
      return remember(call.data, 1);
    }
    case CallKind::kRelease:
    case CallKind::kUnmap: {
      delivery_.cover(call.data.correlationId);
      FreedKeys freed;
      if (call.info.kind == CallKind::kRelease) {
        physical_.before_release(released_handle(params), freed);
      } else {
        const Mapped range = unmapped_range(params);
        physical_.before_unmap(range.address, range.bytes, freed);
      }
      for (size_t i = 0; i < freed.count; ++i) publish_free(call, freed.keys[i]);
      return remember(call.data, freed.count);
    }
    case CallKind::kTeardown:
      return flush(0);
    default:
      return delivery_.cover(call.data.correlationId);
  }
}

void Recorder::on_exit(const Call& call, bool success) {
  const void* params = call.data.functionParams;
  if (stack_at_exit(call.info.kind) && refused_memory(call.data)) publish_out_of_memory(call);
  switch (call.info.kind) {
    case CallKind::kAlloc:
      if (success) {
        const Allocated allocated =
            call.runtime ? runtime_allocated(call.id, params) : driver_allocated(call.id, params);
        const bool on_host = call.info.space == wire::Space::kPinned;
        publish_alloc(call, allocated, call.info.space,
                      on_host ? int16_t{-1} : device_of(call.data));
      }
      return;
    case CallKind::kFree:
      if (!success) publish_undo(call, remembered(call.data));
      return;
    case CallKind::kCreate:
      if (success) {
        Allocated allocated = driver_allocated(call.id, params);
        allocated.address = physical_.created(allocated.address);
        const Placed where = created_place(params);
        publish_alloc(call, allocated, where.space, where.device);
      }
      return;
    case CallKind::kImport:
      if (success) {
        const uint64_t address =
            call.runtime ? runtime_imported(call.id, params) : driver_imported(call.id, params);
        publish_import(call, call.info.api, address, bytes_from(address));
      }
      return;
    case CallKind::kImportEnd:
      if (success) {
        publish_import_end(call, call.runtime ? runtime_imported(call.id, params)
                                              : driver_imported(call.id, params));
      }
      return;
    case CallKind::kRetain:
      if (success && !physical_.retained(retained_handle(params))) {
        imports_.retained(retained_handle(params));
      }
      return;
    case CallKind::kImportHandle:
      // Its own memory, which the process has handed to itself, is one more handle to it.
      if (success && !physical_.retained(imported_handle(params))) {
        imports_.imported(imported_handle(params));
      }
      return;
    case CallKind::kMap:
      if (success) {
        const Mapped range = mapped_range(params);
        const uint64_t allocation = physical_.mapped(range.address, range.bytes, range.handle);
        if (access_.started() && allocation != 0) {
          access_.memory(range.address, range.bytes);
          publish_map(RecordType::kDeviceMap, range, allocation);
        }
        if (imports_.mapped(range.address, range.bytes, range.handle)) {
          publish_import(call, wire::Api::kCuMemImportFromShareableHandle, range.address,
                         range.bytes);
        }
      }
      return;
    case CallKind::kRelease:
    case CallKind::kUnmap: {
      if (!success) publish_undo(call, remembered(call.data));
      FreedKeys freed;
      if (call.info.kind == CallKind::kRelease) {
        physical_.after_release(released_handle(params), success, freed);
        if (success) imports_.released(released_handle(params));
      } else {
        const Mapped range = unmapped_range(params);
        physical_.after_unmap(range.address, range.bytes, success, freed);
        if (success && access_.started()) publish_map(RecordType::kDeviceUnmap, range, 0);
        FreedKeys closed;
        if (success) imports_.unmapped(range.address, range.bytes, closed);
        for (size_t i = 0; i < closed.count; ++i) publish_import_end(call, closed.keys[i]);
      }
      return publish_freed_now(call, freed);
    }
    default:
      return;
  }
}

void Recorder::publish_alloc(const Call& call, const Allocated& allocated, wire::Space space,
                             int16_t device) {
  if (allocated.address == 0) return;
  if (wire::has_address(call.info.api)) access_.memory(allocated.address, allocated.size);
  if (space == wire::Space::kManaged) watch_migrations(device);
  auto record =
      record_of<wire::DeviceAlloc>(RecordType::kDeviceAlloc, call.info.api, client_.now_ns());
  record.address = allocated.address;
  record.size = allocated.size;
  record.stack = call.stack;
  record.stream = stream_of(call, allocated);
  record.layer = wire::Layer::kDriver;
  record.space = space;
  record.device = device;
  record.correlation = call.data.correlationId;
  client_.publish(&record);
}

void Recorder::publish_out_of_memory(const Call& call) {
  const void* params = call.data.functionParams;
  auto record =
      record_of<wire::OutOfMemory>(RecordType::kOutOfMemory, call.info.api, client_.now_ns());
  record.requested =
      call.runtime ? runtime_requested(call.id, params) : driver_requested(call.id, params);
  record.stack = call.stack;
  record.layer = wire::Layer::kDriver;
  record.device = call.info.space == wire::Space::kPinned ? int16_t{-1} : device_of(call.data);
  client_.publish(&record);
}

void Recorder::publish_free(const Call& call, uint64_t address) {
  auto record = record_of<wire::Free>(RecordType::kFree, call.info.api, client_.now_ns());
  record.address = address;
  record.stack = call.stack;
  record.layer = wire::Layer::kDriver;
  client_.publish(&record);
}

void Recorder::publish_undo(const Call& call, uint64_t times) {
  struct Undo {
    wire::Header header;
  };
  const auto record = record_of<Undo>(RecordType::kUndo, call.info.api, client_.now_ns());
  for (uint64_t i = 0; i < times; ++i) client_.publish(&record);
}

void Recorder::publish_launch(const Call& call) {
  Moved moved;
  if (call.info.kind != CallKind::kLaunch) {
    moved = call.runtime ? runtime_moved(call.id, call.data.functionParams)
                         : driver_moved(call.id, call.data.functionParams);
  }
  auto record = record_of<wire::Launch>(RecordType::kLaunch, wire::Api::kUnknown, client_.now_ns());
  record.src_address = moved.src;
  record.dst_address = moved.dst;
  record.stack = call.stack;
  record.correlation = call.data.correlationId;
  client_.publish(&record);
}

void Recorder::publish_map(RecordType type, const Mapped& range, uint64_t allocation) {
  auto record = record_of<wire::DeviceMap>(type, wire::Api::kUnknown, client_.now_ns());
  record.address = range.address;
  record.size = range.bytes;
  record.allocation = allocation;
  client_.publish(&record);
}

void Recorder::publish_freed_now(const Call& call, const FreedKeys& freed) {
  for (size_t i = 0; i < freed.count; ++i) publish_free(call, freed.keys[i]);
  if (freed.left_out > 0) client_.count_loss(wire::Loss::kCuptiRecordsDropped, freed.left_out);
}

uint64_t Recorder::bytes_from(uint64_t address) const {
  CUdeviceptr base = 0;
  size_t bytes = 0;
  const Pause pause(client_);
  if (address_range_ == nullptr || address_range_(&base, &bytes, address) != CUDA_SUCCESS) return 0;
  return address - base < bytes ? bytes - (address - base) : 0;
}

void Recorder::publish_import(const Call& call, wire::Api api, uint64_t address, uint64_t bytes) {
  if (address == 0) return;
  auto record = record_of<wire::Import>(RecordType::kImport, api, client_.now_ns());
  record.address = address;
  record.size = bytes;
  record.stack = call.stack;
  record.device = device_of(call.data);
  client_.publish(&record);
}

void Recorder::publish_import_end(const Call& call, uint64_t address) {
  auto record = record_of<wire::ImportEnd>(RecordType::kImportEnd, call.info.api, client_.now_ns());
  record.address = address;
  client_.publish(&record);
}

// Nodes are told apart by what made them, not by their type: a copy has the type of its original,
// which is only known if it launches a kernel.
void Recorder::on_graph_node(CUpti_CallbackId id, const CUpti_ResourceData& data) {
  const auto* graph = static_cast<const CUpti_GraphData*>(data.resourceDescriptor);
  const bool copied = id == CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED;
  if (graph == nullptr || (!copied && t_launch == 0) || !usable()) return;
  auto record =
      record_of<wire::GraphNode>(RecordType::kGraphNode, wire::Api::kUnknown, client_.now_ns());
  const Pause pause(client_);
  if (cupti_.get_graph_node_id(graph->node, &record.node) != CUPTI_SUCCESS) return;
  if (copied && cupti_.get_graph_node_id(graph->originalNode, &record.source) != CUPTI_SUCCESS) {
    return;
  }
  if (!copied) record.correlation = t_launch;
  if (!copied && t_untold.params != nullptr) publish_captured_launch();
  client_.publish(&record);
}

void Recorder::on_resource(CUpti_CallbackId id, const void* data) {
  if (!in_recorded_process()) return;
  switch (id) {
    case CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED:
    case CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED:
      if (data == nullptr) return;
      return on_graph_node(id, *static_cast<const CUpti_ResourceData*>(data));
    case CUPTI_CBID_RESOURCE_CONTEXT_CREATED:
      have_context_.store(true);
      return flusher_.start();
    case CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING:
      // Not forced: that would also take unfinished work of other contexts, without its times.
      return flush(0);
    case CUPTI_CBID_RESOURCE_MODULE_UNLOAD_STARTING:
      access_.forget_kernels();
      return delivery_.forget_names();
    default:
      return;
  }
}

void Recorder::on_fatal_error(const CUpti_StateData& data) {
  if (broken_.exchange(true)) return;
  Message text("stopped: ");
  text << (data.notification.message != nullptr ? data.notification.message
                                                : result_text(data.notification.result).c_str());
  client_.meta("cuda.cupti", text.c_str());
  client_.count_loss(wire::Loss::kCuptiUnavailable, 1);
}

bool Recorder::in_recorded_process() {
  if (client_.process_key() == process_key_) return true;
  // A forked child: neither CUDA nor CUPTI works there, and the flush thread is gone.
  if (!fork_counted_.exchange(true)) client_.count_loss(wire::Loss::kCudaAfterFork, 1);
  return false;
}

int16_t Recorder::device_of(const CUpti_CallbackData& data) {
  if (data.context == nullptr || cupti_.get_device_id == nullptr || !usable()) return -1;
  const bool cached = data.contextUid < kContexts;
  if (cached) {
    const int16_t known = device_of_context_[data.contextUid].load(std::memory_order_relaxed);
    if (known > 0) return static_cast<int16_t>(known - 1);
  }
  const Pause pause(client_);
  uint32_t device = 0;
  if (cupti_.get_device_id(data.context, &device) != CUPTI_SUCCESS || device >= INT16_MAX)
    return -1;
  if (cached) {
    device_of_context_[data.contextUid].store(static_cast<int16_t>(device + 1),
                                              std::memory_order_relaxed);
  }
  return static_cast<int16_t>(device);
}

// The id that activity records have, or, where CUPTI does not tell it, the handle.
uint64_t Recorder::stream_of(const Call& call, const Allocated& allocated) const {
  if (!allocated.ordered) return 0;
  const Pause pause(client_);
  uint32_t id = 0;
  if (cupti_.get_stream_id_ex != nullptr && usable() &&
      cupti_.get_stream_id_ex(call.data.context, allocated.stream,
                              call.info.per_thread_stream ? 1 : 0, &id) == CUPTI_SUCCESS) {
    return id;
  }
  return reinterpret_cast<uintptr_t>(allocated.stream);
}

void Recorder::flush(uint32_t flag) {
  if (activity_ && usable()) cupti_.flush_all(flag);
}

void Recorder::publish_facts_once() {
  if (!have_context_.load() || facts_published_.load()) return;
  if (publish_device_facts(client_)) facts_published_.store(true);
}

void Recorder::finish() {
  if (client_.process_key() != process_key_) return;  // a forked child ends
  if (flusher_.stop()) {
    publish_facts_once();
    flush(0);
    flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
  }
  delivery_.publish_uncovered();
}

void Recorder::periodic_work() {
  Recorder& self = *g_recorder.load();
  self.publish_facts_once();
  self.flush(0);
}

void CUPTIAPI Recorder::on_buffer_requested(uint8_t** buffer, size_t* size, size_t* max_records) {
  *buffer = g_recorder.load()->delivery_.request_buffer();
  *size = *buffer != nullptr ? BufferPool::kBufferBytes : 0;
  *max_records = 0;  // as many as fit
}

void CUPTIAPI Recorder::on_buffer_completed(CUcontext, uint32_t, uint8_t* buffer, size_t,
                                            size_t valid_bytes) {
  Recorder& self = *g_recorder.load();
  if (!self.in_recorded_process()) return;
  self.delivery_.complete(buffer, valid_bytes);
}

uint64_t CUPTIAPI Recorder::on_timestamp() { return g_recorder.load()->client_.now_ns(); }

}  // namespace tidemark::cuda
