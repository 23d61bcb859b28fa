// One trace as the panels show it: tracks with their pyramids, and what the header says. Built
// once, then immutable; any thread may read it. Owns its data; the Reader is not needed afterwards.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tidemark/analyzer/usage.h"
#include "tidemark/viewer/pyramid.h"

namespace tidemark::viewer {

// A step curve that can be asked at any zoom. Moves, because the pyramid points into the curve.
struct Track {
  explicit Track(analyzer::UsageCurve usage);
  Track(Track&&) = default;
  Track& operator=(Track&&) = default;

  std::string name;  // series_text
  analyzer::UsageCurve curve;
  PeakPyramid pyramid;
  // Only for a framework's pool: what it held from the driver.
  std::vector<analyzer::UsagePoint> reserved;
  PeakPyramid reserved_pyramid;
  int64_t reserved_peak_bytes = 0;
  int64_t top_bytes = 0;  // the highest value of all its lines
};

struct Summary {
  std::string path;
  std::string command;  // of the first process
  int64_t span_ns = 0;
  size_t processes = 0;
  size_t failed_processes = 0;  // ended with a status other than 0
  size_t threads = 0;
  bool finished = true;
  uint64_t allocations = 0;
  std::vector<trace::Loss> losses;  // worst first; none with count 0
};

struct Document {
  Summary summary;
  std::vector<trace::Process> processes;
  std::vector<Track> tracks;  // the most telling first: pool, driver, managed, pinned, heap, os
  int64_t begin_ns = 0;
  int64_t end_ns = 1;

  const Track* find(const analyzer::Series& series) const;
  // Whose peak the viewer opens at; nothing when nothing was recorded.
  const Track* most_telling() const { return tracks.empty() ? nullptr : &tracks.front(); }
};

// Errors: what the Reader says.
[[nodiscard]] Result<Document> load_document(const trace::Reader& reader);
// The same from curves that are already there.
[[nodiscard]] Result<Document> make_document(const trace::Reader& reader,
                                             std::vector<analyzer::UsageCurve> curves);

// The sum over processes of what their pools on `device` held; a pool ends with its process.
std::vector<analyzer::UsagePoint> reserved_curve(const std::vector<trace::PoolReserved>& samples,
                                                 const std::vector<trace::Process>& processes,
                                                 int16_t device);

}  // namespace tidemark::viewer
