// Resources that have run out: descriptors, address space, and a soft limit that comes while the
// program runs. A recorder that opens a file or maps memory at its first event in such a process
// fails there, or takes what the program was counting on.
//
//   limits                 as the shell limited us
//   limits descriptors     none is left; then a thread, a library and a child
//   limits address_space   RLIMIT_AS just above what is used, set by the program
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "opaque.h"

namespace {

NOINLINE void work(size_t bytes) {
  pairs(100, bytes);
  STAY();
}

int descriptors() {
  std::vector<int> taken;
  rlimit limit{64, 64};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int fd = 0; (fd = open("/dev/null", O_RDWR)) >= 0;) taken.push_back(fd);
  const int error = errno;
  std::thread thread([] { work(1001); });
  thread.join();
  const pid_t child = fork();
  if (child == 0) {
    work(1002);
    _exit(open("/dev/null", O_RDWR) < 0 && errno == EMFILE ? 3 : 4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  // Ours must not have taken the last one meanwhile.
  close(taken.back());
  const int again = open("/dev/null", O_RDWR);
  std::printf("%s, child %d, %s\n", std::strerror(error), WEXITSTATUS(status),
              again == taken.back() ? "the same again" : "another");
  return 0;
}

int address_space() {
  std::vector<void*> blocks;
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  rlimit tight = limit;
  // Anything that is mapped now stays; nothing more fits.
  tight.rlim_cur = 1024 * 1024;
  setrlimit(RLIMIT_AS, &tight);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    void* block = g_malloc(64 * 1024 * 1024 + 1001);
    refused += block == nullptr && errno == ENOMEM;
    g_free(block);
    void* mapping = mmap(nullptr, 1024 * 1024, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    refused += mapping == MAP_FAILED && errno == ENOMEM;
  }
  work(1001);
  const pid_t child = fork();
  if (child == 0) {
    work(1002);
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  setrlimit(RLIMIT_AS, &limit);
  work(1003);
  std::printf("refused %d, child %d\n", refused, WEXITSTATUS(status));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "descriptors") == 0) return descriptors();
  if (argc == 2 && std::strcmp(argv[1], "address_space") == 0) return address_space();
  std::thread thread([] { work(1001); });
  thread.join();
  work(1001);
  std::printf("done\n");
  return 0;
}
