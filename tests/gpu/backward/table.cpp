// How much of what backward asks for the analyzer puts under the right line of forward.
//
//   backward_table FOLDER [--at-least PERCENT] [--wrong N]
//
// FOLDER holds <model>.db and <model>.json, in which truth.py wrote down which node ran when, and
// the Python stack that had made it. A block belongs to the node that ran when it was asked for. It
// is right where the innermost line of Python is one of the truth's. Prints shares of blocks and
// bytes by evidence; --wrong: and the N largest mistakes. Exits with 1 where less than PERCENT of
// the blocks or of the bytes of any model are right.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../traces_in.h"
#include "tidemark/analyzer/backward.h"
#include "tidemark/analyzer/stack_view.h"

namespace {

using namespace tidemark;  // NOLINT: a program of one page
using analyzer::BackwardOrigin;
using nlohmann::json;

struct Node {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  std::string name;
  std::vector<std::string> lines;      // innermost of the stacks that made it
  std::vector<std::string> own_lines;  // innermost of the program's own, not of a library
};

struct Share {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  void add(uint64_t size) {
    ++blocks;
    bytes += size;
  }
};

struct Table {
  Share all;
  Share right;
  Share right_own_line;
  std::map<std::string, std::pair<Share, Share>> evidence;  // all, right
  std::map<std::string, Share> wrong;                       // by what is said and what is true

  static double percent(uint64_t part, uint64_t whole) {
    return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
  }
  double percent_of_blocks() const { return percent(right.blocks, all.blocks); }
  double percent_of_bytes() const { return percent(right.bytes, all.bytes); }
};

bool of_library(const std::string& line) {
  trace::Frame frame;
  frame.kind = trace::FrameKind::kPython;
  frame.file = line.substr(0, line.rfind(':'));
  return analyzer::role_of(frame) != analyzer::FrameRole::kUser;
}

Result<std::vector<Node>> read_truth(const std::filesystem::path& path, int64_t start_ns) {
  std::ifstream file(path);
  const json truth = json::parse(file, nullptr, false);
  if (truth.is_discarded()) return fail(path.string() + ": is no JSON of truth.py");
  std::vector<Node> nodes;
  try {
    for (const json& row : truth.at("nodes")) {
      Node node{row.at(0).get<int64_t>() - start_ns,
                row.at(1).get<int64_t>() - start_ns,
                row.at(2).get<std::string>(),
                {},
                {}};
      for (const json& stack : row.at(3)) {
        const json& lines = truth.at("stacks").at(stack.get<size_t>());
        if (lines.empty()) continue;
        node.lines.push_back(lines.at(0).get<std::string>());
        for (const json& line : lines) {
          if (of_library(line.get<std::string>())) continue;
          node.own_lines.push_back(line.get<std::string>());
          break;
        }
      }
      nodes.push_back(std::move(node));
    }
  } catch (const json::exception& error) {
    return fail(path.string() + ": " + error.what());
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const Node& a, const Node& b) { return a.begin_ns < b.begin_ns; });
  return nodes;
}

const Node* node_at(const std::vector<Node>& nodes, int64_t time_ns) {
  auto after =
      std::upper_bound(nodes.begin(), nodes.end(), time_ns,
                       [](int64_t time, const Node& node) { return time < node.begin_ns; });
  if (after == nodes.begin()) return nullptr;
  --after;
  return time_ns < after->end_ns ? &*after : nullptr;
}

std::string text_of(const trace::Frame& frame) {
  return fmt::format("{}:{}", frame.file, frame.line);
}

