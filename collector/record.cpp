#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "arena.h"
#include "attach/attached_process.h"
#include "attach/stop_signals.h"
#include "condensing_writer.h"
#include "device_memory_sampler.h"
#include "hidden_pools.h"
#include "losses.h"
#include "machine.h"
#include "memory_sampler.h"
#include "module_table.h"
#include "pairing.h"
#include "proc.h"
#include "session.h"
#include "signals.h"
#include "symbolizer.h"
#include "target.h"
#include "tidemark/collector/executable.h"
#include "tidemark/collector/recorder.h"

namespace tidemark::collector {
namespace {

using trace::Severity;

constexpr int64_t kShortestWaitNs = 2'000'000;
constexpr int64_t kLongestWaitNs = 10'000'000;
constexpr uint64_t kBusyBytes = wire::kRingDataBytes / 4;
constexpr uint64_t kFlushEveryNs = 1'000'000'000;
constexpr uint64_t kLivenessEveryNs = 100'000'000;
// Children that end together with the command are still recorded to their end.
constexpr uint64_t kGraceNs = 200'000'000;
constexpr int kMaxLastPasses = 50;

tl::unexpected<RecordError> refuse(std::string message, int code = 1) {
  RecordError error;
  error.message = std::move(message);
  error.exit_code = code;
  return tl::unexpected<RecordError>(std::move(error));
}

const char* own_variable(const char* name) { return getenv(name); }

bool exists(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

tl::expected<InjectionPaths, RecordError> injection_paths(const RecordOptions& options) {
  std::string folder = options.library_dir;
  if (char* absolute = realpath(folder.c_str(), nullptr)) {
    folder = absolute;
    free(absolute);
  }
  InjectionPaths paths;
  // A process keeps what it was attached with: a later recording may want its heap.
  const bool heap = options.host != RecordOptions::Host::kOff || options.pid != 0;
  paths.preload = folder + (heap ? "/libtidemark_preload.so" : "/libtidemark_preload_device.so");
  if (!exists(paths.preload)) {
    return refuse(paths.preload + " is missing: install tidemark again, or build it");
  }
  if (paths.preload.find_first_of(": ") != std::string::npos) {
    return refuse(folder +
                  ": the dynamic linker cannot preload from a path with a space or a "
                  "colon; install tidemark elsewhere");
  }
  const std::string cuda = folder + "/libtidemark_cuda.so";
  if (options.device != RecordOptions::Device::kOff && exists(cuda)) paths.cuda = cuda;
  if (options.pools == RecordOptions::Pools::kExpose) {
    paths.python = folder + "/python";
    if (!exists(paths.python + "/sitecustomize.py")) {
      return refuse(paths.python +
                    "/sitecustomize.py is missing: install tidemark again, or build it");
    }
  }
  return paths;
}

ArenaOptions arena_options(const RecordOptions& options) {
  ArenaOptions arena;
  arena.stacks = options.stacks == RecordOptions::Stacks::kAll      ? wire::Stacks::kAll
                 : options.stacks == RecordOptions::Stacks::kNative ? wire::Stacks::kNative
                                                                    : wire::Stacks::kNone;
  arena.on_full =
      options.on_full == RecordOptions::OnFull::kWait ? wire::OnFull::kWait : wire::OnFull::kDrop;
  // Sums know nothing of who freed.
  const bool free_stacks = options.free_stacks && options.host == RecordOptions::Host::kFull;
  arena.record_host = options.host == RecordOptions::Host::kOff ? wire::Host::kOff
                      : free_stacks                             ? wire::Host::kAll
                                                                : wire::Host::kAllocStacks;
  const std::string clocksource =
      read_small_file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  if (kernel_keeps_time_by_tsc(clocksource.c_str())) arena.clock = wire::Clock::kTsc;
  arena.record_device = options.device == RecordOptions::Device::kAuto     ? wire::Device::kAll
                        : options.device == RecordOptions::Device::kMemory ? wire::Device::kMemory
                                                                           : wire::Device::kOff;
  arena.record_access = options.access;
  return arena;
}

uint64_t unix_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

class Recorder {
 public:
  Recorder(const RecordOptions& options, std::string output, Arena arena,
           std::unique_ptr<trace::Writer> writer)
      : options_(options),
        output_(std::move(output)),
        arena_(std::move(arena)),
        writer_(std::move(writer)),
        start_ns_(monotonic_ns()),
        pairing_(*writer_, losses_, start_ns_, rank_of_process),
        session_(arena_, pairing_, losses_),
        window_(options.window, start_ns_, *writer_) {
    window_.begin(arena_.header());
    if (window_.limited()) pairing_.keep_only(window_);
  }

  tl::expected<RecordSummary, RecordError> run(const Executable& executable,
                                               const InjectionPaths& paths) {
    write_facts();
    explain_injection(executable);
    const auto environment = injected_environment(paths, arena_.environment_value(), own_variable);
    if (environment.cuda_taken) {
      losses_.add("cuda_injection_taken", Severity::kError);
      notice(
          "CUDA_INJECTION64_PATH is set to another tool, which is kept: nothing of the GPU is "
          "recorded");
    }
    if (environment.nvtx_taken) {
      losses_.add("nvtx_injection_taken", Severity::kError);
      writer_->meta("nvtx_injection", own_variable(wire::kNvtxVariable));
      notice("NVTX_INJECTION64_PATH is set to another tool, which is kept: no ranges are recorded");
    }
    describe_pools(environment);
    SignalForwarding signals;
    if (options_.window.kind == WindowSpec::Kind::kSignal) {
      signals.take_user_signal();
      notice(fmt::format("nothing of the device's work is kept until: kill -USR1 {}", getpid()));
    }
    auto target = Target::start(executable, options_.command, environment.set, signals);
    if (!target) return tl::unexpected<RecordError>(target.error());
    sampler_.emplace();  // a thread: not before the fork
    drain_while_running(*target);
    drain_the_rest(*target);
    return summarize(*target);
  }

  tl::expected<RecordSummary, RecordError> run_attached(const ProcessFacts& facts,
                                                        const InjectionPaths& paths) {
    write_facts();
    writer_->meta("attached", "1");
    if (facts.has_cuda && options_.device != RecordOptions::Device::kOff) {
      losses_.add("cuda_not_attached", Severity::kError);
      notice("the GPU can only be recorded from a program's start: nothing of it is recorded");
    }
    StopSignals signals;
    AttachedProcess::Plan plan;
    plan.facts = facts;
    plan.library = paths.preload;
    plan.arena = arena_.environment_value();
    plan.recorded = [this] { return running_pids(); };
    plan.attached = [this, &facts](const wire::AttachRequest& answer) {
      describe_attachment(facts, answer);
    };
    plan.not_detached = [this](const std::string& line) {
      losses_.add("processes_not_detached", Severity::kInfo);
      notice(line + "; its hooks stay, and record nothing");
    };
    AttachedProcess process(std::move(plan));
    sampler_.emplace();
    drain_while_running(process);
    if (process.error()) return refuse(process.error()->message);
    drain_the_rest(process);
    return summarize(process);
  }

 private:
  std::vector<int32_t> running_pids() const {
    std::vector<int32_t> pids;
    for (const auto& process : pairing_.processes()) {
      if (!process->ended) pids.push_back(process->pid);
    }
    return pids;
  }

  void describe_attachment(const ProcessFacts& facts, const wire::AttachRequest& answer) {
    if (answer.heap_in_use != 0) {
      writer_->meta("attach_heap_in_use_bytes", fmt::to_string(answer.heap_in_use));
    }
    writer_->meta("attach_modules", fmt::to_string(answer.modules));
    losses_.add("modules_with_another_allocator", Severity::kInfo, answer.foreign_modules);
    losses_.add("modules_not_attached", Severity::kInfo, answer.pending_modules);
    notice(fmt::format("recording process {} ({}); Ctrl-C ends the recording, not the process",
                       facts.pid, facts.name));
  }

  void notice(const std::string& line) const {
    if (options_.notice) options_.notice(line);
  }

  void describe_pools(const InjectedEnvironment& environment) {
    std::string exposed;
    for (const auto& [name, value] : environment.pools) {
      exposed += fmt::format("{}{}={}", exposed.empty() ? "" : " ", name, value);
    }
    if (!exposed.empty()) writer_->meta("pools_exposed_by", exposed);
    for (const auto& [name, value] : environment.pools_taken) {
      notice(fmt::format("{} is {} already, which is kept: that pool is not exposed", name, value));
    }
  }

  // A framework that took device memory and keeps it in a pool of which nobody tells.
  void count_hidden_pools() {
    if (options_.pools == RecordOptions::Pools::kExpose) return;
    for (const auto& process : pairing_.processes()) {
      if (!process->has_driver_memory) continue;
      for (size_t i = 0; i < kHiddenPools.size(); ++i) {
        if ((process->hidden_pools >> i & 1U) != 0) {
          losses_.add(kHiddenPools[i].loss, Severity::kInfo);
        }
      }
    }
  }

  void write_facts() {
    for (const auto& [key, value] : machine_facts()) writer_->meta(key, value);
    for (const auto& [key, value] : option_facts(options_)) writer_->meta(key, value);
    writer_->meta("start_unix_ns", fmt::to_string(unix_ns()));
    writer_->meta("start_monotonic_ns", fmt::to_string(start_ns_));
  }

  void explain_injection(const Executable& executable) {
    switch (executable.injectable) {
      case Injectable::kYes:
      case Injectable::kValgrind:  // refused before
        return;
      case Injectable::kStatic:
        losses_.add("static_binary", Severity::kError);
        notice(executable.program +
               " is statically linked: its own memory cannot be recorded, only that of dynamic "
               "programs that it starts");
        return;
      case Injectable::kSetuid:
        losses_.add("setuid_binary", Severity::kError);
        notice(executable.program +
               " gains rights when it starts (setuid, setgid or capabilities): the system does not "
               "let it be recorded");
        return;
      case Injectable::kForeign:
        losses_.add("foreign_binary", Severity::kError);
        notice(executable.program + " is not a 64-bit x86 program: it cannot be recorded");
        return;
    }
  }

  void drain_while_running(Watched& target) {
    int64_t wait_ns = kShortestWaitNs;
    const auto watch = [&] {
      if (end_ns_ == 0 && target.poll()) end_ns_ = monotonic_ns();
    };
    for (;;) {
      const uint32_t bell = arena_.header().doorbell.load(std::memory_order_acquire);
      toggle_window();
      // Asked before the pass: after it, nothing of an ended command is left in its rings.
      watch();
      const bool ended = end_ns_ != 0;
      const uint64_t taken = session_.pass(watch);
      if (ended) return;
      housekeeping(target.pid());
      if (taken > kBusyBytes) continue;
      wait_ns = taken != 0 ? kShortestWaitNs : std::min(wait_ns + wait_ns / 4, kLongestWaitNs);
      arena_.wait_doorbell(bell, wait_ns);
    }
  }

  void toggle_window() {
    if (options_.window.kind != WindowSpec::Kind::kSignal) return;
    for (unsigned i = SignalForwarding::taken_user_signals(); i > 0; --i) {
      const bool open = window_.toggle(arena_.header(), monotonic_ns());
      notice(open ? "the window is open: the device's work is kept" : "the window is closed");
    }
  }

  void housekeeping(int32_t root) {
    const uint64_t now_ns = monotonic_ns();
    sample_memory();
    if (now_ns - liveness_ns_ >= kLivenessEveryNs) {
      liveness_ns_ = now_ns;
      session_.check_liveness(root);
    }
    if (now_ns - flushed_ns_ >= kFlushEveryNs) {
      flushed_ns_ = now_ns;
      session_.take_target_losses();
      if (write_error_) return;
      losses_.write_to(*writer_);
      pairing_.write_modules();
      keep_error(writer_->flush());
    }
  }

  void sample_memory() {
    const auto& processes = pairing_.processes();
    for (; watched_ < processes.size(); ++watched_) {
      sampler_->watch(processes[watched_]->id, processes[watched_]->pid);
      device_sampler_.watch(processes[watched_]->id, processes[watched_]->pid);
    }
    if (pairing_.counts().driver_allocations > 0) device_sampler_.begin();
    if (write_error_) return;
    sampler_->take(start_ns_, *writer_, losses_);
    device_sampler_.take(start_ns_, *writer_, losses_);
  }

  void keep_error(const Result<void>& result) {
    if (result || write_error_) return;
    write_error_ = result.error().message;
    session_.discard();
    notice(fmt::format("{}; the program runs on, nothing more is recorded", *write_error_));
  }

  void drain_the_rest(const Watched& target) {
    const auto status = target.status();
    if (status) session_.end_root(target.pid(), end_ns_, status->code);
    session_.pass();
    session_.check_liveness(target.pid());
    // Who is let go lives on.
    const uint64_t deadline_ns = monotonic_ns() + (status ? kGraceNs : 0);
    while (session_.running_processes() != 0 && monotonic_ns() < deadline_ns) {
      const uint32_t bell = arena_.header().doorbell.load(std::memory_order_acquire);
      session_.pass();
      session_.check_liveness(target.pid());
      arena_.wait_doorbell(bell, kShortestWaitNs);
    }
    arena_.close_to_targets();
    losses_.add("processes_still_running", Severity::kInfo, session_.running_processes());
    // What was held back until now is older than the next pass.
    for (int i = 0; i < kMaxLastPasses; ++i) {
      if (i >= 2) pairing_.expect_no_more();
      session_.pass();
      if (i >= 3 && session_.is_drained()) break;
    }
    // Rings in which the command's image introduced itself only now.
    if (status) session_.end_root(target.pid(), end_ns_, status->code);
  }

  RecordSummary summarize(const Watched& target) {
    session_.take_target_losses();
    sampler_->stop();
    device_sampler_.stop();
    sample_memory();
    const ExitStatus status = target.status().value_or(ExitStatus{});
    pairing_.finish(status.signal != 0);
    if (window_.counts_iterations()) {
      int64_t most = 0;
      for (const auto& process : pairing_.processes()) most = std::max(most, process->iterations);
      writer_->meta("window_iterations", fmt::to_string(most));
    }
    count_hidden_pools();
    if (pairing_.processes().empty() && losses_.count("static_binary") == 0 &&
        losses_.count("setuid_binary") == 0 && losses_.count("foreign_binary") == 0) {
      losses_.add("nothing_recorded", Severity::kError);
      notice(
          "nothing was recorded: the program did not load what was preloaded for it (does it clear "
          "its environment, or use another C library?)");
    }
    if (!write_error_) {
      symbolize(pairing_.processes(), pairing_.python_codes(), *writer_, losses_,
                options_.progress);
      losses_.write_to(*writer_);
      writer_->meta("duration_ns", fmt::to_string(end_ns_ - start_ns_));
      keep_error(writer_->finish());
    }
    writer_.reset();
    RecordSummary summary;
    if (options_.pid == 0) summary.exit = status;
    summary.output = output_;
    summary.events = pairing_.counts();
    summary.processes = static_cast<uint32_t>(pairing_.processes().size());
    summary.threads = pairing_.thread_count();
    summary.losses = losses_.all();
    summary.duration_ns = static_cast<int64_t>(end_ns_ - start_ns_);
    struct stat info {};
    if (stat(output_.c_str(), &info) == 0)
      summary.trace_bytes = static_cast<uint64_t>(info.st_size);
    if (write_error_) {
      summary.write_error =
          fmt::format("{}; {} holds what had been written before", *write_error_, output_);
    }
    return summary;
  }

  const RecordOptions& options_;
  std::string output_;
  Arena arena_;
  std::unique_ptr<trace::Writer> writer_;
  Losses losses_;
  uint64_t start_ns_;
  Pairing pairing_;
  Session session_;
  RecordingWindow window_;
  std::optional<MemorySampler> sampler_;
  DeviceMemorySampler device_sampler_;  // has no thread before begin()
  size_t watched_ = 0;                  // of the processes
  uint64_t end_ns_ = 0;
  uint64_t liveness_ns_ = 0;
  uint64_t flushed_ns_ = 0;
  std::optional<std::string> write_error_;
};

template <class Run>
tl::expected<RecordSummary, RecordError> record_into(const RecordOptions& options,
                                                     const std::string& output, const Run& run) {
  auto arena = Arena::create(arena_options(options));
  if (!arena) return refuse(arena.error().message);
  auto writer = trace::Writer::create(output);
  if (!writer) return refuse(writer.error().message);
  const bool rows = options.host == RecordOptions::Host::kFull;
  if (options.host == RecordOptions::Host::kAggregate || options.max_bytes > 0) {
    *writer = condensing_writer(std::move(*writer), rows ? HostRows::kKeep : HostRows::kNone,
                                options.max_bytes);
  }
  auto recorder =
      std::make_unique<Recorder>(options, output, std::move(*arena), std::move(*writer));
  auto summary = run(*recorder);
  if (!summary) {
    // Nothing ran: leave no empty trace behind.
    recorder.reset();
    for (const char* suffix : {"", "-wal", "-shm"}) unlink((output + suffix).c_str());
  }
  return summary;
}

tl::expected<RecordSummary, RecordError> record_process(const RecordOptions& options,
                                                        const InjectionPaths& paths) {
  auto facts = examine_process(options.pid, paths.preload);
  if (!facts) return refuse(facts.error().message);
  RecordOptions named = options;
  named.command = {facts->command};
  std::string output = options.output;
  if (output.empty()) {
    output = fmt::format("tidemark.{}.{}.db", base_name(facts->program), options.pid);
  }
  return record_into(named, output,
                     [&](Recorder& recorder) { return recorder.run_attached(*facts, paths); });
}

}  // namespace

tl::expected<RecordSummary, RecordError> record(const RecordOptions& options) {
  if (options.command.empty() && options.pid == 0) return refuse("no command given", 2);
  const auto paths = injection_paths(options);
  if (options.pid != 0) {
    return paths ? record_process(options, *paths) : tl::unexpected<RecordError>(paths.error());
  }
  const auto executable = find_executable(options.command.front());
  if (!executable) return tl::unexpected<RecordError>(executable.error());
  if (executable->injectable == Injectable::kValgrind) {
    return refuse(
        "valgrind puts its own malloc into the program, which leaves nothing to record: record the "
        "program without valgrind, or run valgrind without tidemark",
        2);
  }
  if (!paths) return tl::unexpected<RecordError>(paths.error());
  std::string output = options.output;
  if (output.empty()) {
    output = fmt::format("tidemark.{}.{}.db", base_name(options.command.front()), getpid());
  }
  return record_into(options, output,
                     [&](Recorder& recorder) { return recorder.run(*executable, *paths); });
}

}  // namespace tidemark::collector
