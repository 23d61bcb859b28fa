#include "access.h"

#include <dlfcn.h>

#include <cstring>

#include "client.h"

namespace tidemark::cuda {

// The record that is being filled. On the stack of a thread of the target, so it is small; when it
// is full, the next one goes on.
class AccessRecorder::Words {
 public:
  Words(const wire::Client& client, uint32_t correlation)
      : client_(client), correlation_(correlation) {}

  void add(uint64_t word) {
    // The same pointer often comes more than once, as its own view or in a list of operands.
    for (uint32_t i = 0; i < count_; ++i) {
      if (record_.words[i] == word) return;
    }
    if (count_ == kMost) publish();
    record_.words[count_++] = word;
  }
  // Filled once something is to be said: most kernels of some programs are handed no memory.
  void publish() {
    if (count_ == 0) return;
    record_.fixed.header.type = wire::RecordType::kTouch;
    record_.fixed.header.detail = 0;
    record_.fixed.header.bytes =
        static_cast<uint32_t>(sizeof(wire::Touch) + count_ * sizeof(uint64_t));
    record_.fixed.header.time_ns = client_.now_ns();
    record_.fixed.correlation = correlation_;
    record_.fixed.word_count = count_;
    client_.publish(&record_);
    count_ = 0;
  }

 private:
  static constexpr uint32_t kMost = 32;
  const wire::Client& client_;
  const uint32_t correlation_;
  uint32_t count_ = 0;
  struct {
    wire::Touch fixed;
    uint64_t words[kMost];
  } record_;
};

bool AccessRecorder::start(Message& why) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  const auto find = [driver](const char* name) {
    return driver != nullptr ? reinterpret_cast<GetParameterInfo>(dlsym(driver, name)) : nullptr;
  };
  const GetParameterInfo of_function = find("cuFuncGetParamInfo");
  const GetParameterInfo of_kernel = find("cuKernelGetParamInfo");
  if (of_function == nullptr || of_kernel == nullptr) {
    why << "the driver does not tell the parameters of kernels: it takes one of CUDA 12.4 or later";
    return false;
  }
  if (!pages_.create() || !layouts_.create(of_function, of_kernel)) {
    why << "no memory for the tables";
    return false;
  }
  started_ = true;
  return true;
}

void AccessRecorder::memory(uint64_t address, uint64_t bytes) {
  if (!started_ || pages_.add(address, bytes)) return;
  client_.meta("cuda.access.unseen", "memory above the first 2^48 bytes of addresses");
}

void AccessRecorder::launch(CUpti_CallbackId id, const void* params, uint32_t correlation) {
  if (!started_) return;
  Words words(client_, correlation);
  const size_t kernels = launched_kernels(id, params);
  for (size_t i = 0; i < kernels; ++i) read(launched_kernel(id, params, i), words);
  words.publish();
}

void AccessRecorder::read(const KernelArguments& kernel, Words& words) {
  const auto take = [&](const uint8_t* at, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      uint64_t word = 0;
      std::memcpy(&word, at + i * sizeof word, sizeof word);
      if (pages_.holds(word)) words.add(word);
    }
  };
  if (kernel.extra != nullptr) {
    const ArgumentBuffer buffer = argument_buffer(kernel.extra);
    return take(buffer.data, buffer.bytes / sizeof(uint64_t));
  }
  const ParameterLayout* layout = layouts_.of(kernel.function);
  if (layout == nullptr) return client_.count_loss(wire::Loss::kKernelArgumentsUnknown, 1);
  if (layout->count != 0 && kernel.parameters == nullptr) {
    return client_.count_loss(wire::Loss::kKernelArgumentsUnknown, 1);
  }
  for (size_t i = 0; i < layout->count; ++i) {
    const ParameterSpan span = layout->spans[i];
    const auto* at = static_cast<const uint8_t*>(kernel.parameters[span.index]);
    if (at != nullptr) take(at, span.words);
  }
}

}  // namespace tidemark::cuda
