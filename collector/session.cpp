#include "session.h"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "proc.h"
#include "tidemark/wire/api.h"

namespace tidemark::collector {
namespace {

constexpr uint64_t kThreadIdleNs = 1'000'000'000;
constexpr uint64_t kThreadNameEveryNs = 500'000'000;
constexpr uint64_t kLookEveryNs = 200'000;
// Longer passes keep threads waiting that do nothing but allocate.
constexpr uint64_t kLongPassNs = 300'000;
constexpr uint64_t kOpenEveryNs = 5'000'000;
// What may wait for us before threads wait for us: 7 million events.
constexpr size_t kMostBacklogBytes = size_t{256} << 20;
constexpr size_t kPartOfMemory = 32;

// What a container may use is less than what the machine has. No such limit: the most there can be.
size_t memory_limit(const std::string& file) {
  const uint64_t bytes = std::strtoull(read_small_file(file).c_str(), nullptr, 10);
  return bytes == 0 ? std::numeric_limits<size_t>::max() : bytes;
}

size_t most_backlog() {
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return wire::kRingDataBytes;
  size_t memory = static_cast<size_t>(pages) * static_cast<size_t>(page_bytes);
  memory = std::min(memory, memory_limit("/sys/fs/cgroup/memory.max"));
  memory = std::min(memory, memory_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  // "0::/user.slice/…", where groups are not those of a container.
  const std::string groups = read_small_file("/proc/self/cgroup");
  if (const size_t own = groups.rfind("0::/"); own != std::string::npos) {
    const std::string path = groups.substr(own + 3, groups.find('\n', own) - own - 3);
    memory = std::min(memory, memory_limit("/sys/fs/cgroup" + path + "/memory.max"));
  }
  return std::min(kMostBacklogBytes, memory / kPartOfMemory);
}

trace::Severity severity_of(std::string_view text) {
  if (text == "info") return trace::Severity::kInfo;
  return text == "error" ? trace::Severity::kError : trace::Severity::kDataLoss;
}

}  // namespace

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Session::Session(Arena& arena, Pairing& pairing, Losses& losses)
    : arena_(arena),
      pairing_(pairing),
      losses_(losses),
      merge_([this] { meanwhile(); }),
      most_backlog_(most_backlog()),
      emptier_([this] { empty_rings(); }) {
  if (arena.header().clock != wire::Clock::kTsc) return;
  constexpr uint64_t kCalibrationNs = 1'000'000;
  const TickClock::Reading first = read_both_clocks();
  TickClock::Reading second = first;
  while (second.ns - first.ns < kCalibrationNs) second = read_both_clocks();
  clock_ = TickClock(first, second, read_both_clocks);
}

void Session::open_slot(uint32_t index, wire::RingHeader& header) {
  RingIdentity identity;
  identity.process_key = header.process_key;
  identity.pid = header.pid;
  identity.tid = header.tid;
  identity.foreign = header.foreign_ids != 0;
  char name[sizeof header.thread_name + 1] = {};
  std::memcpy(name, header.thread_name, sizeof header.thread_name);
  identity.thread_name = name;
  auto producer = pairing_.open_ring(std::move(identity));
  Slot slot{Lane{RingReader(header, arena_.ring_data(index), wire::kRingDataBytes,
                            clock_.converts() ? &clock_ : nullptr),
                 producer.get(), 0, 0},
            std::move(producer), monotonic_ns(), name};
  const RingIdentity& who = slot.producer->identity;
  slot.name_trusted = is_ours(who);
  slot.named_ns = slot.idle_since_ns;
  slots_.emplace(index, std::move(slot));
}

void Session::open_new_slots() {
  for (const uint32_t index : arena_.touched_slots()) {
    wire::RingHeader& header = arena_.ring(index);
    const auto state = header.state.load(std::memory_order_acquire);
    if (state != wire::RingState::kLive && state != wire::RingState::kClosed) continue;
    if (!slots_.contains(index)) open_slot(index, header);
  }
}

void Session::meanwhile() {
  const uint64_t now_ns = monotonic_ns();
  if (now_ns - looked_ns_ < kLookEveryNs) return;
  looked_ns_ = now_ns;
  size_t bytes = 0;
  for (const auto& [index, slot] : slots_) bytes += slot.lane.reader.unused(slot.lane.cursor);
  collected_.store(bytes, std::memory_order_relaxed);
  if (now_ns - pass_began_ns_ > kLongPassNs) emptier_.resume();
  if (watch_) watch_();
  if (now_ns - opened_ns_ < kOpenEveryNs) return;
  opened_ns_ = now_ns;
  const std::lock_guard lock(rings_);
  open_new_slots();
}

void Session::empty_rings() {
  const std::lock_guard lock(rings_);
  size_t bytes = collected_.load(std::memory_order_relaxed);
  for (const auto& [index, slot] : slots_) bytes += slot.lane.reader.aside();
  if (bytes >= most_backlog_) return;
  for (auto& [index, slot] : slots_) slot.lane.reader.take();
}

uint64_t Session::pass(std::function<void()> watch) {
  watch_ = std::move(watch);
  // merge.h: first the clock, then which rings there are, then what they hold.
  const uint64_t now_ns = monotonic_ns();
  pass_began_ns_ = now_ns;
  uint64_t margin_ns = 0;
  if (clock_.converts()) {
    const TickClock::Reading reading = read_both_clocks();
    clock_.adjust(reading);
    // How far stamps of now are off: what is delivered as over must be over by both clocks.
    const uint64_t stamped_ns = clock_.to_ns(reading.ticks);
    margin_ns = wire::kMaxEarlyNs + std::max(stamped_ns, now_ns) - std::min(stamped_ns, now_ns);
  }
  {
    const std::lock_guard lock(rings_);
    open_new_slots();
  }
  for (auto& [index, slot] : slots_) {
    const auto state = arena_.ring(index).state.load(std::memory_order_acquire);
    slot.over |= state == wire::RingState::kClosed || state == wire::RingState::kFree;
    const ProcessState* process = slot.producer->process;
    slot.over |= process != nullptr && process->ended;
    const RingIdentity& who = slot.producer->identity;
    slot.over |= !who.foreign &&
                 std::find(over_pids_.begin(), over_pids_.end(), who.pid) != over_pids_.end();
  }
  over_pids_.clear();
  lanes_.clear();
  {
    const std::lock_guard lock(rings_);
    for (auto& [index, slot] : slots_) {
      slot.lane.cursor = 0;  // of the last pass
      slot.lane.reader.collect(losses_);
      lanes_.push_back(&slot.lane);
    }
  }
  uint64_t taken = 0;
  for (auto& [index, slot] : slots_) {
    const uint64_t bytes = slot.lane.reader.hand_on(losses_, [this] { meanwhile(); });
    if (bytes != 0) slot.idle_since_ns = now_ns;
    taken += bytes;
  }
  if (discarding_) {
    for (Lane* lane : lanes_) lane->reader.queue().consume_to(lane->reader.queue().end());
  } else {
    merge_.pass(lanes_, now_ns, margin_ns, pairing_, losses_);
  }
  end_gone_processes();
  free_finished_slots();
  collected_.store(0, std::memory_order_relaxed);
  emptier_.pause();
  return taken;
}

void Session::end_gone_processes() {
  if (gone_.empty()) return;
  const std::lock_guard lock(rings_);
  std::erase_if(gone_, [this](const auto& entry) {
    ProcessState& process = *entry.first;
    const bool waits = std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
      return slot.second.producer->identity.process_key == process.key &&
             !slot.second.lane.reader.empty();
    });
    if (waits) return false;
    // Destructors of other libraries free memory after ours has said that exit() was reached.
    const uint64_t end_ns =
        process.exit_ns != 0 ? std::max(process.exit_ns, process.last_event_ns) : entry.second;
    pairing_.end_process(process, end_ns, trace::Process{}.exit);
    return true;
  });
}

