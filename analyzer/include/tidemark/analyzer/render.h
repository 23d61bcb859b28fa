// The faces of a Report. Pure: values in, text out; any thread.
#pragma once

#include <string>

#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {

// For a terminal of 100 columns; ends with a newline. Nothing in it can steer a terminal.
std::string report_text(const Report& report);
// The short form: no stacks.
std::string info_text(const Report& report);

// All of the advice by technique, with why: what `report --advice` prints.
std::string techniques_in_full(const Report& report);

// For a pull request: peak, categories, lines, what to change. Ends with a newline; no name in a
// trace is markup.
std::string report_markdown(const Report& report);

// Indented, ends with a newline; written down in analyzer/FORMAT.md.
std::string report_json(const Report& report);
std::string info_json(const Report& report);

// One file that needs no other and no network: the same JSON, and a page that draws it. Made of a
// report with details (ReportOptions::detail); without them it has no timeline and no stacks.
std::string report_html(const Report& report);

// "exit 0", "exit 139 (SIGSEGV)", "end not seen" for a process that outlived the recording,
// "ended" when only its status is unknown.
std::string exit_text(const ProcessLine& line);

}  // namespace tidemark::analyzer
