#include "memory_sampler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

#include "proc.h"
#include "session.h"

namespace tidemark::collector {
namespace {

// Of one core. Credit: what may be spent at once, at the start and at most.
constexpr double kQuickShare = 0.0015;
constexpr int64_t kQuickCreditNs = 25'000'000;
constexpr double kThoroughShare = 0.0030;
constexpr int64_t kThoroughCreditNs = 100'000'000;
constexpr int64_t kIdleNs = 100'000'000;
constexpr int64_t kOutOfCreditNs = 20'000'000;
// 65,530 mappings, the kernel's default limit, need 45 MB.
constexpr size_t kMaxSmapsBytes = size_t{256} << 20;

int64_t now() { return static_cast<int64_t>(monotonic_ns()); }

// What this thread costs is its time on a processor, not how long it waits for one.
int64_t spent_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// False when the system does not let us; a process that is gone could have been read.
bool may_read(int32_t pid) {
  const int descriptor = open(fmt::format("/proc/{}/smaps", pid).c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno != EACCES && errno != EPERM;
  close(descriptor);
  return true;
}

class Charge {
 public:
  explicit Charge(CostBudget& budget) : budget_(budget), before_ns_(spent_ns()) {}
  ~Charge() { budget_.spend(spent_ns() - before_ns_); }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

 private:
  CostBudget& budget_;
  int64_t before_ns_;
};

}  // namespace

MemorySampler::MemorySampler()
    : quick_(kQuickShare, kQuickCreditNs, kQuickCreditNs, now()),
      thorough_(kThoroughShare, kThoroughCreditNs, kThoroughCreditNs, now()),
      page_bytes_(sysconf(_SC_PAGESIZE)) {
  // Signals are for the recorder's main thread, which forwards them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

MemorySampler::~MemorySampler() { stop(); }

void MemorySampler::watch(trace::ProcessId process, int32_t pid) {
  const std::lock_guard lock(mutex_);
  arrivals_.emplace_back(process, pid);
  wake_.notify_one();
}

void MemorySampler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void MemorySampler::take(uint64_t zero_ns, trace::Writer& writer, Losses& losses) {
  std::vector<News> news;
  {
    const std::lock_guard lock(mutex_);
    news.swap(news_);
    losses.add("processes_not_visible_in_proc", trace::Severity::kInfo, std::exchange(foreign_, 0));
    losses.add("mappings_not_readable", trace::Severity::kInfo, std::exchange(unreadable_, 0));
  }
  const auto zero = static_cast<int64_t>(zero_ns);
  std::vector<trace::Mapping> snapshot;
  for (const News& each : news) {
    trace::ProcessMemory sample = each.sample;
    sample.time_ns -= zero;
    if (each.has_sample) writer.add_process_memory(sample);
    if (each.pieces.empty()) continue;
    if (each.drops) writer.drop_mappings(sample.process, each.dropped_ns - zero);
    snapshot.clear();
    for (const MappedPiece& piece : each.pieces) {
      snapshot.push_back({sample.process, sample.time_ns, piece.start, piece.end - piece.start,
                          piece.kind, writer.intern(piece.path), piece.rss_bytes, piece.pss_bytes,
                          piece.swap_bytes, piece.huge_bytes});
    }
    writer.add_mappings(snapshot);
  }
}

void MemorySampler::run() {
  pthread_setname_np(pthread_self(), "memory");
  std::unique_lock lock(mutex_);
  for (;;) {
    for (const auto& [process, pid] : std::exchange(arrivals_, {})) {
      const auto found = watched_.find(pid);
      lock.unlock();
      if (found != watched_.end()) {
        tell_unsaid(found->second);
        watched_.erase(found);
      }
      lock.lock();
      watched_.emplace(pid, Watched{process, 0, MemorySchedule(now()), 0, false, {}});
    }
    if (stopping_) break;
    lock.unlock();
    int64_t next_ns = now() + kIdleNs;
    for (auto it = watched_.begin(); it != watched_.end();) {
      Watched& watched = it->second;
      const int64_t now_ns = now();
      bool alive = true;
      if (watched.schedule.next_ns() <= now_ns) {
        if (!quick_.allows(now_ns)) {
          next_ns = std::min(next_ns, now_ns + kOutOfCreditNs);
          break;
        }
        alive = look(it->first, watched);
      }
      next_ns = std::min(next_ns, watched.schedule.next_ns());
      if (!alive) tell_unsaid(watched);
      it = alive ? std::next(it) : watched_.erase(it);
    }
    lock.lock();
    const auto wait = std::chrono::nanoseconds(std::max<int64_t>(next_ns - now(), 1));
    wake_.wait_for(lock, wait, [this] { return stopping_ || !arrivals_.empty(); });
  }
  lock.unlock();
  for (auto& [pid, watched] : watched_) tell_unsaid(watched);
}

bool MemorySampler::look(int32_t pid, Watched& watched) {
  News news;
  trace::ProcessMemory sample;
  MemorySchedule::Wish wish;
  {
    const Charge charge(quick_);
    const auto usage = parse_proc_usage(read_small_file(fmt::format("/proc/{}/stat", pid)));
    if (!usage || usage->state == 'Z' || usage->state == 'X') return false;
    if (watched.start_time == 0) {
      const std::string maps = read_small_file(fmt::format("/proc/{}/maps", pid), kMaxSmapsBytes);
      // What cannot be read (a process that gave up its dumpability) is believed.
      if (!maps.empty() && !maps_our_rings(maps)) {
        const std::lock_guard lock(mutex_);
        ++foreign_;
        return false;
      }
      watched.start_time = usage->start_time;
    }
    if (watched.start_time != usage->start_time) return false;  // a recycled pid
    sample.process = watched.process;
    sample.time_ns = now();
    sample.rss_bytes = usage->rss_pages * page_bytes_;
    sample.minor_faults = usage->minor_faults;
    sample.major_faults = usage->major_faults;
    wish = watched.schedule.look(sample.time_ns, sample.rss_bytes);
    if (wish.status || wish.mappings) {
      const auto status = parse_proc_status(read_small_file(fmt::format("/proc/{}/status", pid)));
      sample.peak_rss_bytes = status.peak_rss_bytes;
      sample.anonymous_bytes = status.anonymous_bytes;
      sample.file_bytes = status.file_bytes;
      sample.shared_bytes = status.shared_bytes;
      sample.swap_bytes = status.swap_bytes;
      sample.huge_page_bytes = status.huge_page_bytes;
      watched.schedule.asked_status(sample.time_ns, sample.rss_bytes);
    }
  }
  if (wish.mappings && thorough_.allows(sample.time_ns)) look_closer(pid, watched, sample, news);
  if (watched.schedule.worth_a_row(sample)) {
    watched.has_unsaid = false;
    news.sample = sample;
    news.has_sample = true;
    tell(std::move(news));
  } else {
    watched.has_unsaid = true;
    watched.unsaid = sample;
  }
  return true;
}

void MemorySampler::look_closer(int32_t pid, Watched& watched, trace::ProcessMemory& sample,
                                News& news) {
  const Charge charge(thorough_);
  const auto entries =
      parse_smaps(read_small_file(fmt::format("/proc/{}/smaps", pid), kMaxSmapsBytes));
  if (entries.empty()) {
    watched.schedule.asked_mappings(sample.time_ns, sample.rss_bytes);
    if (!may_read(pid)) {
      const std::lock_guard lock(mutex_);
      ++unreadable_;
    }
    return;
  }
  news.pieces = pieces_of(entries);
  int64_t rss_bytes = 0;
  int64_t pss_bytes = 0;
  for (const MappedPiece& piece : news.pieces) {
    rss_bytes += static_cast<int64_t>(piece.rss_bytes);
    pss_bytes += static_cast<int64_t>(piece.pss_bytes);
  }
  sample.pss_bytes = pss_bytes;
  news.drops = watched.schedule.asked_mappings(sample.time_ns, rss_bytes);
  news.dropped_ns = watched.snapshot_ns;
  watched.snapshot_ns = sample.time_ns;
}

void MemorySampler::tell(News news) {
  const std::lock_guard lock(mutex_);
  news_.push_back(std::move(news));
}

void MemorySampler::tell_unsaid(Watched& watched) {
  if (!watched.has_unsaid) return;
  News news;
  news.sample = watched.unsaid;
  news.has_sample = true;
  tell(std::move(news));
  watched.has_unsaid = false;
}

}  // namespace tidemark::collector
