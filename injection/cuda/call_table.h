// A list of (callback id, CallInfo) turned into an array by id at compile time, since it is asked
// at every launch.
#pragma once

#include <array>

#include "calls.h"

namespace tidemark::cuda {

struct Hook {
  CUpti_CallbackId id;
  CallInfo info;
};

template <size_t kIds, size_t kHooks>
constexpr std::array<CallInfo, kIds> by_id(const Hook (&hooks)[kHooks]) {
  std::array<CallInfo, kIds> table{};
  for (const Hook& hook : hooks) table[hook.id] = hook.info;  // out of range: does not compile
  return table;
}

constexpr CallInfo alloc(wire::Api api, wire::Space space, bool per_thread = false) {
  return {CallKind::kAlloc, per_thread, space, api};
}
constexpr CallInfo free_of(wire::Api api) {
  return {CallKind::kFree, false, wire::Space::kDevice, api};
}
constexpr CallInfo of_kind(CallKind kind, wire::Api api = wire::Api::kUnknown) {
  return {kind, false, wire::Space::kDevice, api};
}

inline uint64_t address_of(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// What an output argument holds after the call; the program may have passed none where that is
// allowed, so nothing is taken for granted.
template <class Pointer>
uint64_t address_at(Pointer* const* out) {
  return out != nullptr ? address_of(*out) : 0;
}
inline uint64_t address_at(const CUdeviceptr* out) { return out != nullptr ? *out : 0; }

}  // namespace tidemark::cuda
