// Python's part of the doctor: which frameworks an interpreter would import, told by their
// metadata; none is imported, which would take seconds and start CUDA.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "doctor_gather.h"

namespace tidemark::cli::doctor {
namespace {

constexpr char kScript[] = R"python(
import glob, json, os, re, sys, sysconfig
facts = {
    "executable": sys.executable,
    "implementation": sys.implementation.name,
    "version": list(sys.version_info[:3]),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "packages": [], "cupti": [], "torch_cuda": "",
}
names = ["torch", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "tensorflow",
         "tensorflow-cpu", "tf-nightly", "cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x",
         "rmm", "rmm-cu11", "rmm-cu12", "rmm-cu13", "nvtx"]
try:
    from importlib.metadata import version
    for name in names:
        try:
            facts["packages"].append([name, str(version(name))])
        except Exception:
            pass
except ImportError:
    pass
for folder in sys.path[1:]:
    if not folder or not os.path.isdir(folder):
        continue
    for pattern in ("nvidia/cu13/lib", "nvidia/cuda_cupti/lib"):
        facts["cupti"] += sorted(glob.glob(os.path.join(folder, pattern, "libcupti.so*")))
    try:
        with open(os.path.join(folder, "torch", "version.py")) as file:
            found = re.search(r"^cuda\b[^=]*=\s*['\"]([^'\"]*)", file.read(), re.M)
            facts["torch_cuda"] = facts["torch_cuda"] or (found.group(1) if found else "")
    except OSError:
        pass
print(json.dumps(facts))
)python";

}  // namespace

void ask_python(const Sources& sources, int answer) {
  for (const char* name : {"CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH", "TIDEMARK_ARENA"}) {
    unsetenv(name);
  }
  const int copy = fcntl(answer, F_DUPFD_CLOEXEC, 10);
  dup2(answer, STDOUT_FILENO);
  execlp(sources.python.c_str(), sources.python.c_str(), "-c", kScript, nullptr);
  const nlohmann::json failed = {{"error", std::strerror(errno)}};
  const std::string text = failed.dump();
  [[maybe_unused]] const ssize_t written = write(copy, text.data(), text.size());
}

PythonFacts parse_python_answer(const std::string& answer) {
  PythonFacts facts;
  const auto json = nlohmann::json::parse(answer, nullptr, false);
  if (!json.is_object()) {
    facts.error = "it answered with something else than was asked for";
    return facts;
  }
  try {
    facts.error = json.value("error", "");
    if (!facts.error.empty()) return facts;
    facts.executable = json.at("executable");
    facts.implementation = json.at("implementation");
    facts.major = json.at("version").at(0);
    facts.minor = json.at("version").at(1);
    facts.micro = json.at("version").at(2);
    facts.free_threaded = json.at("free_threaded");
    facts.torch_cuda = json.at("torch_cuda");
    for (const auto& package : json.at("packages")) {
      facts.packages.push_back({package.at(0), package.at(1)});
    }
    for (const auto& path : json.at("cupti")) facts.cupti_paths.push_back(path);
  } catch (const nlohmann::json::exception& error) {
    facts.error = "it answered with something else than was asked for";
  }
  return facts;
}

}  // namespace tidemark::cli::doctor
