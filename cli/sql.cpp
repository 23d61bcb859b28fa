// tidemark sql FILE QUERY [--format table|csv|json]
#include <CLI/CLI.hpp>
#include <memory>

#include "commands.h"
#include "console.h"
#include "rows.h"
#include "tidemark/analyzer/usage.h"
#include "tidemark/trace/reader.h"

namespace tidemark::cli {
namespace {

struct SqlOptions {
  std::string file;
  std::string query;
  std::string format = "table";
};

RowFormat format_of(const std::string& name) {
  if (name == "csv") return RowFormat::kCsv;
  return name == "json" ? RowFormat::kJson : RowFormat::kTable;
}

int sql(const SqlOptions& options) {
  const auto reader = trace::Reader::open(options.file);
  if (!reader) return complain(reader.error().message);
  Output output;
  const auto writer = RowWriter::create(format_of(options.format),
                                        [&](std::string_view text) { return output.write(text); });
  bool writing = true;
  const auto done = (*reader)->query(
      options.query, [&](std::span<const std::string> names) { writing = writer->header(names); },
      [&](std::span<const trace::Cell> cells) {
        writing = writing && writer->row(cells);
        return writing;
      });
  // Rows that are not there cannot be seen to be missing.
  if (const auto condensed = analyzer::condensed_of(**reader);
      condensed && options.query.find("allocation") != std::string::npos) {
    complain("--max-size: " + analyzer::condensed_text(*condensed) +
             ": of them there is host_total and host_curve, and no row in allocation");
  }
  // What came before an error is written, so that the error stands after it.
  if (done && writing) writer->end();
  const int status = output.finish();
  return done ? status : complain(done.error().message);
}

}  // namespace

void add_sql(CLI::App& app, int& status) {
  const auto options = std::make_shared<SqlOptions>();
  CLI::App* command = app.add_subcommand(
      "sql", "Ask a trace in SQL, read-only: allocation, transfer, memset, kernel, process, …");
  command->add_option("FILE", options->file, "A trace")->required();
  command->add_option("QUERY", options->query, "One statement")->required();
  command->add_option("--format", options->format, "table, csv or json")
      ->check(CLI::IsMember({"table", "csv", "json"}))
      ->capture_default_str();
  command->footer(
      "Example:\n"
      "  tidemark sql train.db \"select layer, space, count(*), sum(size) from allocation\n"
      "                         group by layer, space\"");
  command->callback([options, &status] { status = sql(*options); });
}

}  // namespace tidemark::cli