void Session::free_finished_slots() {
  const std::lock_guard lock(rings_);
  for (auto it = slots_.begin(); it != slots_.end();) {
    if (it->second.over && it->second.lane.reader.empty()) {
      arena_.free_slot(it->first);
      it = slots_.erase(it);
    } else {
      ++it;
    }
  }
}

// In a container with pids of its own the same number is somebody else here.
bool Session::is_ours(const RingIdentity& who) {
  const auto [known, fresh] = ours_.try_emplace(who.process_key, false);
  if (fresh) {
    const std::string environment = read_small_file(fmt::format("/proc/{}/environ", who.pid));
    known->second = environment.find(arena_.environment_value()) != std::string::npos;
  }
  return known->second;
}

void Session::look_at_name(Slot& slot, uint64_t now_ns) {
  if (!slot.name_trusted || slot.over || now_ns - slot.named_ns < kThreadNameEveryNs) return;
  slot.named_ns = now_ns;
  const RingIdentity& who = slot.producer->identity;
  std::string name = thread_name(who.pid, who.tid);
  if (name.empty() || name == slot.name || slot.producer->process == nullptr) return;
  pairing_.rename_thread(*slot.producer, name);
  slot.name = std::move(name);
}

void Session::check_liveness(int32_t root) {
  const uint64_t now_ns = monotonic_ns();
  for (const auto& process : pairing_.processes()) {
    const bool known = process->ended || process->foreign || gone_.contains(process.get());
    if (known || process->pid == root || !process_has_ended(process->pid)) continue;
    over_pids_.push_back(process->pid);
    // Later than all that it did: the clock is read after it was seen to be gone.
    gone_.emplace(process.get(), monotonic_ns());
  }
  for (auto& [index, slot] : slots_) {
    look_at_name(slot, now_ns);
    const RingIdentity& who = slot.producer->identity;
    if (slot.over || who.foreign || now_ns - slot.idle_since_ns < kThreadIdleNs) continue;
    // Seen dead before the next drain, which therefore takes all that it ever published.
    slot.over = thread_has_ended(who.pid, who.tid);
  }
}

void Session::end_root(int32_t pid, uint64_t time_ns, int32_t exit) {
  if (ProcessState* process = pairing_.live_process(pid)) {
    pairing_.end_process(*process, time_ns, exit);
  }
  over_pids_.push_back(pid);
}

bool Session::is_drained() const {
  const std::lock_guard lock(rings_);
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& slot) { return slot.second.lane.reader.empty(); });
}

uint32_t Session::running_processes() const {
  uint32_t running = 0;
  for (const auto& process : pairing_.processes()) running += process->ended ? 0 : 1;
  return running;
}

void Session::take_target_losses() {
  for (size_t i = 0; i < static_cast<size_t>(wire::Loss::kCount); ++i) {
    const uint64_t count = arena_.header().losses[i].load(std::memory_order_relaxed);
    if (count <= target_losses_[i]) continue;
    const wire::LossText text = wire::loss_text(static_cast<wire::Loss>(i));
    losses_.add(text.name, severity_of(text.severity), count - target_losses_[i]);
    target_losses_[i] = count;
  }
}

}  // namespace tidemark::collector
