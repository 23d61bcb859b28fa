// Children: whatever environment a program gives its children, they are recorded too. And what
// changes the meaning of addresses and threads: dlclose, thread names.
//
// The exec hooks run in vfork children: no heap, no locks, only the caller's stack.
#include <alloca.h>
#include <dlfcn.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>

#include "environment.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"
#include "tidemark/stack/syscalls.h"
#include "tidemark/stack/unwind.h"

namespace tidemark::preload {
namespace {

// Resolved before the program can fork: dlsym is not for a vfork child.
struct {
  int (*execve)(const char*, char* const*, char* const*);
  int (*execvpe)(const char*, char* const*, char* const*);
  int (*fexecve)(int, char* const*, char* const*);
  int (*execveat)(int, const char*, char* const*, char* const*, int);
  int (*posix_spawn)(pid_t*, const char*, const posix_spawn_file_actions_t*,
                     const posix_spawnattr_t*, char* const*, char* const*);
  int (*posix_spawnp)(pid_t*, const char*, const posix_spawn_file_actions_t*,
                      const posix_spawnattr_t*, char* const*, char* const*);
  int (*dlclose)(void*);
  int (*pthread_setname_np)(pthread_t, const char*);
  int (*prctl)(int, unsigned long, unsigned long, unsigned long, unsigned long);
  long (*syscall)(long, long, long, long, long, long, long);
} g_next;

}  // namespace

// For the assembler below.
extern "C" [[gnu::visibility("hidden")]] void* g_real_syscall;
void* g_real_syscall = nullptr;

namespace {

template <class Function>
void resolve(Function& function, const char* name) {
  if (function == nullptr) function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

void resolve_all() {
  Pause pause;
  resolve(g_next.execve, "execve");
  resolve(g_next.execvpe, "execvpe");
  resolve(g_next.fexecve, "fexecve");
  resolve(g_next.execveat, "execveat");
  resolve(g_next.posix_spawn, "posix_spawn");
  resolve(g_next.posix_spawnp, "posix_spawnp");
  resolve(g_next.dlclose, "dlclose");
  resolve(g_next.pthread_setname_np, "pthread_setname_np");
  resolve(g_next.prctl, "prctl");
  resolve(g_next.syscall, "syscall");
  g_real_syscall = reinterpret_cast<void*>(g_next.syscall);
}

[[gnu::constructor]] void load() {
  resolve_all();
  {
    Pause pause;
    resolve_new_and_delete();
    // What is not there is no error of the program's: the first call makes its text, the second
    // gives its memory back.
    dlerror();
    dlerror();
  }
  recording();
}
[[gnu::destructor]] void unload() {
  if (recording()) publish_process_exit();
}

// Quiet before the sandbox is there; if it was refused, as before.
class SandboxAttempt {
 public:
  SandboxAttempt() : quiet_before_(sys::quiet()) { sys::be_quiet(true); }
  template <class Result>
  Result succeeded(Result result) const {
    if (result < 0) sys::be_quiet(quiet_before_);
    return result;
  }

 private:
  bool quiet_before_;
};

size_t count_arguments(const char* first, va_list rest) {
  size_t count = 0;
  for (const char* argument = first; argument != nullptr; argument = va_arg(rest, const char*)) {
    ++count;
  }
  return count;
}

void copy_arguments(char** into, const char* first, va_list rest) {
  size_t i = 0;
  for (const char* argument = first; argument != nullptr; argument = va_arg(rest, const char*)) {
    into[i++] = const_cast<char*>(argument);
  }
  into[i] = nullptr;
}

}  // namespace
}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks

#define TIDEMARK_CHILD_ENVIRONMENT(child, environment) \
  const ChildEnvironment child(environment, alloca(ChildEnvironment::room(environment)))

TIDEMARK_EXPORT int execve(const char* path, char* const* arguments, char* const* environment) {
  if (g_next.execve == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int result = g_next.execve(path, arguments, child.get());
  child.not_started();
  return result;
}
TIDEMARK_EXPORT int execv(const char* path, char* const* arguments) {
  return execve(path, arguments, environ);
}
TIDEMARK_EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
  if (g_next.execvpe == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int result = g_next.execvpe(file, arguments, child.get());
  child.not_started();
  return result;
}
TIDEMARK_EXPORT int execvp(const char* file, char* const* arguments) {
  return execvpe(file, arguments, environ);
}
TIDEMARK_EXPORT int fexecve(int fd, char* const* arguments, char* const* environment) {
  if (g_next.fexecve == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int result = g_next.fexecve(fd, arguments, child.get());
  child.not_started();
  return result;
}
TIDEMARK_EXPORT int execveat(int directory, const char* path, char* const* arguments,
                             char* const* environment, int flags) {
  if (g_next.execveat == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int result = g_next.execveat(directory, path, arguments, child.get(), flags);
  child.not_started();
  return result;
}
TIDEMARK_EXPORT int posix_spawn(pid_t* pid, const char* path,
                                const posix_spawn_file_actions_t* actions,
                                const posix_spawnattr_t* attributes, char* const* arguments,
                                char* const* environment) {
  if (g_next.posix_spawn == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int error = g_next.posix_spawn(pid, path, actions, attributes, arguments, child.get());
  if (error != 0) child.not_started();
  return error;
}
TIDEMARK_EXPORT int posix_spawnp(pid_t* pid, const char* file,
                                 const posix_spawn_file_actions_t* actions,
                                 const posix_spawnattr_t* attributes, char* const* arguments,
                                 char* const* environment) {
  if (g_next.posix_spawnp == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  const int error = g_next.posix_spawnp(pid, file, actions, attributes, arguments, child.get());
  if (error != 0) child.not_started();
  return error;
}

// execl, execlp, execle: the arguments as an array on our stack.
#define TIDEMARK_ARGUMENT_ARRAY(array, first)                                      \
  va_list array##_list;                                                            \
  va_start(array##_list, first);                                                   \
  const size_t array##_count = count_arguments(first, array##_list);               \
  va_end(array##_list);                                                            \
  auto** array = static_cast<char**>(alloca((array##_count + 1) * sizeof(char*))); \
  va_start(array##_list, first);                                                   \
  copy_arguments(array, first, array##_list)

TIDEMARK_EXPORT int execl(const char* path, const char* first, ...) {
  TIDEMARK_ARGUMENT_ARRAY(arguments, first);
  va_end(arguments_list);
  return execve(path, arguments, environ);
}
TIDEMARK_EXPORT int execlp(const char* file, const char* first, ...) {
  TIDEMARK_ARGUMENT_ARRAY(arguments, first);
  va_end(arguments_list);
  return execvpe(file, arguments, environ);
}
TIDEMARK_EXPORT int execle(const char* path, const char* first, ...) {
  TIDEMARK_ARGUMENT_ARRAY(arguments, first);
  auto* environment = va_arg(arguments_list, char* const*);
  va_end(arguments_list);
  return execve(path, arguments, environment);
}

TIDEMARK_EXPORT int dlclose(void* handle) {
  if (g_next.dlclose == nullptr) resolve_all();
  const int result = g_next.dlclose(handle);
  if (recording()) {
    // Other code may come to lie where this was: what is known of those addresses is void.
    tidemark::stack::invalidate_modules();
    tidemark::stack::forget_rules();
    g_process.unloads.fetch_add(1, std::memory_order_relaxed);
  }
  return result;
}

TIDEMARK_EXPORT int pthread_setname_np(pthread_t thread, const char* name) {
  if (g_next.pthread_setname_np == nullptr) resolve_all();
  const int result = g_next.pthread_setname_np(thread, name);
  if (result == 0 && recording() && pthread_equal(thread, pthread_self()) != 0) {
    publish_thread_name(name);
  }
  return result;
}

// A sandbox begins (seccomp). From the moment before it we make no system calls of our own that it
// might not allow: it may kill the program for them.
TIDEMARK_EXPORT int prctl(int option, ...) {
  if (g_next.prctl == nullptr) resolve_all();
  va_list list;
  va_start(list, option);
  unsigned long arguments[4];
  for (unsigned long& argument : arguments) argument = va_arg(list, unsigned long);
  va_end(list);
  const auto call = [&] {
    return g_next.prctl(option, arguments[0], arguments[1], arguments[2], arguments[3]);
  };
  if (option == PR_SET_TSC && arguments[0] == PR_TSC_SIGSEGV) stop_clock();
  if (option != PR_SET_SECCOMP) return call();
  if (arguments[0] == SECCOMP_MODE_STRICT) stop_clock();
  const SandboxAttempt attempt;
  return attempt.succeeded(call());
}

// syscall() itself jumps on to the real one with everything in place, as if we were not here (its
// caller may be about to make a thread or a vfork child of that very frame); but for seccomp.
asm(R"(
.text
.globl syscall
.type syscall, @function
syscall:
  .cfi_startproc
  cmpq $317, %rdi
  je tidemark_seccomp
  movq g_real_syscall(%rip), %rax
  testq %rax, %rax
  je tidemark_early_syscall
  jmp *%rax
  .cfi_endproc
.size syscall, .-syscall
)");
static_assert(SYS_seccomp == 317);

extern "C" [[gnu::visibility("hidden"), gnu::used]] long tidemark_early_syscall(long number, long a,
                                                                                long b, long c,
                                                                                long d, long e,
                                                                                long f) {
  resolve_all();
  return g_next.syscall(number, a, b, c, d, e, f);
}
extern "C" [[gnu::visibility("hidden"), gnu::used]] long tidemark_seccomp(long number, long a,
                                                                          long b, long c, long d,
                                                                          long e, long f) {
  if (g_next.syscall == nullptr) resolve_all();
  constexpr long kSetModeStrict = 0;
  constexpr long kSetModeFilter = 1;
  const auto call = [&] { return g_next.syscall(number, a, b, c, d, e, f); };
  if (a != kSetModeStrict && a != kSetModeFilter) return call();
  if (a == kSetModeStrict) stop_clock();
  const SandboxAttempt attempt;
  return attempt.succeeded(call());
}
