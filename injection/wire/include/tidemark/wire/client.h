// How other injected libraries reach the one recorder in a process. libtidemark_preload.so exports
// `tidemark_client`; libtidemark_cuda.so finds it with dlsym(RTLD_DEFAULT, …), or, when LD_PRELOAD
// was lost on the way, loads libtidemark_preload.so from its own folder (which then records nothing
// of the host). Every function may be called from any thread, takes no lock that the target could
// hold, allocates nothing from the target's heap and never throws.
#pragma once

#include <cstdint>

#include "tidemark/wire/layout.h"
#include "tidemark/wire/records.h"

namespace tidemark::wire {

inline constexpr uint32_t kClientVersion = 1;
inline constexpr const char* kClientSymbol = "tidemark_client";

struct Client {
  uint32_t version;  // kClientVersion
  uint32_t reserved_;
  // Whether this process is being recorded; nothing below does anything when it is not. False in a
  // forked child until its first event, then true again with another process key.
  bool (*recording)();
  const ArenaHeader* (*arena)();
  // Differs after fork: what belongs to the parent (CUPTI above all) is then not usable.
  uint64_t (*process_key)();
  uint64_t (*now_ns)();  // CLOCK_MONOTONIC
  // Takes the caller's stack and publishes it if it is new. Leaves out the innermost `skip` frames.
  StackId (*capture_stack)(uint32_t skip);
  // Publishes the text if it is new.
  NameId (*intern)(const char* text);
  // Publishes a record that starts with a Header; header.bytes of it are copied. Waits or drops
  // when the ring is full, as the arena says.
  void (*publish)(const void* record);
  void (*count_loss)(Loss loss, uint64_t count);
  // A fact for the trace's `meta`, e.g. ("cuda.device.0.name", "NVIDIA H100 80GB HBM3").
  void (*meta)(const char* key, const char* value);
  // While depth > 0, host hooks on this thread record nothing: for calls into CUPTI and the like,
  // whose memory is ours and not the program's.
  void (*pause_thread)();
  void (*resume_thread)();
  // Host memory that code of the module at `address` asks for, on any thread, is not the program's:
  // it is not recorded from now on. For CUPTI, which makes hundreds of allocations per launch. One
  // module; a second call replaces the first.
  void (*disregard_module)(const void* address);
};

using ClientFunction = const Client* (*)();  // extern "C" const Client* tidemark_client();

}  // namespace tidemark::wire
