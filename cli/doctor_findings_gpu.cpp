#include <fmt/format.h>

#include "doctor_findings.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::cli::doctor {
namespace {

// Stable numbers of the driver's interface.
constexpr int kNoDevice = 100;
constexpr int kStubLibrary = 34;
constexpr int kSystemNotReady = 802;
constexpr int kDriverMismatch = 803;
constexpr int kUnknown = 999;
constexpr int kProhibited = 2;
constexpr int kExclusive = 3;

constexpr uint32_t kOldestCupti = 19;         // cuptiGetVersion() of CUDA 12.0 (injection/cuda)
constexpr uint32_t kFirstLongCupti = 130000;  // since CUDA 13 the version is that of CUDA

std::string cuda_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// 12 for all that came before CUDA 13 and is not too old to be read.
int cuda_major_of(uint32_t cupti_version) {
  return cupti_version < kFirstLongCupti ? 12 : static_cast<int>(cupti_version / 10000);
}

std::string mend_of_init(const Machine& machine, int result) {
  switch (result) {
    case kNoDevice:
      return machine.environment.has_visible_devices
                 ? fmt::format("CUDA_VISIBLE_DEVICES is '{}': does it name a device that is here?",
                               machine.environment.visible_devices)
                 : "give the container its devices (docker run --gpus=all)";
    case kStubLibrary:
      return "take the toolkit's stubs folder out of LD_LIBRARY_PATH";
    case kSystemNotReady:
      return "start the fabric manager that belongs to the driver";
    case kDriverMismatch:
      return "reload the kernel module (or reboot): it is of another version than libcuda.so.1";
    case kUnknown:
      return "load the module of unified memory: sudo nvidia-modprobe -u -c=0";
    default:
      return "nvidia-smi and dmesg say more";
  }
}

void judge_driver(const Machine& machine, Findings& findings) {
  const DriverFacts& driver = machine.gpu.driver;
  Finding finding{"gpu", "driver", Level::kOk, "", ""};
  if (driver.asked != Asked::kAnswered) {
    finding.level = Level::kNote;
    finding.text =
        driver.asked == Asked::kDied
            ? fmt::format("asking the driver ended the process that asked (in {})", driver.step)
            : fmt::format("the driver did not answer in time (in {})", driver.step);
    finding.mend = "sudo nvidia-smi -pm 1 keeps it loaded; if nvidia-smi hangs too, see dmesg";
    findings.push_back(std::move(finding));
    return;
  }
  if (driver.cuda_library.empty()) {
    finding.level = Level::kProblem;
    finding.text =
        "there is a GPU, but libcuda.so.1 cannot be loaded: " + driver.cuda_library_error;
    finding.mend =
        "install the driver's user part (libcuda1); in a container, start it with "
        "--gpus=all";
    findings.push_back(std::move(finding));
    return;
  }
  const std::string version = driver.version.empty() ? machine.gpu.kernel_driver : driver.version;
  finding.text = fmt::format("NVIDIA driver {}, CUDA up to {} ({})",
                             version.empty() ? "of unknown version" : version,
                             cuda_text(driver.cuda_version), driver.cuda_library);
  if (driver.init_result != 0) {
    finding.level = Level::kProblem;
    finding.text +=
        fmt::format("; cuInit fails: {} ({})",
                    driver.init_error.empty() ? "error" : driver.init_error, driver.init_result);
    finding.mend = mend_of_init(machine, driver.init_result);
  }
  findings.push_back(std::move(finding));
}

void judge_nodes(const GpuFacts& gpu, Findings& findings) {
  if (gpu.unreadable_nodes.empty()) return;
  findings.push_back({"gpu", "nodes", Level::kProblem,
                      fmt::format("{} cannot be opened for reading and writing",
                                  fmt::join(gpu.unreadable_nodes, ", ")),
                      "have an administrator add you to the group of these files (often video)"});
}

void judge_devices(const Machine& machine, Findings& findings) {
  const DriverFacts& driver = machine.gpu.driver;
  if (!driver.nvml_error.empty()) {
    findings.push_back(
        {"gpu", "nvml", Level::kNote,
         "the driver's management library says nothing of the devices: " + driver.nvml_error,
         "install libnvidia-ml.so.1 of the driver's version"});
  }
  for (size_t i = 0; i < driver.devices.size(); ++i) {
    const Device& device = driver.devices[i];
    Finding finding{"gpu", fmt::format("device {}", i), Level::kOk, "", ""};
    finding.text =
        fmt::format("{}, {}, {} in use", device.name, analyzer::format_bytes(device.memory_bytes),
                    analyzer::format_bytes(device.used_bytes));
    if (device.mig == 1) {
      finding.level = Level::kNote;
      finding.text += "; MIG: programs see slices, each as a device of its own";
    }
    if (device.compute_mode == kExclusive) {
      finding.level = Level::kNote;
      finding.text += "; compute mode exclusive: one process at a time";
    }
    if (device.compute_mode == kProhibited) {
      finding.level = Level::kProblem;
      finding.text += "; compute mode prohibited: no program can use it";
      finding.mend = fmt::format("sudo nvidia-smi -i {} -c DEFAULT", i);
    }
    findings.push_back(std::move(finding));
  }
  if (machine.environment.has_visible_devices) {
    findings.push_back({"gpu", "visible", Level::kNote,
                        fmt::format("CUDA_VISIBLE_DEVICES={}: device numbers of a trace are the "
                                    "program's, counted among these",
                                    machine.environment.visible_devices),
                        ""});
  }
  if (!machine.gpu.mps_pipe.empty()) {
    findings.push_back({"gpu", "mps", Level::kNote,
                        fmt::format("an MPS daemon runs ({}): programs share the device through "
                                    "its server; each is recorded by itself",
                                    machine.gpu.mps_pipe),
                        ""});
  }
}

void judge_one_cupti(const Cupti& cupti, int cuda_version, const std::string& name,
                     const std::string& whose, Findings& findings) {
  Finding finding{"gpu", name, Level::kOk, "", ""};
  if (cupti.version == 0) {
    finding.level = Level::kProblem;
    finding.text = fmt::format("no CUPTI for {}: {}", whose, cupti.error);
    finding.mend =
        "install it (pip install nvidia-cuda-cupti, or the toolkit's cuda-cupti) or "
        "name it: TIDEMARK_CUPTI=/path/libcupti.so.13";
  } else if (cupti.version < kOldestCupti) {
    finding.level = Level::kProblem;
    finding.text = fmt::format("{} for {} has API version {}, before CUDA 12.0", cupti.path, whose,
                               cupti.version);
    finding.mend = "name a newer one: TIDEMARK_CUPTI=/path/libcupti.so.12";
  } else if (cuda_version > 0 && cuda_major_of(cupti.version) > cuda_version / 1000) {
    finding.level = Level::kProblem;
    finding.text = fmt::format("{} for {} is of CUDA {}, the driver supports {}", cupti.path, whose,
                               cuda_major_of(cupti.version), cuda_text(cuda_version));
    finding.mend = fmt::format(
        "update the driver, or name one of CUDA {}: "
        "TIDEMARK_CUPTI=/path/libcupti.so.{}",
        cuda_version / 1000, cuda_version / 1000);
  } else {
    finding.text =
        fmt::format("{} for {}, API version {}, fits the driver", cupti.path, whose, cupti.version);
  }
  findings.push_back(std::move(finding));
}

void judge_cupti(const Machine& machine, Findings& findings) {
  const CuptiFacts& cupti = machine.cupti;
  const int cuda_version = machine.gpu.driver.cuda_version;
  if (cupti.for_python) {
    judge_one_cupti(*cupti.for_python, cuda_version, "cupti_python", "Python programs", findings);
  }
  if (cupti.for_others) {
    const size_t before = findings.size();
    judge_one_cupti(*cupti.for_others, cuda_version, "cupti",
                    cupti.for_python ? "other programs" : "every program", findings);
    // Who has Python's may want no other.
    Finding& finding = findings[before];
    const bool python_works = cupti.for_python && cupti.for_python->version != 0;
    if (python_works && cupti.for_others->version == 0) finding.level = Level::kNote;
  }
  findings.push_back({"gpu", "permission", Level::kOk,
                      machine.gpu.profiling_restricted
                          ? "performance counters are for administrators only "
                            "(NVreg_RestrictProfilingToAdminUsers=1): they are not used, and "
                            "tracing needs no such right since CUDA 10.2"
                          : "tracing needs no right of its own",
                      ""});
}

void judge_other_tools(const Machine& machine, Findings& findings) {
  const EnvironmentFacts& environment = machine.environment;
  const std::string& injection = environment.cuda_injection;
  if (!injection.empty() && injection != machine.gpu.cuda_library_of_ours) {
    findings.push_back({"gpu", "other_tool", Level::kProblem,
                        fmt::format("CUDA_INJECTION64_PATH={} belongs to another tool, which is "
                                    "left in place: the device will not be recorded",
                                    injection),
                        "unset CUDA_INJECTION64_PATH"});
  }
  if (!environment.nsight.empty()) {
    findings.push_back({"gpu", "nsight", Level::kNote,
                        fmt::format("{} is set: under Nsight Systems only one of the two tools "
                                    "gets CUPTI's records",
                                    environment.nsight),
                        "record outside of nsys"});
  }
}

}  // namespace

