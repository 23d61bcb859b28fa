// Notices that the program itself asks for CUPTI's one subscription (torch.profiler does, through
// libkineto) and is refused, since libtidemark_cuda.so holds it: its profile is then empty, and the
// trace says so. The call goes on to the real function, and its answer back, unchanged.
//
// Our own subscription does not come by here: libtidemark_cuda.so asks its CUPTI by handle.
#include "hooks.h"
#include "process.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

// Of CUpti_Result (cupti_result.h); part of CUPTI's binary interface.
constexpr int kNotInitialized = 15;
constexpr int kMultipleSubscribers = 39;

using Subscribe = int (*)(void* subscriber, void* callback, void* user_data);

Subscribe real_subscribe() {
  const stack::Module* cupti = stack::find_module_by_name("libcupti.so");
  return cupti == nullptr
             ? nullptr
             : reinterpret_cast<Subscribe>(stack::find_symbol(*cupti, "cuptiSubscribe"));
}

void note_refusal(uint64_t caller) {
  count_loss(wire::Loss::kCuptiKeptFromProgram, 1);
  const stack::Module* module = stack::find_module(caller, true);
  if (module != nullptr) publish_meta("cuda.cupti_wanted_by", module->path);
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks

TIDEMARK_EXPORT int cuptiSubscribe(void* subscriber, void* callback, void* user_data) {
  const auto caller = reinterpret_cast<uint64_t>(__builtin_return_address(0));
  const Subscribe real = real_subscribe();
  // Called through a pointer that was asked for by name, without a CUPTI.
  if (real == nullptr) return kNotInitialized;
  const int result = real(subscriber, callback, user_data);
  if (result == kMultipleSubscribers && recording()) note_refusal(caller);
  return result;
}
