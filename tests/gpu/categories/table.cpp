// The confusion table of categories: what the analyzer says of each block that was live at the peak
// of the framework's pool, against what the program itself said it was.
//
//   categories_table FOLDER [--at-least PERCENT]
//
// FOLDER holds <model>.db and <model>.txt, a line for each tensor: the time of CLOCK_MONOTONIC in
// ns, its address, its bytes, and parameter, gradient, optimizer_state, input or saved (for
// backward: an activation). For a program without a framework there is <model>.lines instead:
// "FILE:LINE WHAT", what is allocated there. Of what the program does not name the table says what
// it was taken for: scratch memory (temporary, workspace, …) is right, anything else is wrong.
// Prints bytes, and exits with 1 when less than PERCENT of the bytes of a peak are right.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "../traces_in.h"
#include "tidemark/analyzer/categories.h"

namespace {

using namespace tidemark;  // NOLINT: a program of one page
using analyzer::Category;

struct Named {
  int64_t time_ns = 0;
  uint64_t address = 0;
  std::string what;
};

struct Confusion {
  std::map<std::string, std::map<Category, uint64_t>> bytes;  // by truth
  uint64_t all = 0;
  uint64_t right = 0;
  size_t not_found = 0;  // named by the program, but no block lay there

  double percent() const {
    return all == 0 ? 0 : 100 * static_cast<double>(right) / static_cast<double>(all);
  }
};

Result<std::vector<Named>> read_truth(const std::filesystem::path& path, int64_t start_ns) {
  std::ifstream file(path);
  if (!file) return fail(path.string() + ": cannot be read");
  std::vector<Named> rows;
  Named row;
  uint64_t bytes = 0;
  while (file >> row.time_ns >> row.address >> bytes >> row.what) {
    row.time_ns -= start_ns;
    rows.push_back(row);
  }
  if (!file.eof()) return fail(path.string() + ": a line is not 'time address bytes what'");
  return rows;
}

// Blocks of one series by where they lie.
class Blocks {
 public:
  explicit Blocks(std::vector<trace::Allocation> rows) : rows_(std::move(rows)) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      by_address_.emplace(rows_[i].address, i);
      largest_ = std::max(largest_, rows_[i].size);
    }
  }
  const std::vector<trace::Allocation>& rows() const { return rows_; }

  // The block that held this address at this time.
  const trace::Allocation* at(uint64_t address, int64_t time_ns) const {
    for (auto next = by_address_.upper_bound(address); next != by_address_.begin();) {
      const trace::Allocation& row = rows_[(--next)->second];
      if (address - row.address > largest_) return nullptr;
      const bool lived = row.alloc_ns <= time_ns && time_ns < row.free_ns;
      if (lived && address - row.address < row.size) return &row;
    }
    return nullptr;
  }

 private:
  std::vector<trace::Allocation> rows_;
  std::multimap<uint64_t, size_t> by_address_;
  uint64_t largest_ = 0;
};

bool right(const std::string& truth, Category category) {
  switch (category) {
    case Category::kTemporary:
    case Category::kWorkspace:
    case Category::kCommunication:
    case Category::kFramework:
      return truth == "unnamed";
    case Category::kActivation:
      return truth == "saved";
    default:
      return truth == analyzer::to_string(category);
  }
}

// The truth of each block. A tensor that is saved for backward may be more than that: an input, a
// parameter.
std::map<trace::AllocationId, std::string> truths(const Blocks& blocks,
                                                  const std::vector<Named>& named,
                                                  Confusion& confusion) {
  std::map<trace::AllocationId, std::string> truth;
  for (const Named& row : named) {
    const trace::Allocation* block = blocks.at(row.address, row.time_ns);
    if (block == nullptr) {
      ++confusion.not_found;
      continue;
    }
    std::string& what = truth[block->id];
    if (what.empty() || what == "saved") what = row.what;
  }
  return truth;
}

// By the line that allocated it, of any frame.
Result<std::map<std::string, std::string>> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::map<std::string, std::string> lines;
  std::string line;
  std::string what;
  while (file >> line >> what) lines[line] = what;
  if (lines.empty()) return fail(path.string() + ": has no line 'FILE:LINE WHAT'");
  return lines;
}

std::map<trace::AllocationId, std::string> truths(const trace::Reader& reader, const Blocks& blocks,
                                                  const std::map<std::string, std::string>& lines) {
  std::map<trace::AllocationId, std::string> truth;
  for (const trace::Allocation& row : blocks.rows()) {
    for (const trace::Frame& frame : reader.frames(row.alloc_stack)) {
      const std::string file = std::filesystem::path(frame.file).filename();
      const auto found = lines.find(fmt::format("{}:{}", file, frame.line));
      if (found == lines.end()) continue;
      truth[row.id] = found->second;
      break;
    }
  }
  return truth;
}

