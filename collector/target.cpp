#include "target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tidemark/wire/layout.h"

namespace tidemark::collector {

namespace {

// What takes a buffer of a framework from the driver instead of from its pool.
constexpr std::pair<const char*, const char*> kExposingPools[] = {
    {"XLA_PYTHON_CLIENT_ALLOCATOR", "platform"},  // JAX: cudaMalloc for each buffer
    {"TF_GPU_ALLOCATOR", "cuda_malloc_async"},    // TensorFlow: the driver's own pool
};

const char* set_or_null(const char* value) {
  return value != nullptr && *value != '\0' ? value : nullptr;
}

void expose_pools(const std::string& python, const char* (*current)(const char* name),
                  InjectedEnvironment& result) {
  for (const auto& [name, value] : kExposingPools) {
    const char* other = set_or_null(current(name));
    if (other != nullptr && std::string_view(other) != value) {
      result.pools_taken.emplace_back(name, other);
      continue;
    }
    result.set.emplace_back(name, value);
    result.pools.emplace_back(name, value);
  }
  const char* other = set_or_null(current("PYTHONPATH"));
  result.set.emplace_back("PYTHONPATH",
                          other == nullptr ? python : fmt::format("{}:{}", python, other));
  result.pools.emplace_back("cupy.cuda.set_allocator", "None");
}

}  // namespace

InjectedEnvironment injected_environment(const InjectionPaths& paths, const std::string& arena,
                                         const char* (*current)(const char* name)) {
  InjectedEnvironment result;
  std::string preload = paths.preload;
  const char* other_preload = current("LD_PRELOAD");
  if (other_preload != nullptr && *other_preload != '\0') {
    preload += ':';
    preload += other_preload;
  }
  result.set.emplace_back("LD_PRELOAD", preload);
  result.set.emplace_back(wire::kArenaVariable, arena);
  // A program built with AddressSanitizer refuses to start where its runtime is not the first
  // library, and ours is before it.
  std::string sanitizer = "verify_asan_link_order=0";
  const char* other_sanitizer = current("ASAN_OPTIONS");
  if (other_sanitizer != nullptr && *other_sanitizer != '\0') {
    sanitizer = fmt::format("{}:{}", other_sanitizer, sanitizer);
  }
  result.set.emplace_back("ASAN_OPTIONS", sanitizer);
  // NVTX's ranges need no CUDA: the library that is there already takes them.
  const char* other_nvtx = current(wire::kNvtxVariable);
  result.nvtx_taken = other_nvtx != nullptr && *other_nvtx != '\0' && paths.preload != other_nvtx;
  if (!result.nvtx_taken) result.set.emplace_back(wire::kNvtxVariable, paths.preload);
  if (!paths.cuda.empty()) {
    const char* other = current("CUDA_INJECTION64_PATH");
    result.cuda_taken = other != nullptr && *other != '\0' && paths.cuda != other;
    if (!result.cuda_taken) result.set.emplace_back("CUDA_INJECTION64_PATH", paths.cuda);
  }
  if (!paths.python.empty()) expose_pools(paths.python, current, result);
  return result;
}

namespace {

std::vector<std::string> merged_environment(const Environment& changes) {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [changed, value] : changes) replaced |= changed == name;
    if (!replaced) entries.emplace_back(text);
  }
  for (const auto& [name, value] : changes) entries.push_back(fmt::format("{}={}", name, value));
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

tl::expected<Target, RecordError> Target::start(const Executable& executable,
                                                const std::vector<std::string>& command,
                                                const Environment& environment,
                                                SignalForwarding& signals) {
  const auto failed = [&](int code, const std::string& what, int error) {
    RecordError record_error;
    record_error.message = fmt::format("{}: {}", what, std::strerror(error));
    record_error.exit_code = code;
    return tl::unexpected<RecordError>(std::move(record_error));
  };
  // All memory is taken before the fork.
  std::vector<std::string> entries = merged_environment(environment);
  std::vector<std::string> arguments = command;
  std::vector<char*> envp = pointers_to(entries);
  std::vector<char*> argv = pointers_to(arguments);
  // A script without "#!": what execvp and the shells do.
  std::vector<std::string> shell_arguments = {"/bin/sh", executable.path};
  shell_arguments.insert(shell_arguments.end(), command.begin() + 1, command.end());
  std::vector<char*> shell_argv = pointers_to(shell_arguments);

  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return failed(1, "cannot start the command", errno);
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(report[0]);
    close(report[1]);
    return failed(1, "cannot start the command", error);
  }
  if (pid == 0) {
    signals.restore_in_child();
    execve(executable.path.c_str(), argv.data(), envp.data());
    if (errno == ENOEXEC) execve("/bin/sh", shell_argv.data(), envp.data());
    const int error = errno;
    [[maybe_unused]] const ssize_t told = write(report[1], &error, sizeof error);
    _exit(127);
  }
  signals.forward_to(pid);
  close(report[1]);
  int error = 0;
  ssize_t count = 0;
  do {
    count = read(report[0], &error, sizeof error);
  } while (count < 0 && errno == EINTR);
  close(report[0]);
  if (count == static_cast<ssize_t>(sizeof error)) {
    signals.stop_forwarding();
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return failed(error == ENOENT ? 127 : 126, executable.path, error);
  }
  return Target(pid, signals);
}

bool Target::poll() {
  if (ended_) return true;
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      info.si_pid == 0) {
    return false;
  }
  signals_->stop_forwarding();
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  ended_ = true;
  if (reaped < 0) {
    status_.code = 1;
  } else if (WIFSIGNALED(status)) {
    status_.signal = WTERMSIG(status);
    status_.code = 128 + status_.signal;
  } else {
    status_.code = WEXITSTATUS(status);
  }
  return true;
}

}  // namespace tidemark::collector
