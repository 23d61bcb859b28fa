// Signals while a command is recorded. The command shares the recorder's process group and
// terminal, so Ctrl-C and Ctrl-Z reach it by themselves; the recorder must only outlive it. What
// somebody sends to the recorder alone is passed on.
//
//   SIGINT, SIGQUIT       from the terminal: nothing to do. Sent by a process: forwarded
//   SIGTERM HUP USR1 USR2 WINCH ALRM …   forwarded (WINCH comes from the terminal to both: not)
//   SIGUSR1               with --window=signal: taken, not forwarded (take_user_signal)
//   SIGTSTP TTIN TTOU CONT   left alone: the whole group stops and goes on together
//   SIGPIPE               ignored in the recorder; its errors are seen where it writes
//   SIGCHLD               wakes the drain loop
//
// One instance at a time, on the main thread. Restores what was before when destroyed.
#pragma once

#include <signal.h>

#include <vector>

namespace tidemark::collector {

class SignalForwarding {
 public:
  // Signals that arrive before forward_to() are kept for the child.
  SignalForwarding();
  ~SignalForwarding();
  SignalForwarding(const SignalForwarding&) = delete;
  SignalForwarding& operator=(const SignalForwarding&) = delete;

  // In the child between fork and exec: the dispositions that the recorder was started with.
  void restore_in_child() const;
  void forward_to(pid_t child);
  // SIGUSR1 is the recorder's from now on, and the command keeps what it does with it. Also where
  // whoever started the recorder had it ignored.
  void take_user_signal();
  // How often it has come since the last call.
  static unsigned taken_user_signals();
  // The child is reaped: its pid means nobody any more.
  void stop_forwarding();

 private:
  struct Saved {
    int signal;
    struct sigaction action;
  };
  std::vector<Saved> saved_;
  sigset_t mask_{};
};

}  // namespace tidemark::collector
