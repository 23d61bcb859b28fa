#include "borrow.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>

#include "borrowed_thread.h"
#include "call_stub.h"
#include "danger_map.h"
#include "remote_stack.h"

namespace tidemark::collector {
namespace {

constexpr int64_t kSearchNs = 10'000'000'000;
constexpr int64_t kCallNs = 20'000'000'000;
constexpr int64_t kShortestPauseNs = 500'000;
constexpr int64_t kLongestPauseNs = 20'000'000;
constexpr uint64_t kInternalDlopen = 0x80000000;  // __libc_dlopen_mode wants to be told

// The memory that the thread maps for us: a page of code, then what the code works on, then stack.
constexpr uint64_t kCodeBytes = 4096;
constexpr uint64_t kDataBytes = 28672;
constexpr uint64_t kStackBytes = uint64_t{512} * 1024;
constexpr uint64_t kRegionBytes = kCodeBytes + kDataBytes + kStackBytes;

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}
void pause_for(int64_t ns) {
  const timespec pause{0, ns};
  nanosleep(&pause, nullptr);
}

// The first thread first: it is the one that waits most.
std::vector<int32_t> threads_of(int32_t pid) {
  std::vector<int32_t> threads;
  DIR* folder = opendir(fmt::format("/proc/{}/task", pid).c_str());
  if (folder == nullptr) return threads;
  while (const dirent* entry = readdir(folder)) {
    int32_t tid = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, tid).ptr == end && tid > 0) threads.push_back(tid);
  }
  closedir(folder);
  std::sort(threads.begin(), threads.end(), [&](int32_t a, int32_t b) {
    return (a != pid) < (b != pid) || ((a != pid) == (b != pid) && a < b);
  });
  return threads;
}

struct LibcFunctions {
  uint64_t errno_location = 0;
  uint64_t open_library = 0;
  uint64_t find_symbol = 0;
  uint64_t last_error = 0;
  uint64_t flags = RTLD_NOW | RTLD_LOCAL;
};

// Since glibc 2.34 in libc; before, in libdl or, under other names, in libc.
Result<LibcFunctions> find_functions(const ProcessFacts& facts, const ExportedFunctions& libc) {
  LibcFunctions found;
  const auto in_libc = [&](const char* name) {
    const ExportedFunction* function = libc.find(name);
    return function == nullptr ? 0 : function->start + facts.libc.start - libc.base();
  };
  found.errno_location = in_libc("__errno_location");
  found.open_library = in_libc("dlopen");
  found.find_symbol = in_libc("dlsym");
  found.last_error = in_libc("dlerror");
  if (found.open_library == 0) {
    found.open_library = in_libc("__libc_dlopen_mode");
    found.find_symbol = in_libc("__libc_dlsym");
    found.last_error = 0;
    found.flags |= kInternalDlopen;
  }
  if (found.errno_location == 0 || found.open_library == 0 || found.find_symbol == 0) {
    return fail(fmt::format("{} has no dlopen: it cannot be attached to", facts.libc.path));
  }
  return found;
}

Result<Gadgets> find_gadgets(const ProcessFacts& facts, const RemoteMemory& memory) {
  Gadgets gadgets;
  for (const MappedRange& range : facts.maps) {
    if (range.path != facts.libc.path || !range.executable) continue;
    const auto call = memory.find(range.start, range.end, {0x0f, 0x05, 0xc3});
    const auto back =
        memory.find(range.start, range.end, {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05});
    if (call) gadgets.system_call = *call;
    if (back) gadgets.way_back = *back;
  }
  if (gadgets.system_call == 0 || gadgets.way_back == 0) {
    return fail(fmt::format("{} is not laid out as expected: cannot attach", facts.libc.path));
  }
  return gadgets;
}

class Borrower {
 public:
  Borrower(const ProcessFacts& facts, const ExportedFunctions& libc, const RemoteStack& stacks,
           const RemoteMemory& memory)
      : facts_(facts), dangers_(facts, libc), stacks_(stacks), memory_(memory) {}

