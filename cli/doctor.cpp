// tidemark doctor [--json] [--python PATH] [-- COMMAND…]
#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"
#include "doctor_findings.h"
#include "doctor_gather.h"
#include "install.h"

namespace tidemark::cli {
namespace {

struct DoctorOptions {
  bool json = false;
  std::string python;
};

// "python3", "/opt/env/bin/python3.12": recorded with the frameworks of its own.
bool is_python(const std::string& word) {
  return word.substr(word.rfind('/') + 1).starts_with("python");
}

int diagnose(const DoctorOptions& options, const std::vector<std::string>& command) {
  doctor::Sources sources;
  sources.library_dir = library_dir();
  sources.command = command;
  if (!options.python.empty()) {
    sources.python = options.python;
  } else if (!command.empty() && is_python(command.front())) {
    sources.python = command.front();
  }
  const doctor::Findings findings = doctor::judge(doctor::gather(sources));
  const int status = write_answer(
      "", "", options.json ? doctor::findings_json(findings) : doctor::findings_text(findings));
  return status == kOk && !doctor::works(findings) ? kFailed : status;
}

class DoctorHelp : public CLI::Formatter {
 public:
  DoctorHelp() { column_width(28); }
  std::string make_usage(const CLI::App* /*app*/, std::string name) const override {
    return "Usage: " + name + " [OPTIONS] [-- COMMAND...]\n";
  }
};

}  // namespace

void add_doctor(CLI::App& app, const std::vector<std::string>& command, int& status) {
  const auto options = std::make_shared<DoctorOptions>();
  CLI::App* doctor = app.add_subcommand(
      "doctor", "What can be recorded on this machine, what cannot, and the mend");
  doctor->formatter(std::make_shared<DoctorHelp>());
  doctor->add_flag("--json", options->json, "For programs");
  doctor
      ->add_option("--python", options->python,
                   "The interpreter whose frameworks are looked at; python3 of the PATH without it")
      ->type_name("PATH");
  doctor->footer(
      "Exit status: 0 when all that is here will be recorded, 1 when something will not.\n\n"
      "Examples:\n  tidemark doctor\n  tidemark doctor -- ./train --epochs 1");
  doctor->callback([options, &command, &status] { status = diagnose(*options, command); });
}

}  // namespace tidemark::cli
