// tidemark report FILE [--advice] [--format text|json|markdown|html] [-o OUT]
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
  bool advice = false;
};

std::string rendered(const analyzer::Report& report, const std::string& format, bool advice) {
  if (format == "json") return analyzer::report_json(report);
  if (format == "html") return analyzer::report_html(report);
  if (format == "markdown") return analyzer::report_markdown(report);
  return advice ? analyzer::techniques_in_full(report) : analyzer::report_text(report);
}

int report(const ReportFileOptions& options) {
  const auto reader = trace::Reader::open(options.file);
  if (!reader) return complain(reader.error().message);
  analyzer::ReportOptions wanted;
  if (options.format == "html") wanted.detail.emplace();
  wanted.advice = options.advice ? analyzer::AdviceDepth::kAll : analyzer::AdviceDepth::kQuick;
  const auto built = analyzer::build_report(**reader, wanted);
  if (!built) return complain(built.error().message);
  return write_answer(options.out, options.file, rendered(*built, options.format, options.advice));
}

}  // namespace

void add_report(CLI::App& app, int& status) {
  const auto options = std::make_shared<ReportFileOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Who owned the peak: what was live then by call stack, leaks, copies, kernels");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("--format", options->format, "text, json, markdown or html")
      ->check(CLI::IsMember({"text", "json", "markdown", "html"}))
      ->capture_default_str();
  command->add_flag("--advice", options->advice,
                    "What each technique is worth here, in full, whatever the replays take");
  command->add_option("-o,--output", options->out, "Write to this file instead of the terminal");
  command->footer("Example:\n  tidemark report train.db --format html -o train.html");
  command->callback([options, &status] { status = report(*options); });
}

}  // namespace tidemark::cli
