// What the tests of the whole libtidemark_cuda.so share: checks without a framework (one scenario a
// process), starting the library, and CUDA calls as CUPTI tells of them. For one source file of a
// program: it defines what it declares.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>

#include "fake_client.h"
#include "fake_cupti.h"

namespace {

using namespace tidemark;
using test::fake_client;
using wire::Api;
using wire::RecordType;

int g_failures = 0;
std::function<void()> g_at_the_end;  // runs after the library's own exit handler

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      ++g_failures;                                                                \
    }                                                                              \
  } while (false)

const FakeCuptiControl* g_cupti = nullptr;

inline void open_fake_cupti() {
  void* library = dlopen(std::getenv("TIDEMARK_CUPTI"), RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::_Exit(3);
  }
  g_cupti = reinterpret_cast<FakeCuptiControlFunction>(dlsym(library, kFakeCuptiControl))();
}

inline void start_library() {
  void* library = dlopen(std::getenv("TIDEMARK_TEST_CUDA_LIBRARY"), RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::_Exit(3);
  }
  auto* start = reinterpret_cast<int (*)()>(dlsym(library, "InitializeInjection"));
  CHECK(start() == 1);
  CHECK(start() == 1);  // a second call does nothing
  CHECK(test::pause_depth() == 0);
}

inline uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

inline CUcontext context_of_device(uintptr_t device) {
  return reinterpret_cast<CUcontext>(0x100 + device);
}
inline void* pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

uint32_t g_next_correlation = 1;

// One CUDA call as CUPTI tells of it: entry, what happens inside, exit.
struct Call {
  CUpti_CallbackDomain domain;
  CUpti_CallbackId id;
  const void* params;
  int result = 0;
  uint32_t correlation = 0;  // 0: the next one
  std::function<void()> inside = nullptr;

  uint32_t make() const {
    uint64_t between = 0xdead;
    CUpti_CallbackData data{};
    data.callbackSite = CUPTI_API_ENTER;
    data.functionParams = params;
    data.context = context_of_device(2);
    data.contextUid = 1;
    data.correlationData = &between;
    data.correlationId = correlation != 0 ? correlation : g_next_correlation++;
    g_cupti->issue(domain, id, &data);
    if (inside) inside();
    int outcome = result;
    data.callbackSite = CUPTI_API_EXIT;
    data.functionReturnValue = &outcome;
    g_cupti->issue(domain, id, &data);
    CHECK(test::pause_depth() == 0);
    return data.correlationId;
  }
};
#define RUNTIME(name) CUPTI_CB_DOMAIN_RUNTIME_API, CUPTI_RUNTIME_TRACE_CBID_##name
#define DRIVER(name) CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_##name

struct Scenario {
  const char* name;
  void (*run)();
};

// Runs the one that ctest names; 2 and the names when there is none.
template <size_t kCount>
int run_scenario(const Scenario (&scenarios)[kCount], int argc, char** argv) {
  // Registered before the library registers its own handler, so it runs after that.
  std::atexit([] {
    if (g_at_the_end) g_at_the_end();
    if (g_failures != 0) std::_Exit(1);
  });
  for (const Scenario& scenario : scenarios) {
    if (argc == 2 && std::strcmp(argv[1], scenario.name) == 0) {
      scenario.run();
      return g_failures == 0 ? 0 : 1;
    }
  }
  std::fprintf(stderr, "usage: %s SCENARIO, one of\n", argv[0]);
  for (const Scenario& scenario : scenarios) std::fprintf(stderr, "  %s\n", scenario.name);
  return 2;
}

}  // namespace
