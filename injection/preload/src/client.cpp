// The recorder as libtidemark_cuda.so sees it (wire/client.h).
#include "tidemark/wire/client.h"

#include "hooks.h"
#include "process.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

// The caller of this function and of `skip` of its callers.
[[gnu::noinline]] wire::StackId capture_caller(uint32_t skip) {
  if (!recording()) return 0;
  stack::Context context = stack::caller_context();
  for (; skip > 0 && context.bp > context.sp - 16; --skip) {
    // Injected libraries keep frame pointers, so their own frames are skipped by the chain.
    const auto* frame = reinterpret_cast<const uint64_t*>(context.bp);
    context = {frame[1], context.bp + 16, frame[0]};
  }
  return capture(context);
}

void publish_record(const void* record) {
  if (recording()) publish(record);
}
wire::NameId intern_text(const char* text) { return recording() ? intern(text) : 0; }
void publish_fact(const char* key, const char* value) {
  if (recording()) publish_meta(key, value);
}
void pause_thread() { ++t_thread.paused; }
void resume_thread() { --t_thread.paused; }

void disregard_module(const void* address) {
  if (!recording()) return;
  const stack::Module* module = stack::find_module(reinterpret_cast<uint64_t>(address), true);
  if (module == nullptr) return;
  // Between the two stores the range is empty or begins where it should.
  g_disregarded.bytes.store(0, std::memory_order_release);
  g_disregarded.start.store(module->start, std::memory_order_release);
  g_disregarded.bytes.store(module->end - module->start, std::memory_order_release);
}

constexpr wire::Client kClient = {
    wire::kClientVersion,
    0,
    [] { return recording(); },
    []() -> const wire::ArenaHeader* { return g_process.arena; },
    [] { return g_process.key; },
    now_ns,
    capture_caller,
    intern_text,
    publish_record,
    [](wire::Loss loss, uint64_t count) { count_loss(loss, count); },
    publish_fact,
    pause_thread,
    resume_thread,
    disregard_module,
};

}  // namespace
}  // namespace tidemark::preload

TIDEMARK_EXPORT const tidemark::wire::Client* tidemark_client() {
  return &tidemark::preload::kClient;
}
