// The subcommands, one file each. add_*() describes a command to the parser; when it was the one
// chosen, its work is done inside parse() and its exit status is left in `status`.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace tidemark::cli {

// `command` is what stands behind "--", kept out of the parser's sight; it must outlive the parse.
void add_record(CLI::App& app, const std::vector<std::string>& command, int& status);
void add_doctor(CLI::App& app, const std::vector<std::string>& command, int& status);
void add_info(CLI::App& app, int& status);
void add_check(CLI::App& app, int& status);
void add_report(CLI::App& app, int& status);
void add_diff(CLI::App& app, int& status);
void add_sql(CLI::App& app, int& status);
void add_whatif(CLI::App& app, int& status);
void add_advise(CLI::App& app, int& status);
void add_view(CLI::App& app, int& status);

// Parses and runs `arguments` (without the program's name); returns the exit status.
int run(const std::vector<std::string>& arguments);

}  // namespace tidemark::cli
