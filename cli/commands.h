// The subcommands, one file each. add_*() describes a command to the parser; when it was the one
// chosen, its work is done inside parse() and its exit status is left in `status`.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tidemark::cli {

// `program`: the command to record, which stood after '--'.
void add_record(CLI::App& app, int& status, const std::vector<std::string>& program);
void add_info(CLI::App& app, int& status);
void add_report(CLI::App& app, int& status);
void add_sql(CLI::App& app, int& status);
void add_view(CLI::App& app, int& status);

// Parses and runs `arguments` (without the program's name); returns the exit status.
int run(const std::vector<std::string>& arguments);

}  // namespace tidemark::cli
