#include "fake_cupti.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct PendingRecord {
  std::vector<uint8_t> bytes;
  bool finished;
};

struct Fake {
  std::recursive_mutex mutex;
  uint32_t version = 130001;
  CUptiResult subscribe_result = CUPTI_SUCCESS;
  std::string holder;
  CUptiResult register_callbacks_result = CUPTI_SUCCESS;
  CUpti_CallbackFunc callback = nullptr;
  void* user = nullptr;
  std::set<std::pair<uint32_t, uint32_t>> enabled;
  std::set<uint32_t> kinds;
  bool timestamps_came_first = false;
  CUpti_TimestampCallbackFunc timestamp = nullptr;
  CUpti_BuffersCallbackRequestFunc request = nullptr;
  CUpti_BuffersCallbackCompleteFunc complete = nullptr;
  std::vector<PendingRecord> pending;
  size_t dropped = 0;
  CUptiResult unified_memory_result = CUPTI_SUCCESS;
  std::set<std::pair<uint32_t, uint32_t>> counters;  // device, kind
  uint32_t flushes[2] = {};
};
Fake& fake() {
  static auto* the_fake = new Fake;  // outlives every exit handler
  return *the_fake;
}

// As the pretended version lays them out; later versions are longer.
size_t record_bytes(CUpti_ActivityKind kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
      return fake().version >= 130000 ? sizeof(CUpti_ActivityKernel10)
                                      : sizeof(CUpti_ActivityKernel9);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
      return fake().version >= 26 ? sizeof(CUpti_ActivityMemcpy6) : sizeof(CUpti_ActivityMemcpy5);
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return sizeof(CUpti_ActivityMemcpyPtoP4);
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return sizeof(CUpti_ActivityMemset4);
    case CUPTI_ACTIVITY_KIND_MEMORY2:
      return fake().version >= 24 ? sizeof(CUpti_ActivityMemory4) : sizeof(CUpti_ActivityMemory3);
    case CUPTI_ACTIVITY_KIND_MEMORY_POOL:
      return fake().version >= 130000 ? sizeof(CUpti_ActivityMemoryPool3)
                                      : sizeof(CUpti_ActivityMemoryPool2);
    case CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER:
      return fake().version >= 130000 ? sizeof(CUpti_ActivityUnifiedMemoryCounter3)
                                      : sizeof(CUpti_ActivityUnifiedMemoryCounter2);
    default:
      return 64;
  }
}

bool is_enabled(CUpti_CallbackDomain domain, CUpti_CallbackId id) {
  const std::lock_guard lock(fake().mutex);
  return fake().callback != nullptr && fake().enabled.count({domain, id}) != 0;
}

bool issue(CUpti_CallbackDomain domain, CUpti_CallbackId id, const CUpti_CallbackData* data) {
  if (!is_enabled(domain, id)) return false;
  fake().callback(fake().user, domain, id, data);
  return true;
}
bool issue_resource(CUpti_CallbackId id) {
  if (!is_enabled(CUPTI_CB_DOMAIN_RESOURCE, id)) return false;
  const CUpti_ResourceData data{};
  fake().callback(fake().user, CUPTI_CB_DOMAIN_RESOURCE, id, &data);
  return true;
}
bool issue_graph_node(CUpti_CallbackId id, CUgraphNode node, CUgraphNode original) {
  if (!is_enabled(CUPTI_CB_DOMAIN_RESOURCE, id)) return false;
  CUpti_GraphData graph{};
  graph.node = node;
  graph.originalNode = original;
  CUpti_ResourceData data{};
  data.resourceDescriptor = &graph;
  fake().callback(fake().user, CUPTI_CB_DOMAIN_RESOURCE, id, &data);
  return true;
}
bool issue_fatal_error(const char* message) {
  if (!is_enabled(CUPTI_CB_DOMAIN_STATE, CUPTI_CBID_STATE_FATAL_ERROR)) return false;
  CUpti_StateData data{};
  data.notification.result = CUPTI_ERROR_HARDWARE;
  data.notification.message = message;
  fake().callback(fake().user, CUPTI_CB_DOMAIN_STATE, CUPTI_CBID_STATE_FATAL_ERROR, &data);
  return true;
}

void add_record(const void* record, size_t bytes, bool finished) {
  const std::lock_guard lock(fake().mutex);
  PendingRecord pending{std::vector<uint8_t>(bytes), finished};
  std::memcpy(pending.bytes.data(), record, bytes);
  const auto kind = static_cast<const CUpti_Activity*>(record)->kind;
  pending.bytes.resize(record_bytes(kind));
  fake().pending.push_back(pending);
}

const FakeCuptiControl kControl = {
    [](uint32_t version) { fake().version = version; },
    [](CUptiResult result, const char* holder) {
      fake().subscribe_result = result;
      fake().holder = holder;
    },
    [](CUptiResult result) { fake().register_callbacks_result = result; },
    issue,
    issue_resource,
    issue_fatal_error,
    add_record,
    [](size_t count) { fake().dropped += count; },
    [](bool forced) {
      const std::lock_guard lock(fake().mutex);
      return fake().flushes[forced ? 1 : 0];
    },
    [](CUpti_ActivityKind kind) { return fake().kinds.count(kind) != 0; },
    []() { return fake().timestamps_came_first; },
    []() { return fake().timestamp(); },
    []() { return static_cast<uint32_t>(fake().enabled.size()); },
    issue_graph_node,
    [](CUptiResult result) { fake().unified_memory_result = result; },
    [](uint32_t device) {
      const auto first = fake().counters.lower_bound({device, 0});
      return static_cast<uint32_t>(
          std::distance(first, fake().counters.lower_bound({device + 1, 0})));
    },
};

}  // namespace

