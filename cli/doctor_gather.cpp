#include "doctor_gather.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "doctor_probe.h"
#include "tidemark/collector/executable.h"

namespace tidemark::cli::doctor {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value behind "key:" in a text of lines.
std::string field(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() <= key.size() || !line.starts_with(key) || line[key.size()] != ':') continue;
    const size_t first = line.find_first_not_of(" \t", key.size() + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "";
}

bool may_trace_any(const std::string& root) {
  constexpr unsigned kCapSysPtrace = 19;
  const std::string capabilities = field(read_text(root + "/proc/self/status"), "CapEff");
  const uint64_t bits = std::strtoull(capabilities.c_str(), nullptr, 16);
  return (bits >> kCapSysPtrace & 1U) != 0;
}

// Seizes a child of our own, which only a filter of system calls forbids.
std::string ptrace_error() {
  const pid_t child = fork();
  if (child < 0) return std::strerror(errno);
  if (child == 0) {
    for (;;) pause();
  }
  const bool works = ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0;
  const int error = errno;
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  return works ? "" : std::strerror(error);
}

HostFacts host_facts(const Sources& sources) {
  HostFacts facts;
  facts.preload_path = sources.library_dir + "/libtidemark_preload.so";
  const int memory = memfd_create("tidemark-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory < 0) {
    facts.memory_file_error = std::strerror(errno);
  } else {
    close(memory);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    facts.memory_file_limit_bytes = limit.rlim_cur;
  }
  struct statvfs info {};
  if (statvfs((sources.root + "/dev/shm").c_str(), &info) == 0) {
    facts.shm_bytes = uint64_t{info.f_blocks} * info.f_frsize;
  }
  facts.ptrace_scope = read_text(sources.root + "/proc/sys/kernel/yama/ptrace_scope");
  facts.may_trace_any = may_trace_any(sources.root);
  facts.ptrace_error = ptrace_error();
  std::error_code error;
  facts.trace_folder = fs::current_path(error);
  if (access(".", W_OK | X_OK) != 0) facts.trace_folder_error = std::strerror(errno);
  if (statvfs(".", &info) == 0) facts.trace_free_bytes = uint64_t{info.f_bavail} * info.f_frsize;
  return facts;
}

EnvironmentFacts environment_facts() {
  EnvironmentFacts facts;
  facts.cuda_injection = variable("CUDA_INJECTION64_PATH");
  facts.nvtx_injection = variable("NVTX_INJECTION64_PATH");
  facts.preload = variable("LD_PRELOAD");
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.starts_with("NSYS_") || text.starts_with("QUADD_")) {
      facts.nsight = text.substr(0, text.find('='));
    }
  }
  facts.has_visible_devices = std::getenv("CUDA_VISIBLE_DEVICES") != nullptr;
  facts.visible_devices = variable("CUDA_VISIBLE_DEVICES");
  facts.torch_allocator = variable("PYTORCH_ALLOC_CONF");
  if (facts.torch_allocator.empty()) facts.torch_allocator = variable("PYTORCH_CUDA_ALLOC_CONF");
  const std::string no_caching = variable("PYTORCH_NO_CUDA_MEMORY_CACHING");
  facts.torch_no_caching = !no_caching.empty() && no_caching != "0";
  facts.xla_allocator = variable("XLA_PYTHON_CLIENT_ALLOCATOR");
  facts.xla_preallocate = variable("XLA_PYTHON_CLIENT_PREALLOCATE");
  facts.tensorflow_allocator = variable("TF_GPU_ALLOCATOR");
  return facts;
}

