// Recorder's beginning: subscribe, choose callbacks, choose activity.
#include <dlfcn.h>

#include <iterator>

#include "activity.h"
#include "client.h"
#include "recorder.h"

namespace tidemark::cuda {

Message Recorder::result_text(CUptiResult result) const {
  const char* text = nullptr;
  Message message;
  if (cupti_.get_result_string != nullptr &&
      cupti_.get_result_string(result, &text) == CUPTI_SUCCESS && text != nullptr) {
    message << text;
  } else {
    message << "CUPTI error " << static_cast<uint64_t>(result);
  }
  return message;
}

bool Recorder::start(wire::Loss& loss, Message& why) {
  if (!subscribe(loss, why)) return false;
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD)) {
    address_range_ =
        reinterpret_cast<decltype(address_range_)>(dlsym(driver, "cuMemGetAddressRange_v2"));
    device_count_ = reinterpret_cast<decltype(device_count_)>(dlsym(driver, "cuDeviceGetCount"));
  }
  Message activity_why;
  activity_ = enable_activity(activity_why);
  if (!activity_why.empty()) {
    // Allocations need the callbacks only, so they are recorded all the same.
    client_.meta("cuda.activity", activity_why.c_str());
    client_.count_loss(wire::Loss::kCuptiUnavailable, 1);
  }
  start_access();
  enable_callbacks();
  return true;
}

void Recorder::start_access() {
  // Without records of kernels there is nothing that could have touched anything.
  if (!activity_ || !takes_work() || client_.arena()->record_access == 0) return;
  Message why;
  if (!access_.start(why)) client_.count_loss(wire::Loss::kAccessUnavailable, 1);
  client_.meta("cuda.access", access_.started() ? "recording" : why.c_str());
}

bool Recorder::subscribe(wire::Loss& loss, Message& why) {
  const CUptiResult result = cupti_.subscribe(&subscriber_, &Recorder::on_callback, this);
  if (result == CUPTI_SUCCESS) return true;
  if (result != CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED) {
    loss = wire::Loss::kCuptiUnavailable;
    why << "cuptiSubscribe: " << result_text(result).c_str();
    return false;
  }
  loss = wire::Loss::kCuptiSubscriberTaken;
  why << "another tool holds the CUPTI subscription of this process";
  if (cupti_.subscribe_v2 == nullptr) return false;
  // Asked only for the holder's name.
  char holder[128] = {};
  SubscriberParams params{sizeof(SubscriberParams), "tidemark", holder, sizeof holder};
  const CUptiResult again =
      cupti_.subscribe_v2(&subscriber_, &Recorder::on_callback, this, &params);
  if (again == CUPTI_SUCCESS && cupti_.unsubscribe != nullptr) cupti_.unsubscribe(subscriber_);
  holder[sizeof holder - 1] = '\0';
  if (holder[0] != '\0') why << ": " << holder;
  return false;
}

// Only the calls that are recorded: each enabled callback costs its call some hundred nanoseconds.
void Recorder::enable_callbacks() {
  const auto enable = [this](CUpti_CallbackDomain domain, CUpti_CallbackId id) {
    cupti_.enable_callback(1, subscriber_, domain, id);  // an id it does not know: refused
  };
  const auto wanted = [work = takes_work()](CallKind kind) {
    return kind != CallKind::kNone && (work || !gives_work(kind));
  };
  for (CUpti_CallbackId id = 0; id < kRuntimeIds; ++id) {
    if (wanted(runtime_call(id).kind)) enable(CUPTI_CB_DOMAIN_RUNTIME_API, id);
  }
  for (CUpti_CallbackId id = 0; id < kDriverIds; ++id) {
    if (wanted(driver_call(id).kind)) enable(CUPTI_CB_DOMAIN_DRIVER_API, id);
  }
  for (const CUpti_CallbackId id :
       {CUPTI_CBID_RESOURCE_CONTEXT_CREATED, CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING,
        CUPTI_CBID_RESOURCE_MODULE_UNLOAD_STARTING}) {
    enable(CUPTI_CB_DOMAIN_RESOURCE, id);
  }
  if (access_.started() && cupti_.get_graph_node_id != nullptr) {
    enable(CUPTI_CB_DOMAIN_RESOURCE, CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED);
    enable(CUPTI_CB_DOMAIN_RESOURCE, CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED);
  }
  enable(CUPTI_CB_DOMAIN_STATE, CUPTI_CBID_STATE_FATAL_ERROR);
}

