// Children: whatever environment a program gives its children, they are recorded too. And what
// changes the meaning of addresses and threads: dlclose, thread names.
//
// The exec hooks run in vfork children: no heap, no locks, only the caller's stack.
#include <alloca.h>
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdarg>

#include "environment.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"
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
} g_next;

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
}

[[gnu::constructor]] void load() {
  resolve_all();
  recording();
}
[[gnu::destructor]] void unload() {
  if (recording()) publish_process_exit();
}

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
  return g_next.execve(path, arguments, child.get());
}
TIDEMARK_EXPORT int execv(const char* path, char* const* arguments) {
  return execve(path, arguments, environ);
}
TIDEMARK_EXPORT int execvpe(const char* file, char* const* arguments, char* const* environment) {
  if (g_next.execvpe == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  return g_next.execvpe(file, arguments, child.get());
}
TIDEMARK_EXPORT int execvp(const char* file, char* const* arguments) {
  return execvpe(file, arguments, environ);
}
TIDEMARK_EXPORT int fexecve(int fd, char* const* arguments, char* const* environment) {
  if (g_next.fexecve == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  return g_next.fexecve(fd, arguments, child.get());
}
TIDEMARK_EXPORT int execveat(int directory, const char* path, char* const* arguments,
                             char* const* environment, int flags) {
  if (g_next.execveat == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  return g_next.execveat(directory, path, arguments, child.get(), flags);
}
TIDEMARK_EXPORT int posix_spawn(pid_t* pid, const char* path,
                                const posix_spawn_file_actions_t* actions,
                                const posix_spawnattr_t* attributes, char* const* arguments,
                                char* const* environment) {
  if (g_next.posix_spawn == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  return g_next.posix_spawn(pid, path, actions, attributes, arguments, child.get());
}
TIDEMARK_EXPORT int posix_spawnp(pid_t* pid, const char* file,
                                 const posix_spawn_file_actions_t* actions,
                                 const posix_spawnattr_t* attributes, char* const* arguments,
                                 char* const* environment) {
  if (g_next.posix_spawnp == nullptr) resolve_all();
  TIDEMARK_CHILD_ENVIRONMENT(child, environment);
  return g_next.posix_spawnp(pid, file, actions, attributes, arguments, child.get());
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
