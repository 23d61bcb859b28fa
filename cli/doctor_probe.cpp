#include "doctor_probe.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace tidemark::cli::doctor {
namespace {

constexpr size_t kMostAnswerBytes = size_t{1} << 20;
constexpr int kMostTriesToEnd = 100;
constexpr useconds_t kTryEveryUs = 2000;

void silence_child() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
}

}  // namespace

Probe::Probe(const Body& body) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    asked_ = Asked::kDied;
    return;
  }
  pid_ = fork();
  if (pid_ == 0) {
    setpgid(0, 0);  // so that what it starts is stopped with it
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    silence_child();
    close(ends[0]);
    body(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  if (pid_ < 0) {
    close(ends[0]);
    asked_ = Asked::kDied;
    return;
  }
  setpgid(pid_, pid_);  // whichever of us comes first
  answer_fd_ = ends[0];
  fcntl(answer_fd_, F_SETFL, O_NONBLOCK);
}

Probe::~Probe() {
  if (answer_fd_ >= 0) stop(Asked::kTimedOut);
}

void Probe::stop(Asked asked) {
  asked_ = asked;
  close(answer_fd_);
  answer_fd_ = -1;
  int status = 0;
  // Who has answered ends at once; who does not is treated like one that never answered.
  for (int tries = 0; asked == Asked::kAnswered && tries < kMostTriesToEnd; ++tries) {
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      if (status != 0) asked_ = Asked::kDied;
      return;
    }
    usleep(kTryEveryUs);
  }
  kill(-pid_, SIGKILL);
  waitpid(pid_, &status, WNOHANG);  // it may be stuck in the kernel: no waiting for it
}

void Probe::read_some() {
  char bytes[4096];
  for (;;) {
    const ssize_t count = read(answer_fd_, bytes, sizeof bytes);
    if (count > 0) {
      answer_.append(bytes, static_cast<size_t>(count));
      if (answer_.size() > kMostAnswerBytes) return stop(Asked::kTimedOut);
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else if (count < 0 && errno == EAGAIN) {
      return;
    } else {
      return stop(Asked::kAnswered);
    }
  }
}

void Probe::wait(const std::vector<Probe*>& probes, std::chrono::steady_clock::time_point until) {
  for (;;) {
    std::vector<pollfd> waiting;
    for (const Probe* probe : probes) {
      if (probe->answer_fd_ >= 0) waiting.push_back({probe->answer_fd_, POLLIN, 0});
    }
    if (waiting.empty()) return;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    for (Probe* probe : probes) {
      if (probe->answer_fd_ >= 0) probe->read_some();
    }
  }
  for (Probe* probe : probes) {
    if (probe->answer_fd_ >= 0) probe->stop(Asked::kTimedOut);
  }
}

}  // namespace tidemark::cli::doctor
