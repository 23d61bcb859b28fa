#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "commands.h"
#include "console.h"
#include "suggest.h"

namespace tidemark::cli {
namespace {

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string did_you_mean(const std::string& typed, const std::vector<std::string>& names) {
  const std::string name = nearest(typed, names);
  return name.empty() ? "" : fmt::format(", did you mean '{}'?", name);
}

// One line that says what was wrong and where to read on.
int wrong_use(CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  const CLI::App& command = chosen.empty() ? app : *chosen.front();
  const std::string name = chosen.empty() ? "tidemark" : "tidemark " + command.get_name();
  const std::vector<std::string> unexpected = app.remaining(true);
  std::string message;
  if (!unexpected.empty()) {
    const std::string& word = unexpected.front();
    const bool option = word.size() > 1 && word.front() == '-';
    if (option) {
      const std::string typed = word.substr(0, word.find('='));
      message = fmt::format("there is no option '{}'{}", typed,
                            did_you_mean(typed, option_names(command)));
    } else if (chosen.empty()) {
      message =
          fmt::format("there is no command '{}'{}", word, did_you_mean(word, command_names(app)));
    } else {
      message = fmt::format("'{}' is one argument too many", word);
    }
  } else if (chosen.empty() && error.get_name() == "RequiredError") {
    message = "no command was given";
  } else {
    message = error.what();
  }
  const std::string where = chosen.empty() ? "" : command.get_name() + ": ";
  return complain(fmt::format("{}{} (see {} --help)", where, message, name));
}

int show_help(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return write_answer("", "", chosen.empty() ? app.help() : chosen.front()->help("tidemark"));
}

}  // namespace

int run(const std::vector<std::string>& all_arguments) {
  int status = kOk;
  // What follows `record … --` is another program's business.
  auto arguments = all_arguments;
  std::vector<std::string> program;
  if (const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
      dashes != arguments.end() && arguments.front() == "record") {
    program.assign(dashes + 1, arguments.end());
    arguments.erase(dashes, arguments.end());
  }
  CLI::App app("Tidemark shows who owns the memory of a program that trains neural networks.",
               "tidemark");
  app.set_version_flag("--version", "tidemark " TIDEMARK_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  app.footer(
      "Example:\n  tidemark record -o train.db -- python3 train.py\n  tidemark report "
      "train.db\n\ntidemark COMMAND --help says more.");
  add_record(app, status, program);
  add_info(app, status);
  add_report(app, status);
  add_sql(app, status);
  add_view(app, status);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return show_help(app);
  } catch (const CLI::CallForVersion& version) {
    return write_answer("", "", std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return wrong_use(app, error);
  }
  return status;
}

}  // namespace tidemark::cli
