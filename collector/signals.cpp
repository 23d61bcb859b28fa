#include "signals.h"

#include <atomic>
#include <cerrno>

namespace tidemark::collector {
namespace {

constexpr int kForwarded[] = {SIGINT,  SIGQUIT, SIGTERM, SIGHUP,    SIGUSR1, SIGUSR2, SIGALRM,
                              SIGXCPU, SIGXFSZ, SIGPROF, SIGVTALRM, SIGURG,  SIGIO};

std::atomic<pid_t> forward_pid{0};

void forward(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  // The kernel itself sends these when they come from the terminal; the command has them too.
  if (info->si_code != SI_KERNEL) {
    const pid_t child = forward_pid.load(std::memory_order_relaxed);
    // What the command sends us (kill 0) it has had itself.
    if (child > 0 && info->si_pid != child) kill(child, signal);
  }
  errno = saved;
}

void wake(int) {}

std::atomic<unsigned> user_signals{0};
void count_user_signal(int) { user_signals.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

SignalForwarding::SignalForwarding() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &mask_);
  forward_pid.store(0);
  const auto install = [&](int signal, const struct sigaction& action) {
    struct sigaction before {};
    if (sigaction(signal, &action, &before) == 0) saved_.push_back({signal, before});
  };
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = forward;
  for (const int signal : kForwarded) {
    // nohup and `&` in a script ignore some on purpose: that holds for the command too.
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN || (before.sa_flags & SA_SIGINFO) != 0) {
      install(signal, action);
    }
  }
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  install(SIGPIPE, ignore);
  struct sigaction child {};
  child.sa_handler = wake;
  child.sa_flags = SA_NOCLDSTOP;  // no SA_RESTART: it must end the wait for the doorbell
  install(SIGCHLD, child);
}

void SignalForwarding::restore_in_child() const {
  for (const Saved& saved : saved_) sigaction(saved.signal, &saved.action, nullptr);
  sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

void SignalForwarding::forward_to(pid_t child) {
  forward_pid.store(child);
  sigset_t mask = mask_;
  sigdelset(&mask, SIGCHLD);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
}

void SignalForwarding::take_user_signal() {
  user_signals.store(0);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = count_user_signal;  // no SA_RESTART: it must end the wait for the doorbell
  sigaction(SIGUSR1, &action, &before);
  // Where it was ignored it is not among the saved.
  if (before.sa_handler == SIG_IGN) saved_.push_back({SIGUSR1, before});
}

unsigned SignalForwarding::taken_user_signals() {
  return user_signals.exchange(0, std::memory_order_relaxed);
}

void SignalForwarding::stop_forwarding() { forward_pid.store(0); }

SignalForwarding::~SignalForwarding() {
  forward_pid.store(0);
  for (const Saved& saved : saved_) sigaction(saved.signal, &saved.action, nullptr);
  sigprocmask(SIG_SETMASK, &mask_, nullptr);
}

}  // namespace tidemark::collector
