// The one function that the CUDA driver calls, from cuInit, in a process whose environment names
// this library in CUDA_INJECTION64_PATH. Whatever stands in the way, the program goes on unharmed:
// the trace says what is missing.
#include <atomic>
#include <cstdlib>

#include "client.h"
#include "cupti_library.h"
#include "recorder.h"

namespace tidemark::cuda {
namespace {

std::atomic<bool> g_called{false};
std::atomic<Recorder*> g_finishing{nullptr};

void finish_at_exit() {
  if (Recorder* recorder = g_finishing.load()) recorder->finish();
}

void decline(const wire::Client& client, wire::Loss loss, const Message& why) {
  client.count_loss(loss, 1);
  client.meta("cuda.cupti", why.c_str());
}

void start() {
  const wire::Client* client = find_client();
  if (client == nullptr || !client->recording()) return;
  const wire::ArenaHeader* arena = client->arena();
  if (arena == nullptr || arena->record_device == wire::Device::kOff) return;

  const Pause pause(*client);
  Cupti cupti{};
  Message why;
  if (!open_cupti(cupti, why)) return decline(*client, wire::Loss::kCuptiUnavailable, why);
  client->disregard_module(reinterpret_cast<const void*>(cupti.get_version));
  Message version;
  version << uint64_t{cupti.version};
  client->meta("cuda.cupti_version", version.c_str());
  client->meta("cuda.cupti_path", cupti.path.c_str());

  Recorder* recorder = Recorder::create(*client, cupti);
  if (recorder == nullptr) {
    why << "no memory for the recorder";
    return decline(*client, wire::Loss::kCuptiUnavailable, why);
  }
  wire::Loss loss = wire::Loss::kCuptiUnavailable;
  if (!recorder->start(loss, why)) return decline(*client, loss, why);
  client->meta("cuda.cupti", "recording");
  // Registered from within cuInit, so it runs before the exit handlers of the CUDA runtime, which
  // were registered when the program was loaded, while CUPTI and the contexts are still whole.
  // What happens to memory after it is still published: callbacks stay on to the end.
  g_finishing.store(recorder);
  std::atexit(&finish_at_exit);
}

}  // namespace
}  // namespace tidemark::cuda

// Always 1, which tells the driver that all is well.
// NOLINTNEXTLINE(readability-identifier-naming): the driver chose it
extern "C" __attribute__((visibility("default"))) int InitializeInjection() {
  if (!tidemark::cuda::g_called.exchange(true)) tidemark::cuda::start();
  return 1;
}
