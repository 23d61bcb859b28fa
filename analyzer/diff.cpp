#include "tidemark/analyzer/diff.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "names.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kKeys = 2;

// One owner on one side, with the names by which the other side's is looked for, strictest first.
struct Owner {
  DiffRow row;  // one side of it filled
  std::string keys[kKeys];
};

void add_up(DiffRow& sum, const DiffRow& row) {
  sum.bytes_before += row.bytes_before;
  sum.bytes_after += row.bytes_after;
  sum.count_before += row.count_before;
  sum.count_after += row.count_after;
}

struct Pile {
  std::vector<Owner> before;
  std::vector<Owner> after;
};

// Owners of one key are one row when both sides have some; those that only one side has are left
// over for the next key.
Pile pair_up(Pile pile, size_t key, std::vector<DiffRow>& rows) {
  std::map<std::string, Pile> by_key;
  for (Owner& owner : pile.before) by_key[owner.keys[key]].before.push_back(std::move(owner));
  for (Owner& owner : pile.after) by_key[owner.keys[key]].after.push_back(std::move(owner));
  Pile left;
  for (auto& [text, both] : by_key) {
    if (both.before.empty() || both.after.empty()) {
      std::move(both.before.begin(), both.before.end(), std::back_inserter(left.before));
      std::move(both.after.begin(), both.after.end(), std::back_inserter(left.after));
      continue;
    }
    DiffRow row = std::move(both.after.front().row);
    for (size_t i = 1; i < both.after.size(); ++i) add_up(row, both.after[i].row);
    for (const Owner& owner : both.before) add_up(row, owner.row);
    rows.push_back(std::move(row));
  }
  return left;
}

std::vector<DiffRow> aligned(Pile pile) {
  std::vector<DiffRow> rows;
  for (size_t key = 0; key < kKeys; ++key) pile = pair_up(std::move(pile), key, rows);
  for (Owner& owner : pile.before) rows.push_back(std::move(owner.row));
  for (Owner& owner : pile.after) rows.push_back(std::move(owner.row));
  std::stable_sort(rows.begin(), rows.end(), larger_change);
  return rows;
}

struct Sum {
  uint64_t bytes = 0;
  uint64_t count = 0;
};

// Which side of a row a sum belongs to.
enum class Side : uint8_t { kBefore, kAfter };

Owner owner_of(Side side, const Sum& sum) {
  Owner owner;
  (side == Side::kBefore ? owner.row.bytes_before : owner.row.bytes_after) = sum.bytes;
  (side == Side::kBefore ? owner.row.count_before : owner.row.count_after) = sum.count;
  return owner;
}

std::map<int32_t, Sum> sums_by(const SeriesReport& line, int32_t PeakRow::*number) {
  std::map<int32_t, Sum> sums;
  for (const PeakRow& row : line.detail->peak.rows) {
    Sum& sum = sums[row.*number];
    sum.bytes += row.bytes;
    sum.count += row.count;
  }
  return sums;
}

std::vector<Owner> categories_of(const SeriesReport& line, Side side) {
  std::vector<Owner> owners;
  for (const CategoryBytes& category : line.categories) {
    Owner owner = owner_of(side, {static_cast<uint64_t>(std::max<int64_t>(category.bytes, 0)), 0});
    owner.row.name = category.category;
    for (std::string& key : owner.keys) key = category.category;
    owners.push_back(std::move(owner));
  }
  return owners;
}

// "train.py:63 train" is "train.py train" wherever its lines have moved to.
std::vector<Owner> lines_of(const SeriesReport& line, Side side) {
  std::vector<Owner> owners;
  for (const auto& [number, sum] : sums_by(line, &PeakRow::line)) {
    Owner owner = owner_of(side, sum);
    if (number >= 0) {
      const PeakLine& code = line.detail->peak.lines[static_cast<size_t>(number)];
      owner.row.name = code.name;
      owner.row.file = code.file;
      owner.row.line = code.line;
      owner.keys[0] = code.name;
      const size_t space = code.line > 0 ? code.name.find(' ') : std::string::npos;
      owner.keys[1] = space == std::string::npos
                          ? code.name
                          : std::string(base_name(code.file)) + code.name.substr(space);
    }
    owners.push_back(std::move(owner));
  }
  return owners;
}

