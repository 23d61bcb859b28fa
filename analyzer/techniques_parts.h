// The families of advice, a file each, and what they share. Private to the analyzer. Pure.
#pragma once

#include "tidemark/analyzer/report.h"
#include "tidemark/analyzer/schedule.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

// What the families look at. Everything of `report` but the advice is there.
struct TechniqueSearch {
  const trace::Reader& reader;
  const Report& report;
  TechniqueAdvice& advice;
  const SeriesReport* line = nullptr;  // of advice.series
  const Schedule* schedule = nullptr;  // nullptr: nothing is replayed
  std::string space_option;            // " --space host": what whatif must be told; "": nothing

  // Bytes of a category at the peak.
  [[nodiscard]] uint64_t bytes_of(Category category) const;
  // "2.41 GiB (52.0 %) of the peak"
  [[nodiscard]] std::string share_of_peak(uint64_t bytes) const;
  [[nodiscard]] std::string whatif(const std::string& options) const;
  // A line that applies where it wins enough of bytes or of seconds. `beside_whole`: what its
  // beside_bytes are a part of. `told`: a finding says that it is worth it.
  void add(TechniqueLine line, uint64_t beside_whole = 0, bool told = false) const;
};

// By replay: batch, accumulation, checkpointing, pruning, quantization, mixed precision, low rank,
// sharding, allocator.
void advise_by_replay(const TechniqueSearch& search);
// By copies and kernels: pinning, caching, asynchronous loading, hardware.
void advise_by_work(const TechniqueSearch& search);
// By what processes hold: data structures, mapping of files.
void advise_by_host(const TechniqueSearch& search);

}  // namespace tidemark::analyzer
