// A second trace beside the first: its curves, moved so that both begin together, and what differs.
// Immutable after building; any thread may read it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tidemark/viewer/document.h"

namespace tidemark::viewer {

struct ComparedSeries {
  analyzer::Series series;
  std::string name;
  int64_t peak_bytes = 0;        // of the first; 0 where it has no such series
  int64_t other_peak_bytes = 0;  // of the second
  int64_t difference() const { return other_peak_bytes - peak_bytes; }
};

struct Comparison {
  std::string path;                          // of the second trace
  std::shared_ptr<const Document> document;  // its curves
  // Added to a time of the second trace: where its most telling series begins, that of the first
  // does.
  int64_t shift_ns = 0;
  std::vector<ComparedSeries> series;  // as in the first document, then what only the second has

  const Track* find(const analyzer::Series& series) const;
};

Comparison compare(const Document& document, std::shared_ptr<const Document> other);

}  // namespace tidemark::viewer
