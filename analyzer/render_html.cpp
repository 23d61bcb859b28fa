// The page: what it shows as JSON, put into the page's files (html/).
#include <map>

#include "json_parts.h"
#include "page_files.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

// Inside <script> only "<" could end or open anything; JSON writes it in another way.
std::string for_script(std::string_view json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string for_markup(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '&':
        safe += "&amp;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

// A first value, then steps: digits are what the page is made of.
Json steps(const std::vector<int64_t>& values) {
  Json list = Json::array();
  int64_t before = 0;
  for (const int64_t value : values) {
    // Sums of bytes and times of one trace: differences may wrap in a damaged one.
    list.push_back(
        static_cast<int64_t>(static_cast<uint64_t>(value) - static_cast<uint64_t>(before)));
    before = value;
  }
  return list;
}

Json timeline(const Timeline& line) {
  Json categories = Json::array();
  for (const Category category : line.categories) categories.push_back(to_string(category));
  Json bytes = Json::array();
  for (const std::vector<int64_t>& values : line.bytes) bytes.push_back(steps(values));
  return {{"column_ns", line.column_ns},
          {"times_ns", steps(line.times_ns)},
          {"categories", categories},
          {"bytes", bytes}};
}

const char* role_name(FrameRole role) {
  switch (role) {
    case FrameRole::kUser:
      return "user";
    case FrameRole::kLibrary:
      return "library";
    default:
      return "internal";
  }
}

// Frames of all spaces, each once.
class Frames {
 public:
  size_t number(const StackLine& line) {
    Json frame = {line.frame.function,
                  line.frame.file,
                  line.frame.line,
                  line.frame.module,
                  trace::to_string(line.frame.kind),
                  role_name(line.role)};
    const auto [found, fresh] = numbers_.try_emplace(
        frame.dump(-1, ' ', false, Json::error_handler_t::replace), numbers_.size());
    if (fresh) list_.push_back(std::move(frame));
    return found->second;
  }
  Json take() { return std::move(list_); }

 private:
  std::map<std::string, size_t> numbers_;
  Json list_ = Json::array();
};

// Stacks as the tree that they are: a node is a frame beneath its caller, whose number is smaller.
class StackTree {
 public:
  explicit StackTree(Frames& frames) : frames_(frames) {}

  // The node of its innermost frame; -1: a stack without frames.
  int32_t add(const StackView& stack) {
    int32_t node = -1;
    for (auto line = stack.lines.rbegin(); line != stack.lines.rend(); ++line) {
      const size_t frame = frames_.number(*line);
      const auto [found, fresh] =
          nodes_.try_emplace({node, frame}, static_cast<int32_t>(nodes_.size()));
      if (fresh) {
        parents_.push_back(node);
        node_frames_.push_back(frame);
      }
      node = found->second;
    }
    return node;
  }
  Json take() { return {{"parent", std::move(parents_)}, {"frame", std::move(node_frames_)}}; }

 private:
  Frames& frames_;
  std::map<std::pair<int32_t, size_t>, int32_t> nodes_;
  Json parents_ = Json::array();
  Json node_frames_ = Json::array();
};

Json rows(const std::vector<PeakRow>& list) {
  Json columns = {{"stack", Json::array()},    {"line", Json::array()},  {"layer", Json::array()},
                  {"category", Json::array()}, {"bytes", Json::array()}, {"count", Json::array()}};
  for (const PeakRow& row : list) {
    columns["stack"].push_back(row.stack);
    columns["line"].push_back(row.line);
    columns["layer"].push_back(row.layer);
    columns["category"].push_back(to_string(row.category));
    columns["bytes"].push_back(row.bytes);
    columns["count"].push_back(row.count);
  }
  return columns;
}

Json space(const SeriesReport& line, Frames& frames) {
  static const SeriesDetail none;
  const SeriesDetail& detail = line.detail ? *line.detail : none;
  StackTree tree(frames);
  Json stacks = Json::array();
  for (const StackView& stack : detail.peak.stacks) stacks.push_back(tree.add(stack));
  Json lines = Json::array();
  for (const PeakLine& code : detail.peak.lines) {
    lines.push_back({{"name", code.name}, {"file", code.file}, {"line", code.line}});
  }
  Json layers = Json::array();
  for (const ModelLayer& layer : detail.peak.layers) {
    layers.push_back({{"name", layer.name}, {"path", layer.path}, {"parent", layer.parent}});
  }
  return {{"timeline", timeline(detail.timeline)},
          {"by_category", detail.peak.by_category},
          {"rows", rows(detail.peak.rows)},
          {"lines", std::move(lines)},
          {"layers", std::move(layers)},
          {"stacks", std::move(stacks)},
          {"nodes", tree.take()}};
}

std::string detail_json(const Report& report) {
  Frames frames;
  Json list = Json::array();
  for (const SeriesReport& line : report.series) list.push_back(space(line, frames));
  const Json json = {{"path", report.path}, {"spaces", std::move(list)}, {"frames", frames.take()}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `values` in the place of {{name}}. What is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string_view, std::string>& values) {
  std::string out;
  while (true) {
    const size_t open = text.find("{{");
    out += text.substr(0, open);
    if (open == std::string_view::npos) return out;
    const size_t close = text.find("}}", open);
    out += values.at(text.substr(open + 2, close - open - 2));
    text.remove_prefix(close + 2);
  }
}

}  // namespace

std::string report_html(const Report& report) {
  const std::string named = report.command.empty() ? report.path : report.command;
  // The title is no JSON: what is not UTF-8 in it is made so by the same rule.
  const std::string title =
      Json("Tidemark: " + named).dump(-1, ' ', false, Json::error_handler_t::replace);
  return filled(kPageHtml, {{"title", for_markup(Json::parse(title).get<std::string>())},
                            {"style", std::string(kPageStyle)},
                            {"script", std::string(kPageScript)},
                            {"report", for_script(report_json(report))},
                            {"detail", for_script(detail_json(report))}});
}

}  // namespace tidemark::analyzer
