// Finds out what `tidemark doctor` wants to know of this machine, within a time limit: what can
// hang or crash (the driver, Python, libraries) is asked in child processes. Creates no CUDA
// context, changes nothing. Call from a process with one thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "doctor_machine.h"

namespace tidemark::cli::doctor {

struct Sources {
  std::string root;         // stands before /proc, /dev, /sys and toolkit folders: "" or a test's
  std::string library_dir;  // where our libraries lie
  std::string python = "python3";
  std::vector<std::string> command;  // behind "--"; may be empty
  // As dlopen wants them.
  std::string cuda_library = "libcuda.so.1";
  std::string nvml_library = "libnvidia-ml.so.1";
  std::vector<std::string> cupti_libraries = {"libcupti.so.13", "libcupti.so.12", "libcupti.so"};
  std::chrono::milliseconds patience{1700};
};

Machine gather(const Sources& sources);

// The answers of the children, as text. Pure.
DriverFacts parse_driver_answer(const std::string& answer);
PythonFacts parse_python_answer(const std::string& answer);
// "key=value" lines of the driver, written as they become known.
void ask_driver(const Sources& sources, int answer);
// Standard output becomes `answer`, then Python runs.
void ask_python(const Sources& sources, int answer);

}  // namespace tidemark::cli::doctor
