// The process's CUPTI, found and resolved at run time: nothing is linked, so that one build runs
// on machines with CUDA 12, with CUDA 13 and without any.
#pragma once

#include <cupti.h>

#include <cstddef>
#include <cstdint>

#include "text.h"

namespace tidemark::cuda {

// CUpti_SubscriberParams, which headers of CUDA 12 do not have.
struct SubscriberParams {
  size_t struct_size;
  const char* subscriber_name;
  char* old_subscriber_name;
  size_t old_subscriber_size;
};
#if CUPTI_API_VERSION >= 130000
static_assert(sizeof(SubscriberParams) == sizeof(CUpti_SubscriberParams) &&
              offsetof(SubscriberParams, old_subscriber_name) ==
                  offsetof(CUpti_SubscriberParams, oldSubscriberName));
#endif

// Functions that are null were not found; which ones must be there open() checks.
struct Cupti {
  decltype(&cuptiGetVersion) get_version;
  decltype(&cuptiGetResultString) get_result_string;
  decltype(&cuptiSubscribe) subscribe;
  decltype(&cuptiEnableCallback) enable_callback;
  decltype(&cuptiUnsubscribe) unsubscribe;
  CUptiResult (*subscribe_v2)(CUpti_SubscriberHandle*, CUpti_CallbackFunc, void*,
                              SubscriberParams*);

  decltype(&cuptiActivityRegisterTimestampCallback) register_timestamp_callback;
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks;
  decltype(&cuptiActivityEnable) activity_enable;
  decltype(&cuptiActivityFlushAll) flush_all;
  decltype(&cuptiActivityGetNextRecord) get_next_record;

  decltype(&cuptiActivityGetNumDroppedRecords) get_num_dropped_records;
  decltype(&cuptiActivitySetAttribute) set_attribute;
  decltype(&cuptiGetDeviceId) get_device_id;
  decltype(&cuptiGetStreamIdEx) get_stream_id_ex;
  decltype(&cuptiGetGraphNodeId) get_graph_node_id;
  decltype(&cuptiActivityConfigureUnifiedMemoryCounter) configure_unified_memory;
  CUptiResult (*enable_allocation_source)(uint8_t);  // since CUDA 12.6

  uint32_t version;
  Path path;
};

// Where it looks, in this order:
//  1. the file that the environment variable TIDEMARK_CUPTI names: somebody knows better
//  2. a libcupti that the process has already loaded (PyTorch brings its own, from a wheel):
//     a second one in the same process would fight the first for the driver
//  3. beside the CUDA libraries that the process has loaded: the layout of the Python wheels
//     (nvidia/cu13/lib, nvidia/cuda_cupti/lib) and of the toolkit
//  4. CUDA_HOME, CUDA_PATH, /usr/local/cuda
//  5. the loader's own search path
// False: nothing usable; `why` says so in words for the user.
bool open_cupti(Cupti& cupti, Message& why);

// The functions of an open library, for tests of the ways above too.
bool resolve_cupti(void* library, Cupti& cupti, Message& why);

}  // namespace tidemark::cuda