std::vector<Owner> layers_of(const SeriesReport& line, Side side) {
  std::vector<Owner> owners;
  for (const auto& [number, sum] : sums_by(line, &PeakRow::layer)) {
    Owner owner = owner_of(side, sum);
    if (number >= 0) {
      const ModelLayer& layer = line.detail->peak.layers[static_cast<size_t>(number)];
      owner.row.name = layer.path;
      owner.row.file = layer.file;
      for (std::string& key : owner.keys) key = layer.path;
    }
    owners.push_back(std::move(owner));
  }
  return owners;
}

std::vector<Owner> stacks_of(const SeriesReport& line, Side side) {
  std::vector<Owner> owners;
  for (const auto& [number, sum] : sums_by(line, &PeakRow::stack)) {
    Owner owner = owner_of(side, sum);
    if (number >= 0) {
      owner.row.stack = line.detail->peak.stacks[static_cast<size_t>(number)];
      for (const StackLine& shown : owner.row.stack.lines) {
        const trace::Frame& frame = shown.frame;
        const std::string place(base_name(frame.file.empty() ? frame.module : frame.file));
        owner.keys[0] += frame.function + '\n' + place + ':' + std::to_string(frame.line) + '\n';
        owner.keys[1] += frame.function + '\n' + place + '\n';
      }
    } else {
      owner.row.name = "stacks that each hold less";
      for (std::string& key : owner.keys) key = owner.row.name;
    }
    owners.push_back(std::move(owner));
  }
  return owners;
}

using OwnersOf = std::vector<Owner>(const SeriesReport&, Side);

std::vector<DiffRow> rows_of(const SeriesReport* before, const SeriesReport* after, OwnersOf* of) {
  Pile pile;
  if (before != nullptr && before->detail) pile.before = of(*before, Side::kBefore);
  if (after != nullptr && after->detail) pile.after = of(*after, Side::kAfter);
  return aligned(std::move(pile));
}

std::optional<SeriesPeak> peak_of(const SeriesReport* line) {
  if (line == nullptr) return std::nullopt;
  SeriesPeak peak{line->peak_bytes, line->peak_ns, -1, Phase::kOther};
  if (line->cause) {
    peak.iteration = line->cause->iteration;
    peak.phase = line->cause->phase;
  }
  return peak;
}

const SeriesReport* series_in(const Report& report, const Series& series) {
  for (const SeriesReport& line : report.series) {
    if (line.series == series) return &line;
  }
  return nullptr;
}

ReportDiff::Side side_of(const Report& report) {
  return {report.path, report.command, report.span_ns, report.remarks};
}

}  // namespace

bool larger_change(const DiffRow& a, const DiffRow& b) {
  return std::abs(a.change()) > std::abs(b.change());
}

ReportOptions diff_options() {
  ReportOptions options;
  options.stacks = 0;
  options.detail = DetailLimits{.rows = 100'000, .samples = 1};
  return options;
}

ReportDiff diff(const Report& before, const Report& after) {
  ReportDiff result{side_of(before), side_of(after), {}};
  std::set<Series> all;
  for (const Report* report : {&before, &after}) {
    for (const SeriesReport& line : report->series) all.insert(line.series);
  }
  for (const Series& series : all) {
    const SeriesReport* one = series_in(before, series);
    const SeriesReport* other = series_in(after, series);
    SeriesDiff line;
    line.series = series;
    line.before = peak_of(one);
    line.after = peak_of(other);
    line.categories = rows_of(one, other, categories_of);
    line.lines = rows_of(one, other, lines_of);
    line.layers = rows_of(one, other, layers_of);
    line.stacks = rows_of(one, other, stacks_of);
    result.series.push_back(std::move(line));
  }
  return result;
}

}  // namespace tidemark::analyzer
