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

// Those that take another program's command line behind "--".
bool wants_command(const std::string& name) { return name == "record" || name == "doctor"; }

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
    } else if (wants_command(command.get_name())) {
      message = fmt::format("put -- before the command: tidemark {} [OPTIONS] -- {} …",
                            command.get_name(), word);
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

int run(const std::vector<std::string>& arguments) {
  int status = kOk;
  CLI::App app("Tidemark shows who owns the memory of a program that trains neural networks.",
               "tidemark");
  app.set_version_flag("--version", "tidemark " TIDEMARK_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(28);
  app.footer(
      "Example:\n  tidemark record -o train.db -- python3 train.py\n  tidemark report "
      "train.db\n\ntidemark COMMAND --help says more.");
  // What stands behind "--" is another program's command line: none of it is ours to parse.
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  const bool takes_command = !arguments.empty() && wants_command(arguments.front());
  const auto ours_end = takes_command ? dashes : arguments.end();
  const std::vector<std::string> command(ours_end == arguments.end() ? ours_end : ours_end + 1,
                                         arguments.end());
  add_record(app, command, status);
  add_info(app, status);
  add_report(app, status);
  add_diff(app, status);
  add_check(app, status);
  add_sql(app, status);
  add_whatif(app, status);
  add_advise(app, status);
  add_view(app, status);
  add_doctor(app, command, status);
  try {
    std::vector<std::string> ours(arguments.begin(), ours_end);
    std::reverse(ours.begin(), ours.end());  // as the parser wants them
    app.parse(ours);
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
