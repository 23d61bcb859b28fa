// Which memory each kernel is handed: reads the arguments of a launch before it is made, and
// publishes the words among them that may be pointers (wire::Touch). What lives at them, and which
// block of a pool, is found out by the collector.
//
// What this cannot see: pointers that lie in device memory or behind another pointer; those that
// are packed into less than 8 bytes, or that lie across 8-byte words of their parameter; texture
// and surface objects; memory that a kernel knows without being told (globals of its module).
//
//   program ── cudaLaunchKernel ─▶ runtime ── cuLaunchKernel(f, kernelParams, extra) ─▶ driver
//                                                 └ launch()
//
// Any thread; no lock but where a kernel is seen for the first time. Does nothing before start().
#pragma once

#include <cupti.h>

#include <atomic>
#include <cstdint>

#include "kernel_arguments.h"
#include "page_set.h"
#include "parameter_layouts.h"
#include "text.h"
#include "tidemark/wire/client.h"

namespace tidemark::cuda {

class AccessRecorder {
 public:
  explicit AccessRecorder(const wire::Client& client) : client_(client) {}

  // False: the accesses of this process are not recorded, `why` says what stood in the way.
  bool start(Message& why);
  bool started() const { return started_; }

  // Memory that kernels may be handed from now on.
  void memory(uint64_t address, uint64_t bytes);
  // A launch of the driver API is about to be made; `correlation` is that of its Launch.
  void launch(CUpti_CallbackId id, const void* params, uint32_t correlation);
  // Handles of kernels may be given out again.
  void forget_kernels() {
    if (started_) layouts_.forget();
  }

 private:
  class Words;
  void read(const KernelArguments& kernel, Words& words);

  const wire::Client& client_;
  bool started_ = false;
  PageSet pages_;
  ParameterLayouts layouts_;
};

}  // namespace tidemark::cuda
