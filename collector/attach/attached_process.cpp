#include "attached_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "borrow.h"
#include "proc.h"
#include "stop_signals.h"

namespace tidemark::collector {
namespace {

using wire::AttachRequest;
using wire::AttachResult;

bool set_text(char* into, size_t room, const std::string& text) {
  if (text.size() >= room) return false;
  std::memcpy(into, text.c_str(), text.size() + 1);
  return true;
}

// Our descriptor of the arena, by path: gone as soon as we are.
std::string watched_path(const std::string& arena) { return arena.substr(0, arena.rfind(':')); }

Result<void> explain(const ProcessFacts& facts, int64_t result) {
  const std::string who = fmt::format("process {} ({})", facts.pid, facts.name);
  switch (static_cast<AttachResult>(result)) {
    case AttachResult::kDone:
      return {};
    case AttachResult::kOtherBuild:
      return fail(who + " was recorded before by another build of tidemark: restart the process");
    case AttachResult::kAlreadyRecorded:
      return fail(who + " is being recorded by tidemark already");
    case AttachResult::kNoArena:
      return fail(who + " cannot open our shared memory (is /proc missing there, or is an " +
                  "address-space limit set?)");
    case AttachResult::kNoMemory:
      return fail(who + " has no memory left for a recording (is an address-space limit set?)");
    case AttachResult::kNothingToHook:
      return fail(who + " calls no allocator that could be recorded");
    case AttachResult::kNotRecorded:
      return fail(who + " was not recorded");
  }
  return fail(fmt::format("{}: libtidemark_preload.so gave the unknown answer {}", who, result));
}

RemoteCall call_of(const std::string& library, const std::string& arena, const char* function,
                   AttachRequest& request) {
  RemoteCall call;
  call.library = library;
  call.function = function;
  call.watched_path = watched_path(arena);
  call.argument = &request;
  call.argument_bytes = sizeof request;
  return call;
}

// What an earlier recording has left is switched off and let go of first, by every thread.
Result<void> end_earlier_recording(const ProcessFacts& facts, const std::string& library,
                                   const std::string& arena) {
  if (facts.ours.path.empty()) return {};
  AttachRequest request{};
  request.version = wire::kAttachVersion;
  const auto result = call_in_process(facts, call_of(library, arena, wire::kDetachSymbol, request));
  if (!result) return tl::unexpected<Error>(result.error());
  const bool ended = *result == static_cast<int64_t>(AttachResult::kDone) ||
                     *result == static_cast<int64_t>(AttachResult::kNotRecorded);
  return ended ? wait_until_outside(facts) : explain(facts, *result);
}

std::vector<std::string> detach_all(const std::vector<int32_t>& processes,
                                    const std::string& library, const std::string& arena) {
  std::vector<std::string> failures;
  for (const int32_t pid : processes) {
    AttachRequest request{};
    request.version = wire::kAttachVersion;
    set_text(request.arena, sizeof request.arena, arena);
    const auto facts = examine_process(pid, library);
    const auto result =
        facts ? call_in_process(*facts, call_of(library, arena, wire::kDetachSymbol, request))
              : Result<int64_t>(tl::unexpected<Error>(facts.error()));
    if (!result && !process_has_ended(pid)) failures.push_back(result.error().message);
  }
  return failures;
}

template <class T>
bool is_ready(const std::future<T>& future) {
  return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

AttachedProcess::AttachedProcess(Plan plan) : plan_(std::move(plan)) {
  descriptor_ = static_cast<int>(syscall(SYS_pidfd_open, plan_.facts.pid, 0));
  request_.version = wire::kAttachVersion;
  if (!set_text(request_.arena, sizeof request_.arena, plan_.arena) ||
      !set_text(request_.library, sizeof request_.library, plan_.library)) {
    error_ = Error{plan_.library + ": the path is too long to attach with"};
    stage_ = Stage::kOver;
    return;
  }
  attaching_ = std::async(std::launch::async, [this]() -> Result<int64_t> {
    auto ended = end_earlier_recording(plan_.facts, plan_.library, plan_.arena);
    if (!ended) return tl::unexpected<Error>(ended.error());
    return call_in_process(plan_.facts,
                           call_of(plan_.library, plan_.arena, wire::kAttachSymbol, request_));
  });
}

AttachedProcess::~AttachedProcess() {
  if (attaching_.valid()) attaching_.wait();
  if (detaching_.valid()) detaching_.wait();
  if (descriptor_ >= 0) close(descriptor_);
}

bool AttachedProcess::ended() const {
  if (descriptor_ < 0) return process_has_ended(plan_.facts.pid);
  pollfd process{descriptor_, POLLIN, 0};
  return ::poll(&process, 1, 0) > 0;
}

bool AttachedProcess::finish_attaching() {
  auto result = attaching_.get();
  auto explained =
      result ? explain(plan_.facts, *result) : Result<void>(tl::unexpected<Error>(result.error()));
  if (!explained) {
    error_ = explained.error();
    return false;
  }
  plan_.attached(request_);
  return true;
}

void AttachedProcess::begin_detaching() {
  std::vector<int32_t> processes = plan_.recorded();
  // In a recording of a few milliseconds the process may not have been read of yet.
  if (std::find(processes.begin(), processes.end(), plan_.facts.pid) == processes.end()) {
    processes.push_back(plan_.facts.pid);
  }
  detaching_ = std::async(std::launch::async, [this, processes] {
    return detach_all(processes, plan_.library, plan_.arena);
  });
}

bool AttachedProcess::poll() {
  if (stage_ == Stage::kAttaching && is_ready(attaching_)) {
    stage_ = finish_attaching() ? Stage::kRecording : Stage::kOver;
  }
  if (stage_ == Stage::kRecording) {
    if (ended()) {
      status_ = ExitStatus{trace::Process{}.exit, 0};
      stage_ = Stage::kOver;
    } else if (StopSignals::arrived()) {
      begin_detaching();
      stage_ = Stage::kDetaching;
    }
  }
  if (stage_ == Stage::kDetaching && is_ready(detaching_)) {
    for (const std::string& line : detaching_.get()) plan_.not_detached(line);
    if (ended()) status_ = ExitStatus{trace::Process{}.exit, 0};
    stage_ = Stage::kOver;
  }
  return stage_ == Stage::kOver;
}

}  // namespace tidemark::collector