  struct Found {
    std::unique_ptr<TracedThread> thread;
    ThreadState state;
  };
  Result<Found> find_thread() const {
    const int64_t deadline_ns = now_ns() + kSearchNs;
    int64_t pause_ns = kShortestPauseNs;
    while (now_ns() < deadline_ns) {
      const std::vector<int32_t> threads = threads_of(facts_.pid);
      if (threads.empty()) return fail(fmt::format("process {} has ended", facts_.pid));
      for (const int32_t tid : threads) {
        auto thread = TracedThread::stop(facts_.pid, tid);
        if (!thread) return tl::unexpected<Error>(thread.error());
        Found found{std::move(*thread), {}};
        if (found.thread && found.thread->read_state(found.state) && usable(found)) return found;
      }
      pause_for(pause_ns);
      pause_ns = std::min(pause_ns * 2, kLongestPauseNs);
    }
    return fail(fmt::format(
        "no thread of process {} ({}) could be used for {} s: each was starting, ending, or inside "
        "the allocator or the dynamic linker; try again",
        facts_.pid, facts_.name, kSearchNs / 1'000'000'000));
  }

 private:
  bool usable(const Found& found) const {
    const user_regs_struct& registers = found.state.registers;
    if (registers.cs != 0x33) return false;  // 32-bit code
    if (found.thread->in_restartable_sequence(memory_)) return false;
    if (dangers_.in_libc(registers.rip)) {
      const auto call = static_cast<int64_t>(registers.orig_rax);
      if (call < 0 || !is_waiting_call(call)) return false;
    }
    if (!has_room(registers.rsp)) return false;
    const RemoteStack::Frames frames = stacks_.frames(found.thread->tid());
    if (frames.addresses.empty()) return false;
    for (const uint64_t address : frames.addresses) {
      if (dangers_.dangerous(address)) return false;
    }
    return frames.complete || !danger_on_stack(registers.rsp);
  }

  // For the frame that leads it back: the kernel grows no stack for our writing.
  bool has_room(uint64_t stack_pointer) const {
    constexpr uint64_t kRoomBytes = uint64_t{24} * 1024;
    const std::vector<MappedRange> maps = read_maps(facts_.pid);
    const MappedRange* stack = range_at(maps, stack_pointer);
    return stack != nullptr && stack->writable && stack_pointer - stack->start >= kRoomBytes;
  }

  // Without unwind information: any word that could be a return address into dangerous code counts.
  bool danger_on_stack(uint64_t stack_pointer) const {
    constexpr uint64_t kMostBytes = uint64_t{256} * 1024;
    const std::vector<MappedRange> maps = read_maps(facts_.pid);
    const MappedRange* stack = range_at(maps, stack_pointer);
    if (stack == nullptr) return true;
    const uint64_t bytes = std::min(stack->end - stack_pointer, kMostBytes) & ~uint64_t{7};
    std::vector<uint64_t> words(bytes / 8);
    if (!memory_.read(stack_pointer, words.data(), bytes)) return true;
    return std::any_of(words.begin(), words.end(),
                       [&](uint64_t word) { return dangers_.dangerous(word); });
  }

  const ProcessFacts& facts_;
  DangerMap dangers_;
  const RemoteStack& stacks_;
  const RemoteMemory& memory_;
};

// Lays out what the stub needs in [region, region + kRegionBytes).
class CallLayout {
 public:
  CallLayout(uint64_t region, const LibcFunctions& functions, const RemoteCall& call,
             const ThreadState& way_back)
      : region_(region), bytes_(kCodeBytes + kDataBytes) {
    const auto stub = call_stub();
    std::memcpy(bytes_.data(), stub.data(), stub.size());
    next_ = block_offset() + sizeof(CallBlock);
    block_.errno_location = functions.errno_location;
    block_.open_library = functions.open_library;
    block_.find_symbol = functions.find_symbol;
    block_.last_error = functions.last_error;
    block_.flags = functions.flags;
    block_.path = add(call.library.c_str(), call.library.size() + 1);
    block_.symbol = add(call.function.c_str(), call.function.size() + 1);
    block_.watched_path = add(call.watched_path.c_str(), call.watched_path.size() + 1);
    block_.argument = add(call.argument, call.argument_bytes);
    block_.nap_ns = 2'000'000;
    // Below the frame the stack begins.
    frame_ = make_signal_frame(way_back, region + kRegionBytes);
    block_.way_back = frame_.address;
    std::memcpy(bytes_.data() + block_offset(), &block_, sizeof block_);
  }

  [[nodiscard]] bool write(const RemoteMemory& memory) const {
    return memory.write(region_, bytes_.data(), bytes_.size()) &&
           memory.write(frame_.lowest, frame_.bytes.data(), frame_.bytes.size());
  }
  [[nodiscard]] uint64_t block() const { return region_ + block_offset(); }
  [[nodiscard]] uint64_t stack() const { return (frame_.lowest - 256) & ~uint64_t{15}; }
  [[nodiscard]] uint64_t argument() const { return block_.argument; }

 private:
  static constexpr uint64_t block_offset() { return kCodeBytes; }
  uint64_t add(const void* data, size_t bytes) {
    next_ = (next_ + 15) & ~uint64_t{15};
    const uint64_t at = next_;
    if (at + bytes > bytes_.size()) return 0;
    std::memcpy(bytes_.data() + at, data, bytes);
    next_ += bytes;
    return region_ + at;
  }
  uint64_t region_;
  std::vector<std::byte> bytes_;
  uint64_t next_ = 0;
  CallBlock block_{};
  SignalFrame frame_;
};

Result<uint64_t> map_region(BorrowedThread& thread) {
  const auto mapped = thread.system_call(
      SYS_mmap,
      {{0, kRegionBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0}});
  if (!mapped) return tl::unexpected<Error>(mapped.error());
  if (*mapped < 0 && *mapped > -4096) {
    return fail(fmt::format("it cannot map memory: {}", std::strerror(static_cast<int>(-*mapped))));
  }
  return static_cast<uint64_t>(*mapped);
}

// Until the stub has written its state.
Result<CallBlock> wait_for_stub(BorrowedThread& thread, const RemoteMemory& memory,
                                uint64_t block_address) {
  const int64_t deadline_ns = now_ns() + kCallNs;
  for (;;) {
    CallBlock block{};
    const TracedThread::Event event = thread.poll();
    if (event == TracedThread::Event::kGone || !memory.read(block_address, &block, sizeof block)) {
      return fail("the process has ended");
    }
    if (event == TracedThread::Event::kFault) {
      (void)thread.put_back_at_once();
      return fail("the library crashed while it was loaded; the process runs on");
    }
    // Stopped together with the whole process, and going on with it.
    if (event == TracedThread::Event::kInterrupted && !thread.go_on()) {
      return fail("the process has ended");
    }
    if (block.state != CallState::kRunning) return block;
    if (now_ns() > deadline_ns) {
      thread.let_go();
      return fail(fmt::format(
          "the library could not be loaded within {} s (does a thread of the process hold the "
          "dynamic linker's lock?); the process runs on",
          kCallNs / 1'000'000'000));
    }
    pause_for(kShortestPauseNs);
  }
}

Result<int64_t> call_on(BorrowedThread& thread, const RemoteMemory& memory,
                        const LibcFunctions& functions, const RemoteCall& call) {
  const auto region = map_region(thread);
  if (!region) {
    (void)thread.put_back_at_once();
    return tl::unexpected<Error>(region.error());
  }
  const CallLayout layout(*region, functions, call, thread.self_resuming_state());
  const auto give_back = [&] { return thread.put_back({*region, kRegionBytes}); };
  const auto sealed =
      layout.write(memory)
          ? thread.system_call(SYS_mprotect, {{*region, kCodeBytes, PROT_READ | PROT_EXEC}})
          : Result<int64_t>(-EFAULT);
  if (!sealed || *sealed != 0) {
    (void)thread.put_back_at_once();
    return fail("it may not run new code (a security policy?)");
  }
  if (auto running = thread.run(*region, layout.stack(), layout.block()); !running) {
    return tl::unexpected<Error>(running.error());
  }
  const auto block = wait_for_stub(thread, memory, layout.block());
  if (!block) return tl::unexpected<Error>(block.error());
  const std::string error = block->state == CallState::kFailed && block->error_text != 0
                                ? memory.text(block->error_text)
                                : "";
  const bool copied = call.argument_bytes == 0 ||
                      memory.read(layout.argument(), call.argument, call.argument_bytes);
  if (auto back = give_back(); !back) return tl::unexpected<Error>(back.error());
  if (block->state == CallState::kFailed) {
    return fail(fmt::format("it cannot load {}: {}", call.library,
                            error.empty() ? "the dynamic linker does not say why" : error));
  }
  if (!copied) return fail("the process has ended");
  return block->result;
}

Result<int64_t> try_to_call(const ProcessFacts& facts, const RemoteCall& call) {
  const auto named = [&](const Error& error) {
    return fail(fmt::format("process {} ({}): {}", facts.pid, facts.name, error.message));
  };
  const std::string libc_path = fmt::format("/proc/{}/root{}", facts.pid, facts.libc.path);
  struct stat info {};
  if (stat(libc_path.c_str(), &info) != 0 || info.st_ino != facts.libc.inode) {
    return fail(fmt::format(
        "process {} ({}) runs with a C library that has been replaced on disk since: restart it",
        facts.pid, facts.name));
  }
  const auto libc = ExportedFunctions::read(libc_path);
  if (!libc) return named(libc.error());
  const auto functions = find_functions(facts, *libc);
  if (!functions) return named(functions.error());
  const RemoteMemory memory(facts.pid);
  uint64_t word = 0;
  if (!memory.read(facts.libc.start, &word, sizeof word)) {
    return fail(explain_refusal(facts.pid, errno, ptrace_scope()));
  }
  const auto gadgets = find_gadgets(facts, memory);
  if (!gadgets) return named(gadgets.error());
  const auto stacks = RemoteStack::open(facts.pid);
  if (!stacks) return named(stacks.error());
  const Borrower borrower(facts, *libc, **stacks, memory);
  auto found = borrower.find_thread();
  if (!found) return tl::unexpected<Error>(found.error());
  BorrowedThread thread(std::move(found->thread), std::move(found->state), *gadgets, memory);
  auto result = call_on(thread, memory, *functions, call);
  if (!result) return named(result.error());
  return result;
}

}  // namespace

Result<int64_t> call_in_process(const ProcessFacts& facts, const RemoteCall& call) {
  auto result = try_to_call(facts, call);
  // What a process that ends meanwhile no longer has looks like many other things.
  if (!result && has_ended(facts.pid)) {
    return fail(fmt::format("process {} ({}) has ended", facts.pid, facts.name));
  }
  return result;
}

Result<void> wait_until_outside(const ProcessFacts& facts) {
  const auto stacks = RemoteStack::open(facts.pid);
  if (!stacks) return tl::unexpected<Error>(stacks.error());
  const auto inside = [&](int32_t tid) {
    const RemoteStack::Frames frames = (*stacks)->frames(tid);
    return std::any_of(frames.addresses.begin(), frames.addresses.end(), [&](uint64_t address) {
      return address >= facts.ours.start && address < facts.ours.end;
    });
  };
  std::set<int32_t> outside;
  const int64_t deadline_ns = now_ns() + kSearchNs;
  for (;;) {
    bool all = true;
    for (const int32_t tid : threads_of(facts.pid)) {
      if (outside.contains(tid)) continue;
      auto thread = TracedThread::stop(facts.pid, tid);
      if (!thread) return tl::unexpected<Error>(thread.error());
      if (*thread == nullptr || !inside(tid)) {
        outside.insert(tid);
      } else {
        all = false;
      }
    }
    if (all) return {};
    if (now_ns() > deadline_ns) {
      return fail(fmt::format(
          "process {} ({}): a thread does not leave the hooks of an earlier recording; try again",
          facts.pid, facts.name));
    }
    pause_for(kShortestPauseNs);
  }
}

}  // namespace tidemark::collector