Result<std::map<trace::AllocationId, std::string>> read_truths(const trace::Reader& reader,
                                                               std::filesystem::path path,
                                                               const Blocks& blocks,
                                                               Confusion& confusion) {
  if (path.replace_extension(".lines"); std::filesystem::exists(path)) {
    const auto lines = read_lines(path);
    if (!lines) return tl::unexpected(lines.error());
    return truths(reader, blocks, *lines);
  }
  int64_t start_ns = 0;
  const std::string start = reader.meta("start_monotonic_ns");
  std::from_chars(start.data(), start.data() + start.size(), start_ns);
  const auto named = read_truth(path.replace_extension(".txt"), start_ns);
  if (!named) return tl::unexpected(named.error());
  return truths(blocks, *named, confusion);
}

Result<Confusion> compare(const std::filesystem::path& trace_path) {
  const auto reader = trace::Reader::open(trace_path);
  if (!reader) return tl::unexpected(reader.error());
  const auto structure = analyzer::find_structure(**reader);
  if (!structure) return tl::unexpected(structure.error());
  const auto curves = analyzer::usage_curves(**reader);
  if (!curves) return tl::unexpected(curves.error());
  // The framework's pool; where there is none, what the driver gave.
  const auto pool = std::find_if(curves->rbegin(), curves->rend(), [](const auto& curve) {
    return curve.series.space == trace::Space::kDevice;
  });
  if (pool == curves->rend()) return fail(trace_path.string() + ": has no device memory");
  const auto categories = analyzer::categorize(**reader, *structure, pool->series);
  if (!categories) return tl::unexpected(categories.error());
  std::vector<trace::Allocation> rows;
  trace::AllocationFilter filter;
  filter.layer = pool->series.layer;
  filter.space = pool->series.space;
  auto read = (*reader)->allocations(filter, [&](std::span<const trace::Allocation> batch) {
    rows.insert(rows.end(), batch.begin(), batch.end());
  });
  if (!read) return tl::unexpected(read.error());
  const Blocks blocks(std::move(rows));
  Confusion confusion;
  const auto truth = read_truths(**reader, trace_path, blocks, confusion);
  if (!truth) return tl::unexpected(truth.error());
  for (const trace::Allocation& row : blocks.rows()) {
    if (row.alloc_ns > pool->peak_ns || row.free_ns <= pool->peak_ns) continue;
    const analyzer::CategoryBlock* block = categories->find(row.id);
    if (block == nullptr) return fail(trace_path.string() + ": a block has no category");
    const auto known = truth->find(row.id);
    const std::string what = known == truth->end() ? "unnamed" : known->second;
    confusion.bytes[what][block->category] += row.size;
    confusion.all += row.size;
    if (right(what, block->category)) confusion.right += row.size;
  }
  return confusion;
}

void print(const std::string& model, const Confusion& confusion) {
  fmt::print("{}: {:.2f} % of {} bytes at the peak are right", model, confusion.percent(),
             confusion.all);
  if (confusion.not_found > 0) fmt::print("; {} tensors lay in no block", confusion.not_found);
  fmt::print("\n");
  for (const auto& [truth, found] : confusion.bytes) {
    for (const auto& [category, bytes] : found) {
      fmt::print("  {:16} -> {:18} {:>14}  {}\n", truth, analyzer::to_string(category), bytes,
                 right(truth, category) ? "" : "WRONG");
    }
  }
}

int run(const std::filesystem::path& folder, double at_least) {
  const auto traces = gpu_tables::traces_in(folder);
  if (traces.empty()) return 1;
  int status = 0;
  for (const auto& trace : traces) {
    const auto confusion = compare(trace);
    if (!confusion) {
      fmt::print(stderr, "{}\n", confusion.error().message);
      return 1;
    }
    print(trace.stem().string(), *confusion);
    if (confusion->percent() < at_least) status = 1;
  }
  if (status != 0) fmt::print("FAIL: less than {} % of a peak are right\n", at_least);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const bool limited = argc == 4 && std::string(argv[2]) == "--at-least";
  if (argc != 2 && !limited) {
    fmt::print(stderr, "categories_table FOLDER [--at-least PERCENT]\n");
    return 2;
  }
  return run(argv[1], limited ? std::atof(argv[3]) : 0);
}
