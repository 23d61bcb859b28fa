// tidemark diff A B [--json] [-o OUT]
#include "tidemark/analyzer/diff.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"

namespace tidemark::cli {
namespace {

struct DiffOptions {
  std::string before;
  std::string after;
  std::string out;
  bool json = false;
};

Result<analyzer::Report> report_of(const std::string& file) {
  const auto reader = trace::Reader::open(file);
  if (!reader) return tl::unexpected(reader.error());
  return analyzer::build_report(**reader, analyzer::diff_options());
}

int diff(const DiffOptions& options) {
  const auto before = report_of(options.before);
  if (!before) return complain(before.error().message);
  const auto after = report_of(options.after);
  if (!after) return complain(after.error().message);
  const analyzer::ReportDiff diff = analyzer::diff(*before, *after);
  return write_answer(options.out, options.after,
                      options.json ? analyzer::diff_json(diff) : analyzer::diff_text(diff));
}

}  // namespace

void add_diff(CLI::App& app, int& status) {
  const auto options = std::make_shared<DiffOptions>();
  CLI::App* command = app.add_subcommand(
      "diff", "What grew at the peak from one trace to another: by category, line, layer, stack");
  command->add_option("BEFORE", options->before, "A trace")->required();
  command->add_option("AFTER", options->after, "Another")->required();
  command->add_flag("--json", options->json, "For programs");
  command->add_option("-o,--output", options->out, "Write to this file instead of the terminal");
  command->footer("Example:\n  tidemark diff yesterday.db today.db");
  command->callback([options, &status] { status = diff(*options); });
}

}  // namespace tidemark::cli