EXPORT const FakeCuptiControl* fake_cupti_control() { return &kControl; }

EXPORT CUptiResult cuptiGetVersion(uint32_t* version) {
  *version = fake().version;
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiGetResultString(CUptiResult result, const char** text) {
  *text = result == CUPTI_ERROR_NOT_INITIALIZED ? "CUPTI_ERROR_NOT_INITIALIZED" : "CUPTI_ERROR";
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiSubscribe(CUpti_SubscriberHandle* subscriber, CUpti_CallbackFunc callback,
                                  void* user) {
  if (fake().subscribe_result != CUPTI_SUCCESS) return fake().subscribe_result;
  *subscriber = reinterpret_cast<CUpti_SubscriberHandle>(&fake());
  fake().callback = callback;
  fake().user = user;
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiSubscribe_v2(CUpti_SubscriberHandle*, CUpti_CallbackFunc, void*,
                                     CUpti_SubscriberParams* params) {
  if (params->structSize != sizeof *params) return CUPTI_ERROR_INVALID_PARAMETER;
  std::strncpy(params->oldSubscriberName, fake().holder.c_str(), params->oldSubscriberSize - 1);
  return fake().subscribe_result;
}
EXPORT CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle) { return CUPTI_SUCCESS; }
EXPORT CUptiResult cuptiEnableCallback(uint32_t enable, CUpti_SubscriberHandle,
                                       CUpti_CallbackDomain domain, CUpti_CallbackId id) {
  if (domain == CUPTI_CB_DOMAIN_RUNTIME_API && id >= CUPTI_RUNTIME_TRACE_CBID_SIZE) {
    return CUPTI_ERROR_INVALID_PARAMETER;
  }
  const std::lock_guard lock(fake().mutex);
  if (enable != 0) fake().enabled.insert({domain, id});
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiActivityRegisterTimestampCallback(CUpti_TimestampCallbackFunc function) {
  fake().timestamp = function;
  fake().timestamps_came_first = fake().kinds.empty();
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                                  CUpti_BuffersCallbackCompleteFunc complete) {
  fake().request = request;
  fake().complete = complete;
  return fake().register_callbacks_result;
}
EXPORT CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
  fake().kinds.insert(kind);
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiActivityEnableAllocationSource(uint8_t) {
  return fake().version >= 24 ? CUPTI_SUCCESS : CUPTI_ERROR_NOT_SUPPORTED;
}
EXPORT CUptiResult cuptiActivityConfigureUnifiedMemoryCounter(
    CUpti_ActivityUnifiedMemoryCounterConfig* configs, uint32_t count) {
  if (fake().unified_memory_result != CUPTI_SUCCESS) return fake().unified_memory_result;
  const std::lock_guard lock(fake().mutex);
  if (fake().kinds.count(CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER) != 0) {
    return CUPTI_ERROR_INVALID_OPERATION;
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t device = configs[i].deviceId;
    const uint32_t kind = configs[i].kind;
    if (configs[i].enable == 1) fake().counters.insert({device, kind});
  }
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiActivitySetAttribute(CUpti_ActivityAttribute, size_t*, void*) {
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, uint32_t, size_t* dropped) {
  *dropped = std::exchange(fake().dropped, 0);
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiGetDeviceId(CUcontext context, uint32_t* device) {
  *device = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(context) & 0xff);
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiGetGraphNodeId(CUgraphNode node, uint64_t* id) {
  *id = reinterpret_cast<uintptr_t>(node);
  return CUPTI_SUCCESS;
}
EXPORT CUptiResult cuptiGetStreamIdEx(CUcontext, CUstream stream, uint8_t per_thread,
                                      uint32_t* id) {
  if (stream == nullptr) {
    *id = per_thread != 0 ? 8 : 7;
  } else {
    *id = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(stream)) + 100;
  }
  return CUPTI_SUCCESS;
}

EXPORT CUptiResult cuptiActivityFlushAll(uint32_t flag) {
  const std::lock_guard lock(fake().mutex);
  ++fake().flushes[flag != 0 ? 1 : 0];
  std::vector<PendingRecord> due;
  std::vector<PendingRecord> later;
  for (auto& record : fake().pending) {
    (record.finished || flag != 0 ? due : later).push_back(record);
  }
  fake().pending = later;
  while (!due.empty()) {
    uint8_t* buffer = nullptr;
    size_t size = 0;
    size_t most = 0;
    fake().request(&buffer, &size, &most);
    if (buffer == nullptr) return CUPTI_ERROR_OUT_OF_MEMORY;
    size_t used = 0;
    size_t taken = 0;
    while (taken < due.size() && used + due[taken].bytes.size() <= size) {
      // A buffer that is used again must have been given back clean.
      if (std::any_of(buffer + used, buffer + used + due[taken].bytes.size(),
                      [](uint8_t byte) { return byte != 0; })) {
        return CUPTI_ERROR_UNKNOWN;
      }
      std::memcpy(buffer + used, due[taken].bytes.data(), due[taken].bytes.size());
      used += due[taken++].bytes.size();
    }
    due.erase(due.begin(), due.begin() + static_cast<ptrdiff_t>(taken));
    fake().complete(nullptr, 0, buffer, size, used);
  }
  return CUPTI_SUCCESS;
}

EXPORT CUptiResult cuptiActivityGetNextRecord(uint8_t* buffer, size_t valid,
                                              CUpti_Activity** record) {
  uint8_t* next = buffer;
  if (*record != nullptr) {
    next = reinterpret_cast<uint8_t*>(*record) + record_bytes((*record)->kind);
  }
  if (next >= buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<CUpti_Activity*>(next);
  return CUPTI_SUCCESS;
}