// Class 03: a display device; an audio function of the same card is not.
bool nvidia_on_bus(const std::string& root) {
  std::error_code error;
  for (const auto& device : fs::directory_iterator(root + "/sys/bus/pci/devices", error)) {
    if (read_text(device.path() / "vendor").starts_with("0x10de") &&
        read_text(device.path() / "class").starts_with("0x03")) {
      return true;
    }
  }
  return false;
}

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun …": the first word that looks
// like a version.
std::string version_in(const std::string& text) {
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const bool digits = word.find_first_not_of("0123456789.") == std::string::npos;
    if (digits && word.find('.') != std::string::npos) return word;
  }
  return "";
}

GpuFacts gpu_facts(const Sources& sources) {
  GpuFacts facts;
  const std::string& root = sources.root;
  facts.kernel_driver = version_in(read_text(root + "/proc/driver/nvidia/version"));
  facts.on_bus = nvidia_on_bus(root);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root + "/dev", error)) {
    const std::string name = entry.path().filename();
    const bool numbered =
        name.size() > 6 && name.find_first_not_of("0123456789", 6) == std::string::npos;
    if (!name.starts_with("nvidia")) continue;
    if (!numbered && name != "nvidiactl" && name != "nvidia-uvm") continue;
    ++facts.nodes;
    if (access(entry.path().c_str(), R_OK | W_OK) != 0) {
      facts.unreadable_nodes.push_back("/dev/" + name);
    }
  }
  std::sort(facts.unreadable_nodes.begin(), facts.unreadable_nodes.end());
  facts.profiling_restricted =
      field(read_text(root + "/proc/driver/nvidia/params"), "RmProfilingAdminOnly") == "1";
  std::string pipe = variable("CUDA_MPS_PIPE_DIRECTORY");
  if (pipe.empty()) pipe = "/tmp/nvidia-mps";
  if (fs::exists(root + pipe + "/control", error)) facts.mps_pipe = pipe;
  const std::string ours = sources.library_dir + "/libtidemark_cuda.so";
  if (fs::exists(ours, error)) facts.cuda_library_of_ours = ours;
  return facts;
}

std::optional<CommandFacts> command_facts(const std::vector<std::string>& command) {
  using Kind = CommandFacts::Kind;
  if (command.empty()) return std::nullopt;
  CommandFacts facts;
  facts.word = command.front();
  const auto found = collector::find_executable(facts.word);
  if (!found) {
    facts.error = found.error().message;
    return facts;
  }
  facts.path = found->path;
  facts.program = found->program;
  switch (found->injectable) {
    case collector::Injectable::kYes:
      facts.kind = Kind::kFits;
      break;
    case collector::Injectable::kStatic:
      facts.kind = Kind::kStatic;
      break;
    case collector::Injectable::kSetuid:
      facts.kind = Kind::kSetuid;
      break;
    case collector::Injectable::kForeign:
      facts.kind = Kind::kForeign;
      break;
    case collector::Injectable::kValgrind:
      facts.kind = Kind::kValgrind;
      break;
  }
  return facts;
}

// Answers "" when it can be loaded.
void ask_library(const std::string& path, int answer) {
  unsetenv("TIDEMARK_ARENA");
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return;
  const char* text = dlerror();
  const std::string error = text != nullptr ? text : "unknown error";
  [[maybe_unused]] const ssize_t written = write(answer, error.data(), error.size());
}

// Where the recorder looks outside of Python's wheels, in its order (injection/cuda).
std::vector<std::string> cupti_candidates(const Sources& sources) {
  std::vector<std::string> result;
  constexpr const char* kFolders[] = {"/extras/CUPTI/lib64", "/lib64", "/lib",
                                      "/targets/x86_64-linux/lib"};
  for (const std::string& home :
       {variable("CUDA_HOME"), variable("CUDA_PATH"), std::string("/usr/local/cuda")}) {
    if (home.empty()) continue;
    for (const char* folder : kFolders) {
      for (const char* name : {"libcupti.so.13", "libcupti.so.12", "libcupti.so"}) {
        std::string path = sources.root + home + folder + "/" + name;
        std::error_code error;
        if (fs::exists(path, error)) result.push_back(std::move(path));
      }
    }
  }
  for (const std::string& name : sources.cupti_libraries) result.push_back(name);
  return result;
}

