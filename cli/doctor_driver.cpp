// The driver's part of the doctor: what runs in the child, and what its answer means. NVML and the
// driver are used through their exported functions; their headers are not needed, since only stable
// numbers and two old structs cross the border.
#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "doctor_gather.h"

namespace tidemark::cli::doctor {
namespace {

class Answer {
 public:
  explicit Answer(int fd) : fd_(fd) {}
  void tell(std::string_view key, std::string_view value) const {
    std::string line(key);
    line += '=';
    for (const char c : value) line += c == '\n' ? ' ' : c;
    line += '\n';
    // Lines are shorter than a pipe's atomic write; a reader that has gone wants none.
    [[maybe_unused]] const ssize_t written = write(fd_, line.data(), line.size());
  }
  void tell(std::string_view key, int64_t value) const { tell(key, std::to_string(value)); }

 private:
  int fd_;
};

template <class Function>
Function* find(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

std::string error_of_loader() {
  const char* text = dlerror();
  return text != nullptr ? text : "unknown error";
}

struct NvmlMemory {  // nvmlMemory_t
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

void ask_device(void* library, void* device, const Answer& answer) {
  char name[96] = {};
  const auto get_name = find<int(void*, char*, unsigned)>(library, "nvmlDeviceGetName");
  answer.tell("device", get_name != nullptr && get_name(device, name, sizeof name - 1) == 0
                            ? name
                            : "a device without a name");
  NvmlMemory memory{};
  const auto get_memory = find<int(void*, NvmlMemory*)>(library, "nvmlDeviceGetMemoryInfo");
  if (get_memory != nullptr && get_memory(device, &memory) == 0) {
    answer.tell("memory", static_cast<int64_t>(memory.total));
    answer.tell("used", static_cast<int64_t>(memory.used));
  }
  unsigned now = 0;
  unsigned pending = 0;
  const auto get_mig = find<int(void*, unsigned*, unsigned*)>(library, "nvmlDeviceGetMigMode");
  if (get_mig != nullptr && get_mig(device, &now, &pending) == 0) answer.tell("mig", int64_t{now});
  unsigned mode = 0;
  const auto get_mode = find<int(void*, unsigned*)>(library, "nvmlDeviceGetComputeMode");
  if (get_mode != nullptr && get_mode(device, &mode) == 0) answer.tell("mode", int64_t{mode});
}

void ask_nvml(const std::string& name, const Answer& answer) {
  answer.tell("step", "NVML");
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return answer.tell("nvml_error", error_of_loader());
  const auto init = find<int()>(library, "nvmlInit_v2");
  const auto explain = find<const char*(int)>(library, "nvmlErrorString");
  const int result = init != nullptr ? init() : -1;
  if (result != 0) {
    return answer.tell("nvml_error",
                       explain != nullptr ? explain(result) : "nvmlInit_v2 does not work");
  }
  char version[96] = {};
  const auto get_version = find<int(char*, unsigned)>(library, "nvmlSystemGetDriverVersion");
  if (get_version != nullptr && get_version(version, sizeof version - 1) == 0) {
    answer.tell("version", version);
  }
  unsigned count = 0;
  const auto get_count = find<int(unsigned*)>(library, "nvmlDeviceGetCount_v2");
  const auto get_device = find<int(unsigned, void**)>(library, "nvmlDeviceGetHandleByIndex_v2");
  if (get_count == nullptr || get_device == nullptr || get_count(&count) != 0) return;
  for (unsigned i = 0; i < count; ++i) {
    void* device = nullptr;
    if (get_device(i, &device) == 0) ask_device(library, device, answer);
  }
}

// cuInit makes no context; it is what fails where a program's first CUDA call would.
void ask_cuda(const std::string& name, const Answer& answer) {
  answer.tell("step", "loading libcuda");
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return answer.tell("cuda_library_error", error_of_loader());
  const link_map* map = nullptr;
  const bool known = dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr;
  answer.tell("cuda_library", known ? map->l_name : name);
  int version = 0;
  const auto get_version = find<int(int*)>(library, "cuDriverGetVersion");
  if (get_version != nullptr && get_version(&version) == 0) {
    answer.tell("cuda_version", int64_t{version});
  }
  answer.tell("step", "cuInit");
  const auto init = find<int(unsigned)>(library, "cuInit");
  if (init == nullptr) return;
  const int result = init(0);
  answer.tell("init", int64_t{result});
  const auto explain = find<int(int, const char**)>(library, "cuGetErrorName");
  const char* text = nullptr;
  if (result != 0 && explain != nullptr && explain(result, &text) == 0 && text != nullptr) {
    answer.tell("init_error", text);
  }
}

int64_t number(std::string_view text) {
  return std::strtoll(std::string(text).c_str(), nullptr, 10);
}

}  // namespace

void ask_driver(const Sources& sources, int answer) {
  // Nothing of a recording, and no other tool, in this child.
  for (const char* name : {"CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH", "TIDEMARK_ARENA"}) {
    unsetenv(name);
  }
  const Answer out(answer);
  ask_nvml(sources.nvml_library, out);
  ask_cuda(sources.cuda_library, out);
  out.tell("step", "");
}

DriverFacts parse_driver_answer(const std::string& answer) {
  DriverFacts facts;
  size_t at = 0;
  while (at < answer.size()) {
    const size_t end = answer.find('\n', at);
    if (end == std::string::npos) break;  // half a line: it was stopped there
    const std::string_view line(answer.data() + at, end - at);
    at = end + 1;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals);
    const std::string value(line.substr(equals + 1));
    if (key == "step") facts.step = value;
    if (key == "nvml_error") facts.nvml_error = value;
    if (key == "version") facts.version = value;
    if (key == "cuda_library") facts.cuda_library = value;
    if (key == "cuda_library_error") facts.cuda_library_error = value;
    if (key == "cuda_version") facts.cuda_version = static_cast<int>(number(value));
    if (key == "init") facts.init_result = static_cast<int>(number(value));
    if (key == "init_error") facts.init_error = value;
    if (key == "device") {
      facts.devices.emplace_back();
      facts.devices.back().name = value;
    }
    if (facts.devices.empty()) continue;
    Device& device = facts.devices.back();
    if (key == "memory") device.memory_bytes = static_cast<uint64_t>(number(value));
    if (key == "used") device.used_bytes = static_cast<uint64_t>(number(value));
    if (key == "mig") device.mig = static_cast<int>(number(value));
    if (key == "mode") device.compute_mode = static_cast<int>(number(value));
  }
  return facts;
}

}  // namespace tidemark::cli::doctor