bool expects_gpu(const Machine& machine) {
  return !machine.gpu.kernel_driver.empty() || machine.gpu.nodes > 0 ||
         machine.gpu.driver.init_result == 0;
}

void judge_gpu(const Machine& machine, Findings& findings) {
  if (!expects_gpu(machine)) {
    Finding finding{"gpu", "driver", Level::kNote,
                    "no NVIDIA driver is loaded: the host is recorded, no device", ""};
    if (machine.gpu.on_bus) {
      finding.text =
          "the machine has an NVIDIA GPU, but no driver for it is at hand here: the "
          "host is recorded, no device";
      finding.mend = "load the driver (nvidia-smi), or start the container with --gpus=all";
    }
    findings.push_back(std::move(finding));
    return;
  }
  judge_driver(machine, findings);
  judge_nodes(machine.gpu, findings);
  judge_devices(machine, findings);
  if (machine.gpu.cuda_library_of_ours.empty()) {
    findings.push_back({"gpu", "library", Level::kProblem,
                        "libtidemark_cuda.so is not part of this build: the device will not be "
                        "recorded",
                        "build where cuda.h and cupti.h are (CUDA_HOME names the toolkit), or take "
                        "a package that has it"});
  } else {
    judge_cupti(machine, findings);
  }
  judge_other_tools(machine, findings);
}

}  // namespace tidemark::cli::doctor
