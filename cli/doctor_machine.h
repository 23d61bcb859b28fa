// What `tidemark doctor` has found out about a machine: plain facts, nothing judged. Filled by
// doctor_gather.h, judged by doctor_findings.h, so that any machine can be described in a test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tidemark::cli::doctor {

// How far a question got that was asked in a child process: a driver can hang where no signal
// reaches it.
enum class Asked : uint8_t { kNo, kAnswered, kTimedOut, kDied };

struct HostFacts {
  std::string preload_path;
  std::string preload_error;             // why it cannot be loaded; "" it can
  std::string memory_file_error;         // of memfd_create and its sizing; "" none
  uint64_t memory_file_limit_bytes = 0;  // ulimit -f; 0 none
  uint64_t shm_bytes = 0;                // /dev/shm; 0 there is none
  std::string ptrace_scope;              // text of yama/ptrace_scope; "" no yama
  std::string ptrace_error;              // of tracing a child of our own; "" it works
  bool may_trace_any = false;            // root, or CAP_SYS_PTRACE
  std::string trace_folder;
  std::string trace_folder_error;  // why nothing can be written there
  uint64_t trace_free_bytes = 0;
};

struct CommandFacts {
  std::string word;   // as it was typed
  std::string error;  // not found, not executable
  std::string path;
  std::string program;  // that runs in the end
  enum class Kind : uint8_t { kFits, kStatic, kSetuid, kForeign, kValgrind } kind = Kind::kFits;
};

struct Device {
  std::string name;
  uint64_t memory_bytes = 0;
  uint64_t used_bytes = 0;
  int mig = -1;           // 1 on, 0 off, -1 not told
  int compute_mode = -1;  // 0 default, 2 prohibited, 3 exclusive process
};

struct DriverFacts {
  Asked asked = Asked::kNo;
  std::string step;          // the question that was open when time ran out
  std::string cuda_library;  // path of libcuda.so.1; "" it cannot be loaded
  std::string cuda_library_error;
  int cuda_version = 0;    // 13000
  int init_result = -1;    // of cuInit; -1 not asked
  std::string init_error;  // its name
  std::string nvml_error;  // why NVML tells nothing; "" it does
  std::string version;     // 580.65.06
  std::vector<Device> devices;
};

struct GpuFacts {
  std::string kernel_driver;  // version in /proc/driver/nvidia/version; "" not loaded
  bool on_bus = false;        // a display device of NVIDIA's, whether or not we may use it
  std::vector<std::string> unreadable_nodes;  // of /dev/nvidia*
  size_t nodes = 0;
  bool profiling_restricted = false;  // NVreg_RestrictProfilingToAdminUsers
  std::string mps_pipe;               // folder of a running MPS daemon; "" none
  std::string cuda_library_of_ours;   // libtidemark_cuda.so; "" this build has none
  DriverFacts driver;
};

struct Cupti {
  std::string path;
  uint32_t version = 0;  // of its API; 0 it cannot be loaded
  std::string error;
};

struct CuptiFacts {
  std::optional<Cupti> for_python;  // in the wheels of this Python
  std::optional<Cupti> for_others;
};

struct Package {
  std::string name;
  std::string version;
};

struct PythonFacts {
  Asked asked = Asked::kNo;
  std::string word;   // as it was asked for
  std::string error;  // why it cannot be run
  std::string executable;
  std::string implementation;  // "cpython"
  int major = 0;
  int minor = 0;
  int micro = 0;
  bool free_threaded = false;
  std::string torch_cuda;  // CUDA version PyTorch was built for; "" for the CPU only
  std::vector<Package> packages;
  std::vector<std::string> cupti_paths;
};

struct EnvironmentFacts {
  std::string cuda_injection;
  std::string nvtx_injection;
  std::string preload;          // LD_PRELOAD
  std::string nsight;           // name of a variable that Nsight Systems sets
  std::string visible_devices;  // CUDA_VISIBLE_DEVICES
  bool has_visible_devices = false;
  std::string torch_allocator;    // PYTORCH_CUDA_ALLOC_CONF, PYTORCH_ALLOC_CONF
  bool torch_no_caching = false;  // PYTORCH_NO_CUDA_MEMORY_CACHING
  std::string xla_allocator;
  std::string xla_preallocate;
  std::string tensorflow_allocator;
};

struct Machine {
  HostFacts host;
  std::optional<CommandFacts> command;
  GpuFacts gpu;
  CuptiFacts cupti;
  PythonFacts python;
  EnvironmentFacts environment;
};

}  // namespace tidemark::cli::doctor
