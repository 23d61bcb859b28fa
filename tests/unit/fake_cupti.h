// The controls of the fake libcupti (fake_cupti.cpp): a shared library with the few functions that
// libtidemark_cuda.so uses, so that the whole library runs without a GPU. It issues callbacks only
// for what was enabled, hands out records only in buffers that it asked for, and lays them out as
// the CUPTI version does that it pretends to be.
#pragma once

#include <cupti.h>

#include <cstddef>
#include <cstdint>

struct FakeCuptiControl {
  // To be set before InitializeInjection.
  void (*set_version)(uint32_t version);
  void (*set_subscriber)(CUptiResult result, const char* holder);
  void (*set_register_callbacks_result)(CUptiResult result);

  // One callback of one API call, if it is enabled. True: it was issued.
  bool (*issue)(CUpti_CallbackDomain domain, CUpti_CallbackId id, const CUpti_CallbackData* data);
  bool (*issue_resource)(CUpti_CallbackId id);
  bool (*issue_fatal_error)(const char* message);

  // A record for the next flush; an unfinished one comes with a forced flush only.
  void (*add_record)(const void* record, size_t bytes, bool finished);
  void (*drop_records)(size_t count);

  uint32_t (*flushes)(bool forced);
  bool (*kind_enabled)(CUpti_ActivityKind kind);
  bool (*timestamps_came_first)();  // registered before any kind was enabled
  uint64_t (*timestamp)();          // from the registered callback
  uint32_t (*callbacks_enabled)();
  // A node of a graph was created, or cloned from `original`; its id is its handle's number.
  bool (*issue_graph_node)(CUpti_CallbackId id, CUgraphNode node, CUgraphNode original);

  // Of managed memory: what asking for counters comes to, and how many a device has.
  void (*set_unified_memory_result)(CUptiResult result);
  uint32_t (*counters_of)(uint32_t device);
};

inline constexpr const char* kFakeCuptiControl = "fake_cupti_control";
using FakeCuptiControlFunction = const FakeCuptiControl* (*)();
