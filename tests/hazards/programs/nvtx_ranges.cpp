// What a program can do with NVTX (version 3, compiled into it), one scenario a run.
#include <nvtx3/nvToolsExt.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

nvtxEventAttributes_t event_of(int32_t type) {
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = type;
  return event;
}

void nesting() {
  nvtxRangePushA("outer");
  nvtxMarkA("a moment");
  nvtxRangePushW(L"inner \u00fc \U0001F600");
  // What a program sees is what it sees without a tool.
  std::printf("%d\n", nvtxRangePop());
  nvtxRangePushA("second");
  nvtxRangePop();
  nvtxRangePop();
  nvtxRangePushA("never ends");
}

void threads() {
  const nvtxRangeId_t range = nvtxRangeStartA("across threads");
  nvtxRangePushA("main");
  std::thread([&] {
    nvtxNameOsThreadA(static_cast<uint32_t>(gettid()), "worker by nvtx");
    nvtxRangePushA("other");
    nvtxRangeEnd(range);
    nvtxRangePop();
  }).join();
  nvtxRangePop();
}

void domains() {
  nvtxDomainHandle_t ours = nvtxDomainCreateA("ours");
  nvtxDomainHandle_t theirs = nvtxDomainCreateW(L"theirs");
  nvtxEventAttributes_t first = event_of(NVTX_MESSAGE_TYPE_REGISTERED);
  char name[] = "registered";
  first.message.registered = nvtxDomainRegisterStringA(ours, name);
  std::memset(name, 'x', sizeof name - 1);  // it was copied
  nvtxEventAttributes_t second = event_of(NVTX_MESSAGE_TYPE_ASCII);
  second.message.ascii = "plain";
  nvtxEventAttributes_t third = event_of(NVTX_MESSAGE_UNKNOWN);
  // Interleaved: each domain has an order of its own.
  nvtxDomainRangePushEx(ours, &first);
  nvtxDomainRangePushEx(theirs, &second);
  nvtxDomainRangePop(ours);
  nvtxDomainMarkEx(ours, &third);
  const nvtxRangeId_t range = nvtxDomainRangeStartEx(theirs, &second);
  nvtxDomainRangePop(theirs);
  nvtxDomainRangeEnd(theirs, range);
  nvtxDomainDestroy(ours);
}

void unbalanced() {
  nvtxRangePop();
  nvtxRangeEnd(4711);
  nvtxRangePushA("only");
  nvtxRangePop();
  nvtxRangePop();
}

void many_names() {
  nvtxDomainHandle_t domain = nvtxDomainCreateA("many");
  for (int i = 0; i < 20000; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "name %d", i);
    nvtxEventAttributes_t event = event_of(NVTX_MESSAGE_TYPE_REGISTERED);
    event.message.registered = nvtxDomainRegisterStringA(domain, name);
    nvtxDomainMarkEx(domain, &event);
  }
}

void forked() {
  nvtxRangePushA("before");
  const pid_t child = fork();
  if (child == 0) {
    nvtxRangePop();  // the parent's
    nvtxRangePushA("in the child");
    nvtxRangePop();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  nvtxRangePop();
}

void killed() {
  nvtxRangePushA("killed within");
  raise(SIGKILL);
}

void from_many_threads() {
  std::thread workers[4];
  for (std::thread& worker : workers) {
    worker = std::thread([] {
      for (int i = 0; i < 20000; ++i) {
        nvtxRangePushA("step");
        nvtxRangePushA("half");
        nvtxRangePop();
        nvtxRangePop();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
}

// For measuring: `count` pairs with one name.
void pairs(long count) {
  for (long i = 0; i < count; ++i) {
    nvtxRangePushA("forward");
    nvtxRangePop();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* scenario = argc > 1 ? argv[1] : "";
  const auto is = [&](const char* name) { return std::strcmp(scenario, name) == 0; };
  if (is("nesting")) nesting();
  if (is("threads")) threads();
  if (is("domains")) domains();
  if (is("unbalanced")) unbalanced();
  if (is("many_names")) many_names();
  if (is("forked")) forked();
  if (is("killed")) killed();
  if (is("from_many_threads")) from_many_threads();
  if (is("pairs")) pairs(std::atol(argv[2]));
  return 0;
}