// "<version> <path>" of the first that loads; "0 <error>" of the first that does not.
void ask_cupti(const std::vector<std::string>& candidates, int answer) {
  std::string first_error;
  for (const std::string& candidate : candidates) {
    void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* text = dlerror();
      if (first_error.empty() && text != nullptr) first_error = text;
      continue;
    }
    uint32_t version = 0;
    const auto get_version =
        reinterpret_cast<int (*)(uint32_t*)>(dlsym(library, "cuptiGetVersion"));
    if (get_version != nullptr) get_version(&version);
    Dl_info info{};
    const bool known = dladdr(reinterpret_cast<const void*>(get_version), &info) != 0;
    const std::string line =
        std::to_string(version) + " " + (known ? info.dli_fname : candidate.c_str());
    [[maybe_unused]] const ssize_t written = write(answer, line.data(), line.size());
    return;
  }
  const std::string line = "0 " + first_error;
  [[maybe_unused]] const ssize_t written = write(answer, line.data(), line.size());
}

std::optional<Cupti> parse_cupti(const Probe& probe) {
  Cupti found;
  const std::string& text = probe.answer();
  const size_t space = text.find(' ');
  if (probe.asked() != Asked::kAnswered || space == std::string::npos) {
    found.error = "loading it took too long, or ended the process that tried";
    return found;
  }
  found.version = static_cast<uint32_t>(std::strtoul(text.c_str(), nullptr, 10));
  (found.version != 0 ? found.path : found.error) = text.substr(space + 1);
  return found;
}

CuptiFacts cupti_facts(const Sources& sources, const PythonFacts& python,
                       std::chrono::steady_clock::time_point until) {
  std::vector<std::string> others = cupti_candidates(sources);
  std::vector<std::string> wheels = python.cupti_paths;
  if (const std::string named = variable("TIDEMARK_CUPTI"); !named.empty()) {
    others = {named};
    wheels = {};
  }
  Probe ask_others([&](int answer) { ask_cupti(others, answer); });
  std::unique_ptr<Probe> ask_wheels;
  std::vector<Probe*> probes = {&ask_others};
  if (!wheels.empty()) {
    ask_wheels = std::make_unique<Probe>([&](int answer) { ask_cupti(wheels, answer); });
    probes.push_back(ask_wheels.get());
  }
  Probe::wait(probes, until);
  CuptiFacts facts;
  facts.for_others = parse_cupti(ask_others);
  if (ask_wheels) facts.for_python = parse_cupti(*ask_wheels);
  return facts;
}

}  // namespace

Machine gather(const Sources& sources) {
  const auto begin = std::chrono::steady_clock::now();
  Machine machine;
  machine.host = host_facts(sources);
  Probe driver([&](int answer) { ask_driver(sources, answer); });
  Probe python([&](int answer) { ask_python(sources, answer); });
  Probe preload([&](int answer) { ask_library(machine.host.preload_path, answer); });
  machine.environment = environment_facts();
  machine.gpu = gpu_facts(sources);
  machine.command = command_facts(sources.command);
  // The last fifth is for the libraries that Python names.
  Probe::wait({&driver, &python, &preload}, begin + sources.patience * 4 / 5);

  machine.host.preload_error = preload.asked() == Asked::kAnswered
                                   ? preload.answer()
                                   : "loading it took too long, or ended the process that tried";
  machine.gpu.driver = parse_driver_answer(driver.answer());
  machine.gpu.driver.asked = driver.asked();
  if (python.asked() == Asked::kAnswered) machine.python = parse_python_answer(python.answer());
  machine.python.asked = python.asked();
  machine.python.word = sources.python;
  machine.cupti = cupti_facts(sources, machine.python, begin + sources.patience);
  return machine;
}

}  // namespace tidemark::cli::doctor
