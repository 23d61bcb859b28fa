// Judges a machine: what will be recorded on it, what will not, and the mend. Pure.
#pragma once

#include <string>
#include <vector>

#include "doctor_machine.h"

namespace tidemark::cli::doctor {

enum class Level : uint8_t {
  kOk,
  kNote,     // recording works; something is worth knowing
  kProblem,  // something that is there will not be recorded
};

struct Finding {
  std::string area;  // "host", "gpu", "python", "command"
  std::string name;  // stable, for programs
  Level level = Level::kOk;
  std::string text;
  std::string mend;  // "" where there is nothing to do
};
using Findings = std::vector<Finding>;

Findings judge(const Machine& machine);
// Whether all that is there will be recorded.
bool works(const Findings& findings);

std::string findings_text(const Findings& findings);
std::string findings_json(const Findings& findings);

// Parts of judge(), a file each.
void judge_host(const Machine& machine, Findings& findings);
void judge_command(const CommandFacts& command, Findings& findings);
void judge_gpu(const Machine& machine, Findings& findings);
void judge_python(const Machine& machine, Findings& findings);
// Whether this machine has a GPU that programs can be expected to use.
bool expects_gpu(const Machine& machine);

}  // namespace tidemark::cli::doctor
