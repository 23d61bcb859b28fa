#include <fmt/format.h>

#include <cstdlib>

#include "doctor_findings.h"

namespace tidemark::cli::doctor {
namespace {

constexpr int kOldestMinor = 8;   // of CPython 3, whose stacks are read
constexpr int kNewestMinor = 14;  // as injection/stack/src/python_layout.cpp
constexpr int kFirstFreeThreadedMinor = 13;

bool has(const PythonFacts& python, std::string_view start) {
  for (const Package& package : python.packages) {
    if (package.name.starts_with(start)) return true;
  }
  return false;
}

void judge_interpreter(const PythonFacts& python, Findings& findings) {
  Finding finding{"python", "interpreter", Level::kOk, "", ""};
  finding.text =
      fmt::format("{} {}.{}.{}{} ({})", python.implementation, python.major, python.minor,
                  python.micro, python.free_threaded ? ", free-threaded" : "", python.executable);
  const bool known = python.implementation == "cpython" && python.major == 3 &&
                     python.minor >= kOldestMinor && python.minor <= kNewestMinor &&
                     (!python.free_threaded || python.minor >= kFirstFreeThreadedMinor);
  if (known) {
    finding.text += ": stacks have its functions and lines";
  } else {
    finding.level = Level::kProblem;
    finding.text += ": stacks will have native frames only";
    finding.mend = fmt::format("use CPython 3.{} to 3.{}", kOldestMinor, kNewestMinor);
  }
  findings.push_back(std::move(finding));
}

void judge_torch(const Machine& machine, const Package& package, Findings& findings) {
  const PythonFacts& python = machine.python;
  const EnvironmentFacts& environment = machine.environment;
  Finding finding{"python", "torch", Level::kOk, "PyTorch " + package.version, ""};
  if (python.torch_cuda.empty()) {
    finding.text += ", for the CPU: its tensors are heap blocks, each with its stack";
    findings.push_back(std::move(finding));
    return;
  }
  finding.text += fmt::format(" for CUDA {}: every block of its caching allocator, with its stack",
                              python.torch_cuda);
  const int built = std::atoi(python.torch_cuda.c_str());
  const int driver = machine.gpu.driver.cuda_version / 1000;
  if (expects_gpu(machine) && driver > 0 && built > driver) {
    finding.level = Level::kNote;
    finding.text += fmt::format(
        "; the driver supports CUDA {} only: PyTorch itself will find no "
        "GPU",
        driver);
    finding.mend = "update the driver, or install a PyTorch for its CUDA version";
  } else if (environment.torch_no_caching ||
             environment.torch_allocator.find("cudaMallocAsync") != std::string::npos) {
    finding.level = Level::kNote;
    finding.text +=
        "; the environment switches its caching allocator off, so that blocks are "
        "recorded as the driver's";
  }
  findings.push_back(std::move(finding));
}

void judge_jax(const Machine& machine, const Package& package, Findings& findings) {
  const EnvironmentFacts& environment = machine.environment;
  Finding finding{"python", "jax", Level::kOk, "JAX " + package.version, ""};
  const bool on_gpu = has(machine.python, "jax-cuda");
  const std::string& allocator = environment.xla_allocator;
  if (!on_gpu) {
    finding.text += ", without a CUDA plugin: its arrays are heap blocks";
  } else if (allocator == "platform" || allocator == "cuda_async") {
    finding.text += fmt::format(": XLA_PYTHON_CLIENT_ALLOCATOR={} shows each buffer", allocator);
  } else {
    finding.level = Level::kNote;
    finding.text +=
        ": what XLA takes from the driver, not its buffers, which share one large block";
    finding.mend =
        "record --pools=expose shows each buffer, and is slower; "
        "XLA_PYTHON_CLIENT_PREALLOCATE=false shows growth";
  }
  findings.push_back(std::move(finding));
}

void judge_tensorflow(const Machine& machine, const Package& package, Findings& findings) {
  Finding finding{"python", "tensorflow", Level::kOk, "TensorFlow " + package.version, ""};
  if (package.name == "tensorflow-cpu") {
    finding.text += ", for the CPU: its tensors are heap blocks";
  } else if (machine.environment.tensorflow_allocator == "cuda_malloc_async") {
    finding.text += ": TF_GPU_ALLOCATOR=cuda_malloc_async shows each tensor";
  } else {
    finding.level = Level::kNote;
    finding.text += ": on a GPU what its allocator takes from the driver, not the tensors in it";
    finding.mend = "record --pools=expose shows each tensor";
  }
  findings.push_back(std::move(finding));
}

void judge_frameworks(const Machine& machine, Findings& findings) {
  bool any = false;
  for (const Package& package : machine.python.packages) {
    const size_t before = findings.size();
    if (package.name == "torch") {
      judge_torch(machine, package, findings);
    } else if (package.name == "jax") {
      judge_jax(machine, package, findings);
    } else if (package.name.starts_with("tensorflow") || package.name == "tf-nightly") {
      judge_tensorflow(machine, package, findings);
    } else if (package.name.starts_with("cupy")) {
      findings.push_back(
          {"python", "cupy", Level::kNote,
           fmt::format("CuPy {}: what its memory pool takes from the driver, not the "
                       "arrays in it",
                       package.version),
           "record --pools=expose shows each array, and is slower"});
    } else if (package.name.starts_with("rmm")) {
      findings.push_back({"python", "rmm", Level::kNote,
                          fmt::format("RMM {}: its CudaMemoryResource and CudaAsyncMemoryResource "
                                      "block by block, its pools as the driver sees them",
                                      package.version),
                          ""});
    }
    any |= findings.size() > before;
  }
  if (!any) {
    findings.push_back({"python", "frameworks", Level::kNote,
                        "none of PyTorch, JAX, TensorFlow, CuPy, RMM is installed for this Python",
                        "--python PATH asks another interpreter"});
  }
}

}  // namespace

void judge_python(const Machine& machine, Findings& findings) {
  const PythonFacts& python = machine.python;
  if (python.asked == Asked::kAnswered && python.error.empty()) {
    judge_interpreter(python, findings);
    judge_frameworks(machine, findings);
    return;
  }
  const std::string why = python.asked == Asked::kTimedOut ? "did not answer in time"
                          : python.error.empty()           ? "ended before it answered"
                                                           : "cannot be asked: " + python.error;
  findings.push_back({"python", "interpreter", Level::kNote,
                      fmt::format("{} {}: nothing is known of its frameworks", python.word, why),
                      "--python PATH asks another interpreter"});
}

}  // namespace tidemark::cli::doctor
