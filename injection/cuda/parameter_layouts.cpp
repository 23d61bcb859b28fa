#include "parameter_layouts.h"

#include <cstring>

namespace tidemark::cuda {

bool ParameterLayouts::create(GetParameterInfo of_function, GetParameterInfo of_kernel) {
  of_function_ = of_function;
  of_kernel_ = of_kernel;
  slots_ = static_cast<Slot*>(map_pages(kSlots * sizeof(Slot)));
  return slots_ != nullptr;
}

// False: neither function knows the handle, or the kernel has too many parameters.
bool ParameterLayouts::read(const void* handle, ParameterSpan* spans, size_t& count) const {
  bool empty = false;
  for (const GetParameterInfo get : {of_function_, of_kernel_}) {
    count = 0;
    size_t offset = 0;
    size_t bytes = 0;
    size_t i = 0;
    CUresult result = get(handle, i, &offset, &bytes);
    for (; result == CUDA_SUCCESS; result = get(handle, ++i, &offset, &bytes)) {
      if (bytes < sizeof(uint64_t)) continue;
      if (count == kMostSpans) return false;
      spans[count++] = {static_cast<uint32_t>(i), static_cast<uint32_t>(bytes / sizeof(uint64_t))};
    }
    if (i != 0) return true;
    // No parameters, or a handle of the other kind: the other function tells which.
    empty |= result == CUDA_ERROR_INVALID_VALUE;
  }
  return empty;
}

[[gnu::noinline]] const ParameterLayout* ParameterLayouts::ask(const void* handle) {
  if (handle == nullptr) return nullptr;
  // Read first: what is forgotten while the driver answers is asked for again.
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  ParameterSpan spans[kMostSpans];
  size_t count = 0;
  if (!read(handle, spans, count)) return nullptr;
  return keep(handle, spans, count, generation);
}

const ParameterLayout* ParameterLayouts::keep(const void* handle, const ParameterSpan* spans,
                                              size_t count, uint32_t generation) {
  const SpinGuard guard(lock_);
  if (Slot* known = find(handle)) {
    const ParameterLayout* layout = known->layout.load(std::memory_order_relaxed);
    if (layout->count != count ||
        std::memcmp(layout->spans, spans, count * sizeof(ParameterSpan)) != 0) {
      layout = store(spans, count);
      if (layout == nullptr) return nullptr;
      known->layout.store(layout, std::memory_order_release);
    }
    known->generation.store(generation, std::memory_order_release);
    return layout;
  }
  const auto key = reinterpret_cast<uintptr_t>(handle);
  size_t at = home(key);
  for (size_t probe = 0; probe < kMostProbes; ++probe, at = (at + 1) % kSlots) {
    Slot& slot = slots_[at];
    if (slot.handle.load(std::memory_order_relaxed) != 0) continue;
    const ParameterLayout* layout = store(spans, count);
    if (layout == nullptr) return nullptr;
    slot.layout.store(layout, std::memory_order_relaxed);
    slot.generation.store(generation, std::memory_order_relaxed);
    slot.handle.store(key, std::memory_order_release);
    return layout;
  }
  return nullptr;
}

const ParameterLayout* ParameterLayouts::store(const ParameterSpan* spans, size_t count) {
  const size_t bytes = sizeof(ParameterLayout) + count * sizeof(ParameterSpan);
  static_assert(sizeof(ParameterLayout) + kMostSpans * sizeof(ParameterSpan) <= kBlockBytes);
  if (bytes > block_left_) {
    block_ = static_cast<uint8_t*>(map_pages(kBlockBytes));
    block_left_ = block_ != nullptr ? kBlockBytes : 0;
    if (block_ == nullptr) return nullptr;
  }
  auto* layout = reinterpret_cast<ParameterLayout*>(block_);
  auto* kept = reinterpret_cast<ParameterSpan*>(block_ + sizeof(ParameterLayout));
  static_assert(sizeof(ParameterLayout) % alignof(ParameterLayout) == 0 &&
                sizeof(ParameterSpan) % alignof(ParameterLayout) == 0);
  std::memcpy(kept, spans, count * sizeof(ParameterSpan));
  *layout = {count, kept};
  block_ += bytes;
  block_left_ -= bytes;
  return layout;
}

}  // namespace tidemark::cuda
