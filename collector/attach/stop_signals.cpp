#include "stop_signals.h"

#include <atomic>

namespace tidemark::collector {
namespace {

std::atomic<bool> stop_asked{false};

void ask_to_stop(int) { stop_asked.store(true, std::memory_order_relaxed); }

}  // namespace

StopSignals::StopSignals() {
  stop_asked.store(false);
  const auto install = [&](int signal, void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;  // no SA_RESTART: it must end the wait for the doorbell
    struct sigaction before {};
    if (sigaction(signal, &action, &before) == 0) saved_.push_back({signal, before});
  };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction before {};
    sigaction(signal, nullptr, &before);
    // nohup ignores SIGHUP on purpose.
    if (signal != SIGHUP || before.sa_handler != SIG_IGN) install(signal, ask_to_stop);
  }
  install(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
  for (const Saved& saved : saved_) sigaction(saved.signal, &saved.action, nullptr);
}

bool StopSignals::arrived() { return stop_asked.load(std::memory_order_relaxed); }

}  // namespace tidemark::collector
