// tidemark info FILE [--json]
#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::cli {
namespace {

struct InfoOptions {
  std::string file;
  bool json = false;
};

int info(const InfoOptions& options) {
  const auto reader = trace::Reader::open(options.file);
  if (!reader) return complain(reader.error().message);
  analyzer::ReportOptions wanted;
  wanted.stacks = 0;
  wanted.culprits = 0;
  const auto report = analyzer::build_report(**reader, wanted);
  if (!report) return complain(report.error().message);
  return write_answer("", options.file,
                      options.json ? analyzer::info_json(*report) : analyzer::info_text(*report));
}

}  // namespace

void add_info(CLI::App& app, int& status) {
  const auto options = std::make_shared<InfoOptions>();
  CLI::App* command = app.add_subcommand(
      "info", "What a trace holds: processes, counts by kind, peaks by space, losses");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_flag("--json", options->json, "For programs");
  command->footer("Example:\n  tidemark info train.db --json | jq .peaks");
  command->callback([options, &status] { status = info(*options); });
}

}  // namespace tidemark::cli
