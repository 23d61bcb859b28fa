// Usage over time: for each series (a layer of a space) how many bytes were live, exactly, at every
// moment. Pure: reads through trace::Reader, keeps nothing, no clock. Any thread that owns the
// Reader.
//
// Layers of one space nest (heap in os, pool in driver), so series are never added to each other.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

// What is summed together. Over all processes of the recording.
struct Series {
  trace::Layer layer{};
  trace::Space space{};
  int16_t device = trace::kNoDevice;                // only for Space::kDevice
  auto operator<=>(const Series&) const = default;  // NOLINT(modernize-use-nullptr): false
};

// "host", "pinned", "managed", "device:0": the names that --space and JSON use.
std::string space_text(const Series& series);
// "pool device:0", "heap host": for people.
std::string series_text(const Series& series);

struct UsagePoint {
  int64_t time_ns = 0;  // strictly ascending
  int64_t bytes = 0;    // live from this moment until the next point's
};

struct UsageCurve {
  Series series;
  // One per moment at which the sum changed; before Condensed::until_ns fewer, but each maximum.
  std::vector<UsagePoint> points;
  int64_t peak_bytes = 0;
  int64_t peak_ns = 0;  // the first moment at which peak_bytes was reached
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;  // the sum of all sizes, ever
};

// All series that occur, in the order of Series. At one instant frees count before allocations, so
// a block that is given back and taken again in the same nanosecond makes no false peak.
[[nodiscard]] Result<std::vector<UsageCurve>> usage_curves(const trace::Reader& reader);
// The same for whoever asks for peaks and totals only: points may be left out.
[[nodiscard]] Result<std::vector<UsageCurve>> usage_peaks(const trace::Reader& reader);

// Host allocations that were summed up while recording to keep the trace small (--max-size): before
// `until_ns` only what lived longer has rows. kNever: there are no rows at all.
struct Condensed {
  int64_t until_ns = 0;
  uint64_t allocations = 0;  // that have no row
};
[[nodiscard]] std::optional<Condensed> condensed_of(const trace::Reader& reader);
// "1,234 host allocations that were over before 1.234 s are summed up".
std::string condensed_text(const Condensed& condensed);

// Bytes live at `time_ns`: alloc_ns <= time_ns < free_ns. 0 before the first point.
int64_t bytes_at(const UsageCurve& curve, int64_t time_ns);

}  // namespace tidemark::analyzer
