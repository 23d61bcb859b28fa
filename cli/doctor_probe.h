// Asks questions in child processes with a time limit: loading a driver can hang, crash or print,
// and none of it may reach us. What a child has said before it was stopped counts.
//
// Call from a process with one thread. A child that cannot be killed (it sleeps in the kernel) is
// left behind; the kernel ends it when the driver lets go.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "doctor_machine.h"

namespace tidemark::cli::doctor {

class Probe {
 public:
  // Runs in the child; writes its answer to the descriptor. Standard output and error go nowhere.
  using Body = std::function<void(int answer)>;

  explicit Probe(const Body& body);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  [[nodiscard]] Asked asked() const { return asked_; }
  [[nodiscard]] const std::string& answer() const { return answer_; }

  // Until all have answered, or the time is over: those that have not are stopped.
  static void wait(const std::vector<Probe*>& probes, std::chrono::steady_clock::time_point until);

 private:
  void read_some();
  void stop(Asked asked);

  int pid_ = -1;
  int answer_fd_ = -1;
  Asked asked_ = Asked::kNo;
  std::string answer_;
};

}  // namespace tidemark::cli::doctor