// False: no activity at all. True with a text: some kinds are missing.
bool Recorder::enable_activity(Message& why) {
  if (cupti_.register_timestamp_callback == nullptr || cupti_.register_callbacks == nullptr ||
      cupti_.activity_enable == nullptr || cupti_.flush_all == nullptr ||
      cupti_.get_next_record == nullptr) {
    why << cupti_.path.c_str() << " lacks functions of the activity API";
    return false;
  }
  // Before any kind: otherwise the first records would be on CUPTI's own clock.
  CUptiResult result = cupti_.register_timestamp_callback(&Recorder::on_timestamp);
  if (result != CUPTI_SUCCESS) {
    why << "cuptiActivityRegisterTimestampCallback: " << result_text(result).c_str();
    return false;
  }
  if (cupti_.set_attribute != nullptr) {
    // Refused: CUPTI clears the buffers itself. See BufferPool.
    uint8_t zeroed = 1;
    size_t size = sizeof zeroed;
    cupti_.set_attribute(CUPTI_ACTIVITY_ATTR_ZEROED_OUT_ACTIVITY_BUFFER, &size, &zeroed);
  }
  result =
      cupti_.register_callbacks(&Recorder::on_buffer_requested, &Recorder::on_buffer_completed);
  if (result != CUPTI_SUCCESS) {
    why << "cuptiActivityRegisterCallbacks: " << result_text(result).c_str();
    return false;
  }
  if (cupti_.enable_allocation_source != nullptr &&
      cupti_.enable_allocation_source(1) == CUPTI_SUCCESS) {
    delivery_.expect_sources();
  }
  struct Kind {
    CUpti_ActivityKind kind;
    const char* name;
    bool work = true;
  };
  constexpr Kind kKinds[] = {{CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, "kernels"},
                             {CUPTI_ACTIVITY_KIND_MEMCPY, "copies"},
                             {CUPTI_ACTIVITY_KIND_MEMCPY2, "copies between devices"},
                             {CUPTI_ACTIVITY_KIND_MEMSET, "sets"},
                             {CUPTI_ACTIVITY_KIND_MEMORY2, "module memory", false},
                             {CUPTI_ACTIVITY_KIND_MEMORY_POOL, "memory pools", false}};
  bool any = false;
  for (const Kind& kind : kKinds) {
    if (kind.work && !takes_work()) continue;
    result = cupti_.activity_enable(kind.kind);
    if (result == CUPTI_SUCCESS) {
      any = true;
    } else {
      why << (why.empty() ? "not recorded: " : "; ") << kind.name << " ("
          << result_text(result).c_str() << ")";
    }
  }
  return any;
}

// Of all devices in one call: once the kind is enabled CUPTI takes no further ones, and a device
// may want pages that were allocated beside another.
void Recorder::watch_migrations(int16_t device) {
  if (!activity_ || !takes_work() || !usable()) return;
  if (migrations_watched_.load(std::memory_order_relaxed) || migrations_watched_.exchange(true)) {
    return;
  }
  constexpr CUpti_ActivityUnifiedMemoryCounterKind kKinds[] = {
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_HTOD,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOH,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_BYTES_TRANSFER_DTOD,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_CPU_PAGE_FAULT_COUNT,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_GPU_PAGE_FAULT,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THRASHING,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_THROTTLING,
      CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_KIND_REMOTE_MAP};
  constexpr uint32_t kMostDevices = 64;
  CUpti_ActivityUnifiedMemoryCounterConfig configs[kMostDevices * std::size(kKinds)] = {};
  uint32_t count = 0;
  const auto add = [&](uint32_t ordinal) {
    for (const auto kind : kKinds) {
      configs[count].scope = CUPTI_ACTIVITY_UNIFIED_MEMORY_COUNTER_SCOPE_PROCESS_SINGLE_DEVICE;
      configs[count].kind = kind;
      configs[count].deviceId = ordinal;
      configs[count++].enable = 1;
    }
  };
  const Pause pause(client_);
  int devices = 0;
  if (device_count_ != nullptr && device_count_(&devices) == CUDA_SUCCESS) {
    for (uint32_t i = 0; i < kMostDevices && i < static_cast<uint32_t>(devices); ++i) add(i);
  } else if (device >= 0) {
    add(static_cast<uint32_t>(device));
  }
  CUptiResult result = CUPTI_ERROR_NOT_SUPPORTED;
  if (cupti_.configure_unified_memory != nullptr && count != 0) {
    result = cupti_.configure_unified_memory(configs, count);
  }
  if (result == CUPTI_SUCCESS) {
    result = cupti_.activity_enable(CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER);
  }
  if (result == CUPTI_SUCCESS) return;
  Message why;
  why << "not recorded: " << result_text(result).c_str();
  client_.meta("cuda.migrations", why.c_str());
  client_.count_loss(wire::Loss::kMigrationsUnavailable, 1);
}

}  // namespace tidemark::cuda
