#include "tidemark/viewer/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "lifetime_ends.h"
#include "tidemark/analyzer/units.h"
#include "tidemark/viewer/details.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Half of the last digit that format_bytes shows.
uint64_t shown_slack(uint64_t bytes) {
  uint64_t unit = 1;
  while (unit < (uint64_t{1} << 50) && bytes / unit >= 1024) unit *= 1024;
  const uint64_t digits = bytes / unit;
  if (unit == 1) return 0;
  return digits >= 100 ? unit / 2 : digits >= 10 ? unit / 20 : unit / 200;
}

class Finder {
 public:
  Finder(const trace::Reader& reader, const SearchQuery& query) : reader_(reader), query_(query) {}

  bool matches(const trace::Allocation& row) {
    switch (query_.kind) {
      case SearchQuery::Kind::kWords:
        return stack_matches(row.alloc_stack);
      case SearchQuery::Kind::kSize:
        return row.size + query_.slack >= query_.value && row.size <= query_.value + query_.slack;
      case SearchQuery::Kind::kAtLeast:
        return row.size >= query_.value;
      case SearchQuery::Kind::kAtMost:
        return row.size <= query_.value;
      case SearchQuery::Kind::kAddress:
        return row.address <= query_.value && query_.value - row.address < row.size;
      case SearchQuery::Kind::kNothing:
        break;
    }
    return false;
  }

 private:
  bool stack_matches(trace::StackId stack) {
    const auto [known, fresh] = stacks_.try_emplace(stack, false);
    if (!fresh) return known->second;
    for (const trace::Frame& frame : reader_.frames(stack)) {
      if (lower(frame.function).find(query_.words) != std::string::npos ||
          lower(frame.file).find(query_.words) != std::string::npos ||
          lower(frame_place(frame)).find(query_.words) != std::string::npos) {
        return known->second = true;
      }
    }
    return false;
  }

  const trace::Reader& reader_;
  const SearchQuery& query_;
  std::unordered_map<trace::StackId, bool> stacks_;
};

bool larger(const trace::Allocation& a, const trace::Allocation& b) {
  return a.size != b.size ? a.size > b.size : a.id < b.id;
}

void add_operations(const Activity& activity, const SearchQuery& query, SearchAnswer* answer) {
  std::vector<char> wanted(activity.texts.size(), 0);
  for (size_t i = 0; i < wanted.size(); ++i) {
    wanted[i] = lower(activity.texts[i]).find(query.words) != std::string::npos ? 1 : 0;
  }
  for (const StreamTrack& stream : activity.streams) {
    for (const Slice& slice : stream.lane.slices()) {
      if (wanted[slice.name] == 0) continue;
      ++answer->found;
      if (answer->hits.size() >= 2 * kMostHits) continue;
      SearchHit hit{activity.text(slice), stream.name, 0, slice.begin_ns, slice.end_ns, {}};
      hit.choice.operation_kind = slice.kind;
      hit.choice.operation = slice.id;
      hit.choice.operation_ns = slice.begin_ns;
      answer->hits.push_back(std::move(hit));
    }
  }
}

}  // namespace

SearchQuery parse_search(std::string_view text) {
  text = trim(text);
  SearchQuery query;
  if (text.empty()) return query;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 2, end, query.value, 16);
    if (error == std::errc() && stop == end) {
      query.kind = SearchQuery::Kind::kAddress;
      return query;
    }
  }
  std::string_view number = text;
  query.kind = SearchQuery::Kind::kSize;
  if (text.front() == '>' || text.front() == '<') {
    query.kind = text.front() == '>' ? SearchQuery::Kind::kAtLeast : SearchQuery::Kind::kAtMost;
    number.remove_prefix(1);
    if (number.starts_with('=')) number.remove_prefix(1);
  }
  const auto size = analyzer::parse_size(std::string(trim(number)));
  if (size) {
    query.value = *size;
    query.slack = shown_slack(*size);
    return query;
  }
  query.kind = SearchQuery::Kind::kWords;
  query.words = lower(text);
  return query;
}

SearchAnswer search(const trace::Reader& reader, const Activity* activity,
                    const std::string& text) {
  SearchAnswer answer;
  const SearchQuery query = parse_search(text);
  if (query.kind == SearchQuery::Kind::kNothing) return answer;
  Finder finder(reader, query);
  std::vector<trace::Allocation> found;
  const auto read = reader.allocations({}, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (!finder.matches(row)) continue;
      ++answer.found;
      answer.found_bytes += row.size;
      found.push_back(row);
      if (found.size() < 4 * kMostHits) continue;
      std::nth_element(found.begin(), found.begin() + kMostHits, found.end(), larger);
      found.resize(kMostHits);
    }
  });
  if (!read) {
    answer.error = read.error().message;
    return answer;
  }
  std::sort(found.begin(), found.end(), larger);
  if (found.size() > kMostHits) found.resize(kMostHits);
  const LifetimeEnds ends(reader);
  std::unordered_map<trace::StackId, std::string> captions;
  for (const trace::Allocation& row : found) {
    std::string& caption = captions[row.alloc_stack];
    if (caption.empty()) caption = read_stack(reader, row.alloc_stack)->caption;
    SearchHit hit{caption,          analyzer::series_text(series_of(row)),
                  row.size,         row.alloc_ns,
                  ends.end_ns(row), {}};
    hit.choice.block = row.id;
    hit.choice.block_series = series_of(row);
    hit.choice.block_ns = row.alloc_ns;
    answer.hits.push_back(std::move(hit));
  }
  if (activity != nullptr && query.kind == SearchQuery::Kind::kWords) {
    add_operations(*activity, query, &answer);
  }
  return answer;
}

}  // namespace tidemark::viewer