bool holds(const std::vector<std::string>& lines, const std::string& line) {
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

// What the hooks of the truth itself ask the heap for.
bool of_truth(const trace::Reader& reader, const trace::Allocation& row) {
  for (const trace::Frame& frame : reader.frames(row.alloc_stack)) {
    if (frame.kind == trace::FrameKind::kPython) return frame.file.ends_with("/truth.py");
  }
  return false;
}

void judge(const trace::Reader& reader, const trace::Allocation& row, const Node& node,
           const BackwardOrigin* origin, Table& table) {
  table.all.add(row.size);
  const std::string evidence =
      origin == nullptr ? "nothing" : analyzer::to_string(origin->evidence);
  auto& [all, right] = table.evidence[evidence];
  all.add(row.size);
  std::string said = "?";
  std::string own;
  if (origin != nullptr) {
    for (const trace::Frame& frame : origin->frames(reader)) {
      if (frame.kind != trace::FrameKind::kPython) continue;
      if (said == "?") said = text_of(frame);
      if (analyzer::role_of(frame) == analyzer::FrameRole::kUser) {
        own = text_of(frame);
        break;
      }
    }
  }
  if (holds(node.own_lines, own)) table.right_own_line.add(row.size);
  if (holds(node.lines, said)) {
    right.add(row.size);
    table.right.add(row.size);
    return;
  }
  table
      .wrong[fmt::format("{} {}: said {}, is {}", node.name, evidence, said,
                         node.lines.empty() ? "?" : node.lines.front())]
      .add(row.size);
}

Result<Table> compare(const std::filesystem::path& path) {
  const auto reader = trace::Reader::open(path);
  if (!reader) return tl::unexpected(reader.error());
  int64_t start_ns = 0;
  const std::string start = (*reader)->meta("start_monotonic_ns");
  std::from_chars(start.data(), start.data() + start.size(), start_ns);
  const auto nodes = read_truth(std::filesystem::path(path).replace_extension(".json"), start_ns);
  if (!nodes) return tl::unexpected(nodes.error());
  const auto curves = analyzer::usage_curves(**reader);
  if (!curves) return tl::unexpected(curves.error());
  // The framework's pool; without one, the heap.
  analyzer::Series series{trace::Layer::kHeap, trace::Space::kHost, trace::kNoDevice};
  for (const auto& curve : *curves) {
    if (curve.series.layer == trace::Layer::kPool) series = curve.series;
  }
  const auto origins = analyzer::find_backward_origins(**reader, series);
  if (!origins) return tl::unexpected(origins.error());
  Table table;
  trace::AllocationFilter filter;
  filter.layer = series.layer;
  filter.space = series.space;
  auto read = (*reader)->allocations(filter, [&](std::span<const trace::Allocation> batch) {
    for (const trace::Allocation& row : batch) {
      if (series.layer == trace::Layer::kHeap && row.size < 4096) continue;
      const Node* node = node_at(*nodes, row.alloc_ns);
      if (node == nullptr || node->lines.empty() || of_truth(**reader, row)) continue;
      judge(**reader, row, *node, origins->find(row.id), table);
    }
  });
  if (!read) return tl::unexpected(read.error());
  if (table.all.blocks == 0) return fail(path.string() + ": no block was asked for in backward");
  return table;
}

void print(const std::string& model, const Table& table, size_t wrong) {
  fmt::print(
      "{:18} {:>7} blocks {:>15} bytes  right {:6.2f} % of blocks {:6.2f} % of bytes"
      "  own line {:6.2f} % {:6.2f} %\n",
      model, table.all.blocks, table.all.bytes, table.percent_of_blocks(), table.percent_of_bytes(),
      Table::percent(table.right_own_line.blocks, table.all.blocks),
      Table::percent(table.right_own_line.bytes, table.all.bytes));
  for (const auto& [evidence, shares] : table.evidence) {
    const auto& [all, right] = shares;
    fmt::print(
        "  by {:12} {:6.2f} % of blocks {:6.2f} % of bytes, of which right {:6.2f} % {:6.2f} %\n",
        evidence, Table::percent(all.blocks, table.all.blocks),
        Table::percent(all.bytes, table.all.bytes), Table::percent(right.blocks, all.blocks),
        Table::percent(right.bytes, all.bytes));
  }
  std::vector<std::pair<std::string, Share>> mistakes(table.wrong.begin(), table.wrong.end());
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const auto& a, const auto& b) { return a.second.bytes > b.second.bytes; });
  for (size_t i = 0; i < std::min(wrong, mistakes.size()); ++i) {
    fmt::print("  wrong: {} bytes of {} blocks: {}\n", mistakes[i].second.bytes,
               mistakes[i].second.blocks, mistakes[i].first);
  }
}

int run(const std::filesystem::path& folder, double at_least, size_t wrong) {
  const auto traces = gpu_tables::traces_in(folder);
  if (traces.empty()) return 1;
  bool enough = true;
  for (const auto& trace : traces) {
    const auto table = compare(trace);
    if (!table) {
      fmt::print(stderr, "{}\n", table.error().message);
      return 1;
    }
    print(trace.stem().string(), *table, wrong);
    enough =
        enough && table->percent_of_blocks() >= at_least && table->percent_of_bytes() >= at_least;
  }
  if (!enough)
    fmt::print("FAIL: less than {} % of a model's blocks or bytes are right\n", at_least);
  return enough ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  double at_least = 0;
  size_t wrong = 0;
  bool understood = argc >= 2 && argc % 2 == 0;
  for (int i = 2; understood && i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--at-least") {
      at_least = std::atof(argv[i + 1]);
    } else if (option == "--wrong") {
      wrong = std::strtoul(argv[i + 1], nullptr, 10);
    } else {
      understood = false;
    }
  }
  if (!understood) {
    fmt::print(stderr, "backward_table FOLDER [--at-least PERCENT] [--wrong N]\n");
    return 2;
  }
  return run(argv[1], at_least, wrong);
}
