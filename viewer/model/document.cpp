#include "tidemark/viewer/document.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "tidemark/analyzer/text.h"

namespace tidemark::viewer {
namespace {

using analyzer::Series;
using analyzer::UsageCurve;
using analyzer::UsagePoint;

// Lower is nearer to the top of the window.
int rank(const Series& series) {
  switch (series.layer) {
    case trace::Layer::kPool:
      return 0;
    case trace::Layer::kDriver:
      return series.space == trace::Space::kDevice    ? 1
             : series.space == trace::Space::kManaged ? 2
                                                      : 3;
    case trace::Layer::kHeap:
      return 4;
    case trace::Layer::kOs:
      return 5;
  }
  return 6;
}

bool more_telling(const Track& a, const Track& b) {
  const Series& x = a.curve.series;
  const Series& y = b.curve.series;
  return std::tuple(rank(x), x) < std::tuple(rank(y), y);
}

Summary summarize(const trace::Reader& reader, const std::vector<UsageCurve>& curves) {
  Summary summary;
  summary.path = reader.path();
  summary.span_ns = reader.end_ns();
  summary.finished = reader.finished();
  summary.threads = reader.threads().size();
  for (const trace::Process& process : reader.processes()) {
    if (summary.processes++ == 0) summary.command = analyzer::printable(process.command);
    const bool known = process.exit != std::numeric_limits<int32_t>::min();
    if (known && process.exit != 0) ++summary.failed_processes;
  }
  for (const UsageCurve& curve : curves) summary.allocations += curve.allocations;
  for (const trace::Loss& loss : reader.losses()) {
    if (loss.count == 0) continue;
    summary.losses.push_back({analyzer::printable(loss.name), loss.severity, loss.count});
  }
  std::stable_sort(summary.losses.begin(), summary.losses.end(),
                   [](const auto& a, const auto& b) { return a.severity > b.severity; });
  return summary;
}

}  // namespace

Track::Track(UsageCurve usage)
    : name(analyzer::series_text(usage.series)),
      curve(std::move(usage)),
      pyramid(curve.points),
      top_bytes(curve.peak_bytes) {}

const Track* Document::find(const Series& series) const {
  const auto found = std::find_if(tracks.begin(), tracks.end(),
                                  [&](const Track& t) { return t.curve.series == series; });
  return found == tracks.end() ? nullptr : &*found;
}

std::vector<UsagePoint> reserved_curve(const std::vector<trace::PoolReserved>& samples,
                                       const std::vector<trace::Process>& processes,
                                       int16_t device) {
  struct Change {
    int64_t time_ns;
    trace::ProcessId process;
    int64_t bytes;
  };
  std::vector<Change> changes;
  for (const trace::PoolReserved& sample : samples) {
    if (sample.device != device) continue;
    const uint64_t capped = std::min<uint64_t>(sample.reserved_bytes, INT64_MAX / 1024);
    changes.push_back({sample.time_ns, sample.process, static_cast<int64_t>(capped)});
  }
  if (changes.empty()) return {};
  for (const trace::Process& process : processes) {
    if (process.end_ns != trace::kNever) changes.push_back({process.end_ns, process.id, 0});
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& a, const Change& b) { return a.time_ns < b.time_ns; });

  std::map<trace::ProcessId, int64_t> held;
  std::vector<UsagePoint> points;
  int64_t sum = 0;
  for (const Change& change : changes) {
    int64_t& mine = held[change.process];
    sum += change.bytes - mine;
    mine = change.bytes;
    if (!points.empty() && points.back().time_ns == change.time_ns) points.pop_back();
    if (points.empty() ? sum != 0 : points.back().bytes != sum) {
      points.push_back({change.time_ns, sum});
    }
  }
  return points;
}

Result<Document> make_document(const trace::Reader& reader, std::vector<UsageCurve> curves) {
  const auto samples = reader.pool_reserved();
  if (!samples) return tl::unexpected(samples.error());

  Document document;
  document.summary = summarize(reader, curves);
  document.processes = reader.processes();
  document.end_ns = std::max<int64_t>(reader.end_ns(), 1);
  document.tracks.reserve(curves.size());
  for (UsageCurve& curve : curves) {
    if (!curve.points.empty()) {
      document.begin_ns = std::min(document.begin_ns, curve.points.front().time_ns);
      document.end_ns = std::max(document.end_ns, curve.points.back().time_ns + 1);
    }
    Track track(std::move(curve));
    const Series& series = track.curve.series;
    if (series.layer == trace::Layer::kPool && series.space == trace::Space::kDevice) {
      track.reserved = reserved_curve(*samples, reader.processes(), series.device);
      track.reserved_pyramid = PeakPyramid(track.reserved);
      for (const UsagePoint& point : track.reserved) {
        track.reserved_peak_bytes = std::max(track.reserved_peak_bytes, point.bytes);
      }
      track.top_bytes = std::max(track.top_bytes, track.reserved_peak_bytes);
    }
    document.tracks.push_back(std::move(track));
  }
  std::stable_sort(document.tracks.begin(), document.tracks.end(), more_telling);
  return document;
}

Result<Document> load_document(const trace::Reader& reader) {
  auto curves = analyzer::usage_curves(reader);
  if (!curves) return tl::unexpected(curves.error());
  return make_document(reader, std::move(*curves));
}

}  // namespace tidemark::viewer
