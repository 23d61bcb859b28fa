// The same bytes copied more than once: again to the device, to the host and back, or into two
// blocks that live side by side.
//
//   host buffer --copy--> block A     copied again before the host could have written other bytes
//        |------copy again----> A     repeated copy, or, into block B beside A: a duplicate
//
// A trace holds no contents. But whoever fills a buffer anew needs time for it: what is copied from
// the same place sooner than a host can write so much is the same.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "findings_parts.h"
#include "lifetimes.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using trace::AllocationId;
using trace::Transfer;
using trace::TransferKind;

// Below this a buffer is rewritten before a gap can be told from noise.
constexpr uint64_t kLeastBytes = uint64_t{64} << 10;
// No host thread writes faster.
constexpr double kHostBytesPerNs = 25;
constexpr uint64_t kSeveralCopies = 4;

// Where a copy's host side lies.
struct Place {
  trace::ProcessId process{};
  uint64_t address = 0;
  uint64_t bytes = 0;
  auto operator<=>(const Place&) const = default;
};

bool too_soon_to_rewrite(const Transfer& before, const Transfer& after) {
  const int64_t gap = between(before.end_ns, after.start_ns);
  return before.end_ns <= after.start_ns &&
         static_cast<double>(gap) * kHostBytesPerNs < static_cast<double>(after.bytes);
}

// Copies of one line that were not needed.
struct Repeated {
  CodeLine line;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double time_ns = 0;
  Example first;
};
using RepeatedLines = std::map<std::string, Repeated>;

// A block that was filled with what another already held.
struct Twin {
  AllocationId block{};
  AllocationId other{};
};

class Copies {
 public:
  explicit Copies(const Search& search) : search_(search) {}

  Result<void> read() {
    std::vector<Transfer> rows;
    auto read = search_.reader.transfers([&](std::span<const Transfer> batch) {
      for (const Transfer& row : batch) {
        const bool host = row.kind == TransferKind::kHtoD || row.kind == TransferKind::kDtoH;
        if (host && row.bytes >= kLeastBytes && row.end_ns > row.start_ns) rows.push_back(row);
      }
    });
    if (!read) return read;
    std::ranges::stable_sort(rows, {}, &Transfer::start_ns);
    for (const Transfer& row : rows) add(row);
    return {};
  }

  const std::vector<Twin>& twins() const { return twins_; }

  // Of each device.
  const std::map<int16_t, RepeatedLines>& repeated() const { return repeated_; }
  const std::map<int16_t, RepeatedLines>& round_trips() const { return round_trips_; }
  int64_t span_ns() const { return between(first_ns_, last_ns_); }

 private:
  void add(const Transfer& row) {
    first_ns_ = std::min(first_ns_, row.start_ns);
    last_ns_ = std::max(last_ns_, row.end_ns);
    const bool to_device = row.kind == TransferKind::kHtoD;
    const uint64_t address = to_device ? row.src_address : row.dst_address;
    if (address == 0) return;
    const Place place{row.process, address, row.bytes};
    if (to_device) {
      if (const auto out = from_device_.find(place); out != from_device_.end()) {
        if (too_soon_to_rewrite(out->second, row)) {
          count(round_trips_, row, time_of(out->second) + time_of(row));
        }
      }
      if (const auto before = to_device_.find(place); before != to_device_.end()) {
        again(before->second, row);
      }
      to_device_.insert_or_assign(place, row);
    } else {
      from_device_.insert_or_assign(place, row);
      to_device_.erase(place);
    }
  }

  void again(const Transfer& before, const Transfer& row) {
    if (!too_soon_to_rewrite(before, row)) return;
    const AllocationId none{};
    const bool elsewhere = before.dst_allocation != row.dst_allocation;
    if (elsewhere && before.dst_allocation != none && row.dst_allocation != none) {
      twins_.push_back({row.dst_allocation, before.dst_allocation});
    } else if (before.dst_address == row.dst_address) {
      count(repeated_, row, time_of(row));
    }
  }

  static double time_of(const Transfer& row) {
    return static_cast<double>(between(row.start_ns, row.end_ns));
  }

  void count(std::map<int16_t, RepeatedLines>& all, const Transfer& row, double time_ns) {
    const auto [known, fresh] = known_.try_emplace(row.stack);
    if (fresh) known->second = code_line(search_.reader.frames(row.stack));
    Repeated& line = all[row.device][known->second.file + known->second.name];
    line.line = known->second;
    if (line.count == 0) line.first = {{}, row.start_ns, row.end_ns};
    line.bytes += row.bytes;
    ++line.count;
    line.time_ns += time_ns;
  }

