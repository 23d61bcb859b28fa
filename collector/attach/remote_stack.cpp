#include "remote_stack.h"

#include <elfutils/libdwfl.h>
#include <fmt/format.h>

namespace tidemark::collector {
namespace {

// Call frame information is in the files themselves: nothing is searched or downloaded.
int no_debug_file(Dwfl_Module*, void**, const char*, Dwarf_Addr, const char*, const char*,
                  GElf_Word, char**) {
  return -1;
}

constexpr Dwfl_Callbacks kCallbacks = {dwfl_linux_proc_find_elf, no_debug_file, nullptr, nullptr};
constexpr size_t kMostFrames = 10000;

int add_frame(Dwfl_Frame* frame, void* data) {
  auto& addresses = *static_cast<std::vector<uint64_t>*>(data);
  Dwarf_Addr address = 0;
  bool interrupted = false;
  if (!dwfl_frame_pc(frame, &address, &interrupted)) return DWARF_CB_ABORT;
  // A return address may be the first of the next function.
  addresses.push_back(interrupted || addresses.empty() ? address : address - 1);
  return addresses.size() < kMostFrames ? DWARF_CB_OK : DWARF_CB_ABORT;
}

}  // namespace

Result<std::unique_ptr<RemoteStack>> RemoteStack::open(int32_t pid) {
  std::unique_ptr<RemoteStack> stack(new RemoteStack(dwfl_begin(&kCallbacks)));
  const bool ready = stack->dwfl_ != nullptr && dwfl_linux_proc_report(stack->dwfl_, pid) == 0 &&
                     dwfl_report_end(stack->dwfl_, nullptr, nullptr) == 0 &&
                     dwfl_linux_proc_attach(stack->dwfl_, pid, true) == 0;
  if (!ready) return fail(fmt::format("cannot look into process {}: {}", pid, dwfl_errmsg(-1)));
  return stack;
}

RemoteStack::~RemoteStack() {
  if (dwfl_ != nullptr) dwfl_end(dwfl_);
}

RemoteStack::Frames RemoteStack::frames(int32_t tid) const {
  Frames frames;
  frames.complete = dwfl_getthread_frames(dwfl_, tid, add_frame, &frames.addresses) == 0;
  return frames;
}

}  // namespace tidemark::collector
