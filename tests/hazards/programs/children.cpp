// Every way to make a child: fork, _Fork, vfork, raw clone without any handler of libc's, clone in
// the same memory on a stack of its own, posix_spawn with an empty environment, a thousand
// children. Each child allocates blocks of its own size.
//
//   children                     all of them, one after the other; tells what they returned
//   children allocate BYTES      what an executed child does: 100 pairs
//   children thousand
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "opaque.h"

namespace {

constexpr int kPairs = 100;
constexpr size_t kStackBytes = 256 * 1024;
char* g_self;
char* g_no_environment[] = {nullptr};

void wait_for(const char* what, pid_t child) {
  int status = -1;
  if (child < 0 || waitpid(child, &status, __WALL) != child) {
    std::printf("%s: no child\n", what);
    return;
  }
  std::printf("%s: %s %d\n", what, WIFEXITED(status) ? "exit" : "signal",
              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

char** arguments(const char* bytes) {
  static char* words[4];
  static char allocate[] = "allocate";
  static char size[16];
  std::strncpy(size, bytes, sizeof size - 1);
  words[0] = g_self;
  words[1] = allocate;
  words[2] = size;
  words[3] = nullptr;
  return words;
}

void by_fork() {
  const pid_t child = fork();
  if (child == 0) {
    pairs(kPairs, 1001);
    _exit(11);
  }
  wait_for("fork", child);
}

void by_plain_fork() {
  const pid_t child = _Fork();
  if (child == 0) {
    pairs(kPairs, 1002);
    _exit(12);
  }
  wait_for("_Fork", child);
}

void by_raw_clone() {
  const auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    pairs(kPairs, 1003);
    _exit(13);
  }
  wait_for("raw clone", child);
}

void by_vfork() {
  char** words = arguments("1004");
  const pid_t child = vfork();
  if (child == 0) {
    execve("/proc/self/exe", words, g_no_environment);
    _exit(127);
  }
  wait_for("vfork", child);
}

int in_shared_memory(void*) {
  // The parent sleeps meanwhile, and this is its heap.
  pairs(kPairs, 1005);
  return 15;
}

void by_clone_in_the_same_memory() {
  void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const pid_t child = clone(in_shared_memory, static_cast<char*>(stack) + kStackBytes,
                            CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
  wait_for("clone", child);
  munmap(stack, kStackBytes);
}

int in_memory_of_its_own(void*) {
  pairs(kPairs, 1006);
  return 16;
}

void by_clone_with_a_stack() {
  void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  wait_for("clone with a stack",
           clone(in_memory_of_its_own, static_cast<char*>(stack) + kStackBytes, SIGCHLD, nullptr));
  munmap(stack, kStackBytes);
}

void by_spawn() {
  pid_t child = -1;
  const int error =
      posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments("1007"), g_no_environment);
  wait_for("posix_spawn", error == 0 ? child : -1);
}

// As daemons do it: two forks, a session of its own, every descriptor closed, the folder left.
void by_daemon() {
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    const pid_t grandchild = fork();
    if (grandchild != 0) {
      int status = 0;
      waitpid(grandchild, &status, 0);
      _exit(WEXITSTATUS(status));
    }
    for (int fd = 0; fd < 256; ++fd) close(fd);
    if (chdir("/") != 0) _exit(1);
    open("/dev/null", O_RDWR);
    pairs(kPairs, 1008);
    execve("/proc/self/exe", arguments("1009"), g_no_environment);
    _exit(127);
  }
  wait_for("daemon", child);
}

// A program that replaces itself, three times over.
void by_exec_chain() {
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "exec env -i sh -c 'exec \"$0\" allocate 1010' \"$0\"", g_self,
          nullptr);
    _exit(127);
  }
  wait_for("chain", child);
}

void by_what_cannot_start() {
  const pid_t child = fork();
  if (child == 0) {
    execl("/nonexistent/program", "program", nullptr);
    pairs(kPairs, 1011);
    _exit(errno == ENOENT ? 17 : 18);
  }
  wait_for("no such program", child);
}

int thousand() {
  int right = 0;
  for (int group = 0; group < 10; ++group) {
    pid_t children[100];
    for (pid_t& child : children) {
      child = fork();
      if (child == 0) {
        pairs(10, 1012);
        _exit(9);
      }
    }
    for (const pid_t child : children) {
      int status = 0;
      right += waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 9;
    }
  }
  std::printf("right: %d\n", right);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  g_self = argv[0];
  if (argc == 2) return thousand();
  if (argc == 3) {
    pairs(kPairs, static_cast<size_t>(std::atoi(argv[2])));
    return 14;
  }
  setvbuf(stdout, nullptr, _IONBF, 0);
  by_fork();
  by_plain_fork();
  by_raw_clone();
  by_vfork();
  by_clone_in_the_same_memory();
  by_clone_with_a_stack();
  by_spawn();
  by_daemon();
  by_exec_chain();
  by_what_cannot_start();
  return 0;
}
