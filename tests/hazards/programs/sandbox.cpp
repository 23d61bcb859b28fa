// Programs that give up rights while they run: a system call that the filter does not expect kills
// them. Allocating from what is there already needs none, so a recorder's must not either.
//
//   sandbox strict      seccomp's first mode: read, write, exit and sigreturn
//   sandbox filter      what allocating and ending needs; anything else kills
//   sandbox user        another user, without groups, who cannot open what we could
//   sandbox root PATH   chroot into PATH, then an allocation, a child, and a program there
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "opaque.h"

namespace {

constexpr int kPairs = 20000;  // more than fit into half a ring

void say(const char* text) {
  [[maybe_unused]] const ssize_t told = write(STDOUT_FILENO, text, std::strlen(text));
}

NOINLINE void first(size_t bytes) {
  pairs(10, bytes);
  STAY();
}

int strict() {
  g_free(g_malloc(100000));  // the heap is as large as it needs to be
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) return 1;
  pairs(kPairs, 1001);
  first(1002);
  say("strict\n");
  // exit_group is not among them.
  syscall(SYS_exit, 3);
  return 0;
}

int filter() {
#define ALLOW(name)                                                             \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(SYS_##name), 0, 1), \
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      ALLOW(brk),
      ALLOW(write),
      ALLOW(exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog code{sizeof program / sizeof *program, program};
  g_free(g_malloc(100000));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code) != 0) return 1;
  pairs(kPairs, 1001);
  first(1002);
  say("filtered\n");
  _exit(4);
}

int another_user() {
  if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 1;
  pairs(100, 1001);
  const pid_t child = fork();
  if (child == 0) {
    pairs(100, 1002);
    execl("/bin/sh", "sh", "-c", "exit 5", nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("as another user: %d\n", WEXITSTATUS(status));
  return 0;
}

int root(const char* path) {
  if (chroot(path) != 0 || chdir("/") != 0) return 1;
  pairs(100, 1001);
  const pid_t child = fork();
  if (child == 0) {
    pairs(100, 1002);
    execl("/program", "program", nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::printf("in another root: %d\n", WEXITSTATUS(status));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (std::strcmp(argv[1], "strict") == 0) return strict();
  if (std::strcmp(argv[1], "filter") == 0) return filter();
  if (std::strcmp(argv[1], "user") == 0) return another_user();
  if (argc == 3 && std::strcmp(argv[1], "root") == 0) return root(argv[2]);
  return 2;
}
