#include "doctor_findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::cli::doctor {
namespace {

// A short training run's trace; below, the trace will not hold much.
constexpr uint64_t kLittleSpaceBytes = uint64_t{1} << 30;

const char* level_name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kNote:
      return "note";
    case Level::kProblem:
      return "problem";
  }
  return "";
}

void judge_preload(const HostFacts& host, Findings& findings) {
  if (host.preload_error.empty()) {
    findings.push_back({"host", "preload", Level::kOk,
                        "libtidemark_preload.so can be loaded: malloc, new, mmap and PyTorch's "
                        "blocks will be recorded",
                        ""});
    return;
  }
  findings.push_back({"host", "preload", Level::kProblem,
                      fmt::format("{} cannot be loaded: {}", host.preload_path, host.preload_error),
                      "keep bin/ and lib/tidemark/ of the package together; on an older system, "
                      "build with scripts/package there"});
}

void judge_shared_memory(const HostFacts& host, Findings& findings) {
  Finding finding{"host", "shared_memory", Level::kOk, "", ""};
  if (!host.memory_file_error.empty()) {
    finding.level = Level::kProblem;
    finding.text = "no shared memory can be made: memfd_create: " + host.memory_file_error;
    finding.mend = "let the container's filter of system calls (seccomp) allow memfd_create";
  } else if (host.memory_file_limit_bytes > 0) {
    finding.level = Level::kProblem;
    finding.text = fmt::format("files are limited to {}, shared memory too",
                               analyzer::format_bytes(host.memory_file_limit_bytes));
    finding.mend = "ulimit -f unlimited";
  } else {
    finding.text = "shared memory is an anonymous file";
    finding.text += host.shm_bytes == 0 ? "; there is no /dev/shm, and none is needed"
                                        : fmt::format("; /dev/shm ({}) is not used",
                                                      analyzer::format_bytes(host.shm_bytes));
  }
  findings.push_back(std::move(finding));
}

void judge_attach(const HostFacts& host, Findings& findings) {
  Finding finding{"host", "attach", Level::kNote, "", ""};
  const char scope = host.ptrace_scope.empty() ? '0' : host.ptrace_scope.front();
  if (!host.ptrace_error.empty()) {
    finding.text = "--pid will not work: tracing is forbidden here, even of own children: " +
                   host.ptrace_error;
    finding.mend = "start the container with --cap-add=SYS_PTRACE; record -- COMMAND needs it not";
  } else if (scope == '3') {
    finding.text = "--pid will not work: kernel.yama.ptrace_scope is 3, until the next boot";
    finding.mend = "start programs with record -- COMMAND, which needs no such right";
  } else if (scope == '0' || host.may_trace_any) {
    finding.level = Level::kOk;
    finding.text = host.may_trace_any ? "--pid can attach to every process"
                                      : "--pid can attach to your own processes";
  } else {
    finding.text =
        fmt::format("--pid will not work for you: kernel.yama.ptrace_scope is {}, which leaves {}",
                    scope, scope == '1' ? "a process to its parents" : "it to administrators");
    finding.mend =
        "sudo sysctl kernel.yama.ptrace_scope=0, or run as root; record -- COMMAND "
        "needs it not";
  }
  findings.push_back(std::move(finding));
}

void judge_unwinding(Findings& findings) {
  findings.push_back({"host", "stacks", Level::kOk,
                      "stacks are read from .eh_frame: neither perf nor its permissions, nor frame "
                      "pointers, are needed",
                      ""});
}

void judge_trace_folder(const HostFacts& host, Findings& findings) {
  Finding finding{"host", "trace_folder", Level::kOk, "", ""};
  if (!host.trace_folder_error.empty()) {
    finding.level = Level::kProblem;
    finding.text =
        fmt::format("{} cannot be written to: {}", host.trace_folder, host.trace_folder_error);
    finding.mend = "name another file with record -o FILE";
  } else {
    finding.text = fmt::format("{} free in {}", analyzer::format_bytes(host.trace_free_bytes),
                               host.trace_folder);
    if (host.trace_free_bytes < kLittleSpaceBytes) {
      finding.level = Level::kNote;
      finding.mend = "record with -o FILE elsewhere, or --max-size=SIZE";
    }
  }
  findings.push_back(std::move(finding));
}

