// tidemark report FILE [--format text|json] [-o OUT]
#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::cli {
namespace {

struct ReportFileOptions {
  std::string file;
  std::string format = "text";
  std::string out;
};

int report(const ReportFileOptions& options) {
  const auto reader = trace::Reader::open(options.file);
  if (!reader) return complain(reader.error().message);
  const auto built = analyzer::build_report(**reader, {});
  if (!built) return complain(built.error().message);
  return write_answer(
      options.out, options.file,
      options.format == "json" ? analyzer::report_json(*built) : analyzer::report_text(*built));
}

}  // namespace

void add_report(CLI::App& app, int& status) {
  const auto options = std::make_shared<ReportFileOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Who owned the peak: what was live then by call stack, leaks, copies, kernels");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--format", options->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_option("-o,--output", options->out, "Write to this file instead of the terminal");
  command->footer("Example:\n  tidemark report train.db --format json -o train.json");
  command->callback([options, &status] { status = report(*options); });
}

}  // namespace tidemark::cli