  const Search& search_;
  std::map<Place, Transfer> to_device_;  // the last from each place
  std::map<Place, Transfer> from_device_;
  std::vector<Twin> twins_;
  std::map<int16_t, RepeatedLines> repeated_;
  std::map<int16_t, RepeatedLines> round_trips_;
  std::map<trace::StackId, CodeLine> known_;
  int64_t first_ns_ = trace::kNever;
  int64_t last_ns_ = 0;
};

void say(Pattern pattern, const std::map<int16_t, RepeatedLines>& devices, int64_t span_ns,
         const char* evidence, const char* mend, std::vector<Finding>& findings) {
  for (const auto& [device, lines] : devices) {
    for (const auto& [where, line] : lines) {
      if (line.count < kSeveralCopies) continue;
      if (line.time_ns * kLeastShare < static_cast<double>(span_ns)) continue;
      Finding finding;
      finding.pattern = pattern;
      finding.series = {trace::Layer::kDriver, trace::Space::kDevice, device};
      finding.bytes = line.bytes;
      finding.count = line.count;
      finding.seconds = line.time_ns / kNsPerSecond;
      set_place(finding, line.line);
      finding.example = line.first;
      finding.evidence =
          fmt::format("{} each, {}: the host had no time to write so much in between",
                      format_bytes(line.bytes / line.count), evidence);
      finding.mend = mend;
      findings.push_back(std::move(finding));
    }
  }
}

// Twins of which both lived at the peak, by the line that asked for the second.
using Duplicates = std::vector<std::pair<const UsageCurve*, std::map<std::string, Group>>>;

Result<Duplicates> duplicates(const Search& search, const std::vector<Twin>& twins) {
  Duplicates found;
  const Lifetimes lifetimes(search.reader);
  for (const UsageCurve& curve : search.curves) {
    const bool looked_at = curve.series.space == trace::Space::kDevice && curve.peak_bytes > 0;
    if (!looked_at || search.pool_inside(curve.series)) continue;
    std::unordered_map<int64_t, trace::Allocation> at_peak;
    trace::AllocationFilter filter = filter_for(curve.series);
    filter.begin_ns = curve.peak_ns;
    filter.end_ns = curve.peak_ns + 1;
    auto read = search.reader.allocations(filter, [&](std::span<const trace::Allocation> batch) {
      for (const trace::Allocation& row : batch) {
        if (lifetimes.end_ns(row) > curve.peak_ns) at_peak[static_cast<int64_t>(row.id)] = row;
      }
    });
    if (!read) return tl::unexpected(read.error());
    std::map<std::string, Group> groups;
    std::map<AllocationId, bool> told;
    for (const Twin& twin : twins) {
      const auto block = at_peak.find(static_cast<int64_t>(twin.block));
      const auto other = at_peak.find(static_cast<int64_t>(twin.other));
      if (block == at_peak.end() || other == at_peak.end()) continue;
      if (block->second.size != other->second.size || !told.try_emplace(twin.block).second) {
        continue;
      }
      CodeLine line = code_line(search.reader.frames(block->second.alloc_stack));
      Group& group = groups[line.file + line.name];
      group.line = std::move(line);
      group.add(block->second, block->second.alloc_ns, lifetimes.end_ns(block->second),
                search.reader.end_ns());
    }
    found.emplace_back(&curve, std::move(groups));
  }
  return found;
}

}  // namespace

Result<void> find_same_bytes(const Search& search, std::vector<Finding>& findings) {
  Copies copies(search);
  if (auto read = copies.read(); !read) return read;
  say(Pattern::kRepeatedCopies, copies.repeated(), copies.span_ns(),
      "from the same place of the host to the same of the device",
      "copy it once, and again only when the host has changed it", findings);
  say(Pattern::kRoundTrips, copies.round_trips(), copies.span_ns(),
      "copied to the host right before, and back from the same place",
      "leave it on the device, or copy it within the device", findings);
  if (copies.twins().empty()) return {};
  const auto found = duplicates(search, copies.twins());
  if (!found) return tl::unexpected(found.error());
  for (const auto& [curve, groups] : *found) {
    for (const auto& [where, group] : groups) {
      Finding finding = finding_of(Pattern::kDuplicate, *curve, group);
      if (!lowers_peak(finding)) continue;
      finding.evidence =
          "as large as another block that lived beside it at the peak, and filled with the same "
          "bytes of the host, which had no time to write others in between";
      finding.mend = "hand the first block to whoever reads the second";
      findings.push_back(std::move(finding));
    }
  }
  return {};
}

}  // namespace tidemark::analyzer