void judge_environment(const EnvironmentFacts& environment, Findings& findings) {
  if (!environment.preload.empty()) {
    findings.push_back(
        {"host", "other_preload", Level::kNote,
         fmt::format("LD_PRELOAD={} is kept; ours goes before it", environment.preload), ""});
  }
}

}  // namespace

void judge_host(const Machine& machine, Findings& findings) {
  judge_preload(machine.host, findings);
  judge_shared_memory(machine.host, findings);
  judge_unwinding(findings);
  judge_attach(machine.host, findings);
  judge_trace_folder(machine.host, findings);
  judge_environment(machine.environment, findings);
}

void judge_command(const CommandFacts& command, Findings& findings) {
  using Kind = CommandFacts::Kind;
  Finding finding{"command", "executable", Level::kProblem, "", ""};
  if (!command.error.empty()) {
    finding.text = command.error;
    finding.mend = "give the path of a program that you may run";
    findings.push_back(std::move(finding));
    return;
  }
  const std::string what = command.program == command.path
                               ? command.path
                               : fmt::format("{} (run by {})", command.path, command.program);
  switch (command.kind) {
    case Kind::kFits:
      finding.level = Level::kOk;
      finding.text = what + " can be recorded";
      break;
    case Kind::kStatic:
      finding.text = what + " is a static program: nothing can be preloaded into it";
      finding.mend = "link it dynamically";
      break;
    case Kind::kSetuid:
      finding.text = what +
                     " runs with rights of its own (setuid, setgid or capabilities): the "
                     "dynamic linker ignores LD_PRELOAD";
      finding.mend = "record a copy of it without these rights, or as its owner";
      break;
    case Kind::kForeign:
      finding.text = what + " is not for 64-bit x86: our library does not fit";
      finding.mend = "build it for x86-64";
      break;
    case Kind::kValgrind:
      finding.text = what + " runs programs on a processor of its own, with its own malloc";
      finding.mend = "record the program without valgrind";
      break;
  }
  findings.push_back(std::move(finding));
}

Findings judge(const Machine& machine) {
  Findings findings;
  judge_host(machine, findings);
  judge_gpu(machine, findings);
  judge_python(machine, findings);
  if (machine.command) judge_command(*machine.command, findings);
  return findings;
}

bool works(const Findings& findings) {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.level == Level::kProblem; });
}

std::string findings_text(const Findings& findings) {
  std::string out;
  std::string area;
  size_t notes = 0;
  size_t problems = 0;
  for (const Finding& finding : findings) {
    if (finding.area != area) out += finding.area + "\n";
    area = finding.area;
    notes += finding.level == Level::kNote ? 1 : 0;
    problems += finding.level == Level::kProblem ? 1 : 0;
    out += fmt::format("  {:<7}  {:<14} {}\n", level_name(finding.level), finding.name,
                       analyzer::printable(finding.text));
    if (!finding.mend.empty()) out += fmt::format("{:26}→ {}\n", "", finding.mend);
  }
  const auto plural = [](size_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  };
  out += problems == 0 ? "What is here will be recorded" : plural(problems, "problem");
  if (notes > 0) out += ", " + plural(notes, "note");
  return out + "\n";
}

std::string findings_json(const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    nlohmann::ordered_json entry = {{"area", finding.area},
                                    {"name", finding.name},
                                    {"level", level_name(finding.level)},
                                    {"text", finding.text}};
    entry["mend"] = nullptr;
    if (!finding.mend.empty()) entry["mend"] = finding.mend;
    list.push_back(std::move(entry));
  }
  const nlohmann::ordered_json json = {{"works", works(findings)}, {"findings", std::move(list)}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace tidemark::cli::doctor
