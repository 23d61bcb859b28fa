// The parts of build_report(), one per subject. Private to the analyzer.
#pragma once

#include <string>

#include "tidemark/analyzer/live.h"
#include "tidemark/analyzer/report.h"

namespace tidemark::analyzer {

struct FirstPass;

// Takes the pass's ends.
Result<void> add_series(const trace::Reader& reader, FirstPass& pass, const ReportOptions& options,
                        Report& report);
// Iterations, categories, culprits; after add_series, of the same curves.
Result<void> add_structure(const trace::Reader& reader, const FirstPass& pass,
                           const ReportOptions& options, Report& report);
// After add_structure: adds to its findings.
Result<void> add_process_memory(const trace::Reader& reader, const FirstPass& pass,
                                const ReportOptions& options, Report& report);
Result<void> add_pools(const trace::Reader& reader, Report& report);  // after add_series
Result<void> add_device(const trace::Reader& reader, const ReportOptions& options, Report& report);
Result<void> add_accesses(const trace::Reader& reader, Report& report);
Result<void> add_device_memory(const trace::Reader& reader, Report& report);
// The driver's pools, managed pages, and what other processes share.
Result<void> add_driver_memory(const trace::Reader& reader, Report& report);
Result<void> add_power(const trace::Reader& reader, Report& report);  // after add_structure
// The program's number of the device on `bus`; kNoDevice: it has told none.
int16_t device_on(const trace::Reader& reader, const std::string& bus);
Result<void> add_out_of_memory(const trace::Reader& reader, const ReportOptions& options,
                               Report& report);
Result<void> add_ranks(const trace::Reader& reader, Report& report);  // after add_process_memory
Result<void> add_window(const trace::Reader& reader, Report& report);
StackShares shares_of(const trace::Reader& reader, const LiveSet& set,
                      const ReportOptions& options);
std::string window_remark(const WindowReport& window);
std::vector<ProcessLine> process_tree(const trace::Reader& reader);
void add_remarks(const trace::Reader& reader, Report& report);  // last

// Times of a trace are untrusted: a negative duration counts as none, a sum stops at its largest.
inline void add_duration(int64_t& sum, int64_t start_ns, int64_t end_ns) {
  if (end_ns <= start_ns) return;
  int64_t duration = 0;
  if (__builtin_sub_overflow(end_ns, start_ns, &duration) ||
      __builtin_add_overflow(sum, duration, &sum)) {
    sum = std::numeric_limits<int64_t>::max();
  }
}

// After all of the others: what they say is what is advised of.
Result<void> add_techniques(const trace::Reader& reader, AdviceDepth depth, Report& report);

// After series and device memory.
void add_fits(Report& report);

}  // namespace tidemark::analyzer
