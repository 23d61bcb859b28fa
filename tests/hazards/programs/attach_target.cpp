// A process to attach to. Says "ready" when it is where the test wants it, and takes lines from
// standard input as its orders. Exit status 7: all was well.
//
//   threads N          N threads allocate and free all the time, each with blocks of its own size
//                      (3001 + thread); any line ends them
//   blocked CALL [SECONDS]   waits in one system call; says what it returned, then makes 10 blocks
//                      of 4242 bytes and frees 5
//   children LIBRARY SELF   at a line: loads the library and lets it allocate, forks, and starts
//                      itself through system() and with an empty environment
//   allocate BYTES     makes 10 blocks and ends
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kWell = 7;

void say(const std::string& line) {
  const std::string text = line + "\n";
  if (write(1, text.data(), text.size()) < 0) _exit(1);
}

std::string order() {
  std::string line;
  char c = 0;
  while (read(0, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

std::atomic<bool> g_stop{false};
std::atomic<unsigned long> g_made{0};

// Keeps 32 blocks alive, each filled with a pattern that is checked before it is freed.
void churn(size_t thread) {
  constexpr size_t kKept = 32;
  const size_t bytes = 3001 + thread;
  unsigned char* kept[kKept] = {};
  for (unsigned long i = 0; !g_stop.load(std::memory_order_relaxed); ++i) {
    unsigned char*& slot = kept[i % kKept];
    if (slot != nullptr && (slot[0] != thread || slot[bytes - 1] != thread)) std::abort();
    std::free(slot);
    slot = static_cast<unsigned char*>(std::malloc(bytes));
    if (i % 7 == 0) slot = static_cast<unsigned char*>(std::realloc(slot, bytes));
    slot[0] = static_cast<unsigned char>(thread);
    slot[bytes - 1] = static_cast<unsigned char>(thread);
    g_made.fetch_add(1, std::memory_order_relaxed);
  }
  for (unsigned char* block : kept) std::free(block);
}

int threads(size_t count) {
  std::vector<std::thread> all;
  for (size_t i = 0; i < count; ++i) all.emplace_back(churn, i);
  say("ready");
  for (;;) {
    const std::string line = order();
    if (line != "count") break;
    say(std::to_string(g_made.load()));
  }
  g_stop = true;
  for (std::thread& thread : all) thread.join();
  return kWell;
}

timespec in_seconds(clockid_t clock, int seconds) {
  timespec time{};
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

std::string outcome(const char* call, long result) {
  return std::string(call) + " " + std::to_string(result) + " " +
         (result < 0 ? std::strerror(errno) : "");
}

long blocked_in(const std::string& call, int seconds) {
  const timespec pause{seconds, 0};
  char c = 0;
  if (call == "read") return read(0, &c, 1);
  if (call == "nanosleep") return nanosleep(&pause, nullptr);
  if (call == "sleep") return static_cast<long>(sleep(seconds));
  if (call == "poll") return poll(nullptr, 0, seconds * 1000);
  if (call == "select") {
    timeval wait{seconds, 0};
    return select(0, nullptr, nullptr, nullptr, &wait);
  }
  if (call == "epoll") {
    epoll_event event{};
    return epoll_wait(epoll_create1(0), &event, 1, seconds * 1000);
  }
  if (call == "recv") {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    const timeval wait{seconds, 0};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    const long got = recv(pair[0], &c, 1, 0);
    return got < 0 && errno == EAGAIN ? 0 : got;
  }
  if (call == "sigtimedwait") {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    const long got = sigtimedwait(&set, nullptr, &pause);
    return got < 0 && errno == EAGAIN ? 0 : got;
  }
  if (call == "futex") {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&mutex);
    const timespec until = in_seconds(CLOCK_REALTIME, seconds);
    return pthread_cond_timedwait(&condition, &mutex, &until) == ETIMEDOUT ? 0 : 1;
  }
  if (call == "semaphore") {
    sem_t semaphore;
    sem_init(&semaphore, 0, 0);
    const timespec until = in_seconds(CLOCK_REALTIME, seconds);
    const long got = sem_timedwait(&semaphore, &until);
    return got < 0 && errno == ETIMEDOUT ? 0 : got;
  }
  std::abort();
}

int blocked(const std::string& call, int seconds) {
  say("ready");
  errno = 0;
  const timespec before = in_seconds(CLOCK_MONOTONIC, 0);
  const long result = blocked_in(call, seconds);
  const std::string text = outcome(call.c_str(), result);
  const timespec after = in_seconds(CLOCK_MONOTONIC, 0);
  const double waited = static_cast<double>(after.tv_sec - before.tv_sec) +
                        static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e9;
  say(text);
  // A wait may last longer on a busy machine, never shorter.
  if (call != "read" && waited < seconds) say("too early");
  std::vector<void*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(std::malloc(4242));
  for (size_t i = 0; i < 5; ++i) std::free(blocks[i]);
  return kWell;
}

int children(const char* library, const char* self) {
  void* before = std::malloc(6161);
  say("ready");
  order();
  std::free(before);
  void* handle = dlopen(library, RTLD_NOW);
  if (handle == nullptr) return 1;
  auto* make = reinterpret_cast<void (*)(int, size_t, void**)>(dlsym(handle, "make_blocks"));
  std::vector<void*> blocks(100);
  make(100, 5353, blocks.data());
  for (void* block : blocks) std::free(block);
  const pid_t child = fork();
  if (child == 0) {
    std::vector<void*> own(50);
    for (void*& block : own) block = std::malloc(5454);
    for (void* block : own) std::free(block);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0 || std::system((std::string(self) + " allocate 5555").c_str()) != 0) return 1;
  char* const arguments[] = {const_cast<char*>(self), const_cast<char*>("allocate"),
                             const_cast<char*>("5656"), nullptr};
  char* const nothing[] = {nullptr};
  pid_t spawned = 0;
  if (posix_spawn(&spawned, self, nullptr, nullptr, arguments, nothing) != 0) return 1;
  waitpid(spawned, &status, 0);
  if (status != 0) return 1;
  say("done");
  order();
  return std::getenv("TIDEMARK_ARENA") == nullptr ? kWell : 1;
}

int allocate(size_t bytes) {
  std::vector<void*> blocks(10);
  for (void*& block : blocks) block = std::malloc(bytes);
  for (void* block : blocks) std::free(block);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "threads") return threads(std::strtoul(arguments[2], nullptr, 10));
  if (mode == "blocked") return blocked(arguments[2], count > 3 ? std::atoi(arguments[3]) : 0);
  if (mode == "children") return children(arguments[2], arguments[3]);
  if (mode == "allocate") return allocate(std::strtoul(arguments[2], nullptr, 10));
  return 1;
}
