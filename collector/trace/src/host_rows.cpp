#include "host_rows.h"

#include <algorithm>
#include <array>
#include <bit>

namespace tidemark::trace {
namespace {

// The order of the columns is part of the format: do not change.
enum AllocationColumn : uint8_t {
  kId,
  kThread,
  kProcess,
  kLayer,
  kSpace,
  kDevice,
  kStack,
  kSize,
  kApi,
  kSource,
  kAddress,
  kAllocNs,
  kLifetime,  // 0: not freed; else 1 + folded (free_ns - alloc_ns)
  kFreeStack,
  kAllocationColumns
};

enum FreeColumn : uint8_t { kFreeId, kFreeRevived, kFreeNs, kFreeByStack, kFreeColumns };

// What predicts what was chosen by measuring (FORMAT.md); a chunk says it for itself, so it may
// change without a new format version.
constexpr std::array<ColumnPlan, kAllocationColumns> kAllocationPlans = {{
    {Predictor::kPrevious, Packing::kVarint},             // id
    {Predictor::kPrevious, Packing::kVarint},             // thread
    {Predictor::kContext, Packing::kVarint, kThread},     // process
    {Predictor::kPrevious, Packing::kVarint},             // layer
    {Predictor::kPrevious, Packing::kVarint},             // space
    {Predictor::kPrevious, Packing::kVarint},             // device
    {Predictor::kNone, Packing::kVarint},                 // stack
    {Predictor::kWideContext, Packing::kVarint, kStack},  // size
    {Predictor::kWideContext, Packing::kVarint, kStack},  // api
    {Predictor::kWideContext, Packing::kVarint, kStack},  // source
    {Predictor::kContext, Packing::kVarint, kSize},       // address
    {Predictor::kPrevious, Packing::kBits},               // alloc_ns
    {Predictor::kNone, Packing::kBits},                   // lifetime
    {Predictor::kWideContext, Packing::kVarint, kStack},  // free_stack
}};

// The same while recording, when memory of contexts should stay in the nearer caches.
constexpr auto kRecordingPlans = [] {
  auto plans = kAllocationPlans;
  for (ColumnPlan& plan : plans) {
    if (plan.predictor == Predictor::kWideContext) plan.predictor = Predictor::kContext;
  }
  return plans;
}();

constexpr std::array<ColumnPlan, kFreeColumns> kFreePlans = {{
    {Predictor::kPrevious, Packing::kVarint},  // id
    {Predictor::kPrevious, Packing::kVarint},  // revived
    {Predictor::kPrevious, Packing::kBits},    // free_ns
    {Predictor::kNone, Packing::kVarint},      // stack
}};

template <class T>
uint64_t number(T value) {
  return static_cast<uint64_t>(value);
}

int64_t free_ns_of(int64_t alloc_ns, uint64_t lifetime) {
  return lifetime == 0 ? kNever : static_cast<int64_t>(number(alloc_ns) + unfold(lifetime - 1));
}

// Calls `visit(column, get, set)` for each column whose values are fields; the lifetime comes last
// but one, behind alloc_ns, which it builds upon.
template <class Visit>
void each_column(Visit&& visit) {
  using Row = Allocation;
  visit(
      kId, [](const Row& r) { return number(r.id); },
      [](Row& r, uint64_t v) { r.id = static_cast<AllocationId>(v); });
  visit(
      kThread, [](const Row& r) { return number(r.thread); },
      [](Row& r, uint64_t v) { r.thread = static_cast<ThreadId>(v); });
  visit(
      kProcess, [](const Row& r) { return number(r.process); },
      [](Row& r, uint64_t v) { r.process = static_cast<ProcessId>(v); });
  visit(
      kLayer, [](const Row& r) { return number(r.layer); },
      [](Row& r, uint64_t v) { r.layer = static_cast<Layer>(v); });
  visit(
      kSpace, [](const Row& r) { return number(r.space); },
      [](Row& r, uint64_t v) { r.space = static_cast<Space>(v); });
  visit(
      kDevice, [](const Row& r) { return uint64_t{static_cast<uint16_t>(r.device + 1)}; },
      [](Row& r, uint64_t v) { r.device = static_cast<int16_t>(v - 1); });
  visit(
      kStack, [](const Row& r) { return number(r.alloc_stack); },
      [](Row& r, uint64_t v) { r.alloc_stack = static_cast<StackId>(v); });
  visit(
      kSize, [](const Row& r) { return r.size; }, [](Row& r, uint64_t v) { r.size = v; });
  visit(
      kApi, [](const Row& r) { return number(r.api); },
      [](Row& r, uint64_t v) { r.api = static_cast<StringId>(v); });
  visit(
      kSource, [](const Row& r) { return number(r.source); },
      [](Row& r, uint64_t v) { r.source = static_cast<StringId>(v); });
  visit(
      kAddress, [](const Row& r) { return r.address; }, [](Row& r, uint64_t v) { r.address = v; });
  visit(
      kAllocNs, [](const Row& r) { return number(r.alloc_ns); },
      [](Row& r, uint64_t v) { r.alloc_ns = static_cast<int64_t>(v); });
  visit(
      kLifetime,
      [](const Row& r) {
        return r.free_ns == kNever ? 0 : 1 + fold(number(r.free_ns) - number(r.alloc_ns));
      },
      [](Row& r, uint64_t v) { r.free_ns = free_ns_of(r.alloc_ns, v); });
  visit(
      kFreeStack, [](const Row& r) { return number(r.free_stack); },
      [](Row& r, uint64_t v) { r.free_stack = static_cast<StackId>(v); });
}

// Rows are turned into columns and back a few at a time, while they are in the nearest cache.
constexpr size_t kBlockRows = 256;

// Fills `columns`; those that turn out to be constant get one value.
void to_columns(std::span<const Allocation> rows, ColumnBuffers& buffers,
                std::span<Column> columns) {
  std::array<bool, kAllocationColumns> varies{};
  for (size_t begin = 0; begin < rows.size(); begin += kBlockRows) {
    const auto block = rows.subspan(begin, std::min(kBlockRows, rows.size() - begin));
    each_column([&](size_t column, auto get, auto) {
      uint64_t* values = buffers.column(column);
      if (begin == 0) values[0] = get(rows[0]);
      const uint64_t first = values[0];
      if (!varies[column]) {
        if (std::all_of(block.begin(), block.end(),
                        [&](const Allocation& row) { return get(row) == first; })) {
          return;
        }
        varies[column] = true;
        std::fill_n(values, begin, first);
      }
      for (size_t i = 0; i < block.size(); ++i) values[begin + i] = get(block[i]);
    });
  }
  for (size_t i = 0; i < kAllocationColumns; ++i) {
    columns[i] = Column(buffers.column(i), varies[i] ? rows.size() : 1);
  }
}

Result<void> check_columns(const ChunkInfo& info, const DecodedColumns& decoded) {
  int64_t before = info.first_id - 1;
  if (decoded.columns[kId].size() != decoded.rows) return fail("ids of a chunk are out of order");
  for (const uint64_t value : decoded.columns[kId]) {
    const auto id = static_cast<int64_t>(value);
    if (id <= before || id > info.last_id) return fail("ids of a chunk are out of order");
    before = id;
  }
  const auto within = [&](size_t column, uint64_t most) {
    const Column values = decoded.columns[column];
    return *std::max_element(values.begin(), values.end()) <= most;
  };
  if (!within(kLayer, number(Layer::kHeap)) || !within(kSpace, number(Space::kDevice)) ||
      !within(kDevice, std::numeric_limits<uint16_t>::max())) {
    return fail("a chunk has an impossible value");
  }
  return {};
}

// Which rows of a chunk a filter lets pass, found on its columns.
class Selection {
 public:
  Selection(const DecodedColumns& decoded, const HostFilter& filter) : decoded_(decoded) {
    const bool all_ids = filter.first_id <= static_cast<int64_t>(decoded.columns[kId].front()) &&
                         filter.last_id >= static_cast<int64_t>(decoded.columns[kId].back());
    if (!all_ids) {
      keep(kId, [&](uint64_t v) {
        return static_cast<int64_t>(v) >= filter.first_id &&
               static_cast<int64_t>(v) <= filter.last_id;
      });
    }
    if (filter.layers != HostFilter{}.layers) {
      keep(kLayer, [&](uint64_t v) { return (filter.layers >> v & 1U) != 0; });
    }
    if (filter.alloc_stack) {
      keep(kStack, [&](uint64_t v) { return v == number(*filter.alloc_stack); });
    }
    if (filter.first_alloc_ns != HostFilter{}.first_alloc_ns ||
        filter.last_alloc_ns != HostFilter{}.last_alloc_ns) {
      keep(kAllocNs, [&](uint64_t v) {
        return static_cast<int64_t>(v) >= filter.first_alloc_ns &&
               static_cast<int64_t>(v) <= filter.last_alloc_ns;
      });
    }
    if (filter.min_free_ns != HostFilter{}.min_free_ns) keep_freed_from(filter.min_free_ns);
  }

  bool all() const { return all_; }
  std::span<const uint32_t> rows() const { return rows_; }  // unless all()

 private:
  uint64_t value(size_t column, size_t row) const {
    const Column values = decoded_.columns[column];
    return values[values.size() == 1 ? 0 : row];
  }
  template <class Wanted>
  void keep_rows(const Wanted& wanted) {
    if (!all_) {
      std::erase_if(rows_, [&](uint32_t row) { return !wanted(row); });
      return;
    }
    for (uint32_t row = 0; row < decoded_.rows; ++row) {
      if (wanted(row)) rows_.push_back(row);
    }
    all_ = rows_.size() == decoded_.rows;
  }
  template <class Wanted>
  void keep(size_t column, const Wanted& wanted) {
    const Column values = decoded_.columns[column];
    if (values.size() == 1 && decoded_.rows != 1) {
      if (!wanted(values[0])) keep_rows([](uint32_t) { return false; });
    } else if (!all_ || !std::all_of(values.begin(), values.end(), wanted)) {
      rows_.reserve(decoded_.rows);
      keep_rows([&](uint32_t row) { return wanted(values[row]); });
    }
  }
  void keep_freed_from(int64_t min_free_ns) {
    if (all_) rows_.reserve(decoded_.rows);
    keep_rows([&](uint32_t row) {
      return free_ns_of(static_cast<int64_t>(value(kAllocNs, row)), value(kLifetime, row)) >=
             min_free_ns;
    });
  }

  const DecodedColumns& decoded_;
  bool all_ = true;
  std::vector<uint32_t> rows_;
};

// Appends `count` rows, of which the i-th is row index(i) of the chunk.
template <class Index>
void append_rows(const DecodedColumns& decoded, size_t count, const Index& index,
                 std::vector<Allocation>& rows) {
  if (rows.empty()) rows.reserve(count);  // growing by and by would copy all twice
  Allocation same;
  each_column([&](size_t column, auto, auto set) { set(same, decoded.columns[column][0]); });
  for (size_t begin = 0; begin < count; begin += kBlockRows) {
    const size_t block_rows = std::min(kBlockRows, count - begin);
    rows.insert(rows.end(), block_rows, same);
    Allocation* block = &rows.back() + 1 - block_rows;
    each_column([&](size_t column, auto, auto set) {
      const Column values = decoded.columns[column];
      if (values.size() != 1) {
        for (size_t i = 0; i < block_rows; ++i) set(block[i], values[index(begin + i)]);
      } else if (column == kLifetime && values[0] != 0) {
        // A lifetime that all share still ends each row at another time.
        for (size_t i = 0; i < block_rows; ++i) set(block[i], values[0]);
      }
    });
  }
}

}  // namespace

bool is_host(Layer layer) { return layer == Layer::kOs || layer == Layer::kHeap; }

ChunkKind settled_kind(const Allocation& row) {
  // Classes grow by a factor of 8, from 2^24 ns = 17 ms; the last is for what was never freed.
  constexpr unsigned kShortestBits = 24;
  constexpr unsigned kBitsPerClass = 3;
  size_t which = kLifetimeClasses - 1;
  if (row.free_ns != kNever) {
    const uint64_t lifetime = number(row.free_ns) - number(row.alloc_ns);
    const bool negative = row.free_ns < row.alloc_ns;
    const auto bits = negative ? 0 : static_cast<unsigned>(std::bit_width(lifetime));
    which = bits <= kShortestBits ? 0 : (bits - kShortestBits + kBitsPerClass - 1) / kBitsPerClass;
    which = std::min(which, kLifetimeClasses - 2);
  }
  return static_cast<ChunkKind>(number(ChunkKind::kSettled) + which);
}

std::string_view encode_allocations(ChunkEncoder& encoder, ChunkKind kind,
                                    std::span<const Allocation> rows, ChunkInfo& info) {
  std::array<Column, kAllocationColumns> columns;
  to_columns(rows, encoder.buffers(), columns);
  info = {0,
          kind,
          static_cast<uint32_t>(rows.size()),
          static_cast<int64_t>(rows.front().id),
          static_cast<int64_t>(rows.back().id),
          rows.front().alloc_ns,
          rows.front().alloc_ns,
          rows.front().free_ns,
          0};
  for (const Allocation& row : rows) {
    info.begin_ns = std::min(info.begin_ns, row.alloc_ns);
    info.last_ns = std::max(info.last_ns, row.alloc_ns);
    info.end_ns = std::max(info.end_ns, row.free_ns);
    info.layers = static_cast<uint8_t>(info.layers | 1U << static_cast<unsigned>(row.layer));
  }
  return encoder.encode(rows.size(), columns,
                        kind == ChunkKind::kAllocations ? kRecordingPlans : kAllocationPlans);
}

Result<void> decode_allocations(ChunkDecoder& decoder, std::string_view bytes,
                                const ChunkInfo& info, const HostFilter& filter,
                                std::vector<Allocation>& rows) {
  // The stacks come early: a chunk without the one that is asked for is not read further.
  const auto has_stack = [&](Column stacks) {
    return std::find(stacks.begin(), stacks.end(), number(*filter.alloc_stack)) != stacks.end();
  };
  const auto decoded = filter.alloc_stack
                           ? decoder.decode(bytes, kAllocationColumns, {kStack, has_stack})
                           : decoder.decode(bytes, kAllocationColumns);
  if (!decoded) return tl::unexpected(decoded.error());
  if (decoded->rows == 0) return {};
  if (auto checked = check_columns(info, *decoded); !checked) return checked;
  const Selection selection(*decoded, filter);
  if (selection.all()) {
    append_rows(
        *decoded, decoded->rows, [](size_t i) { return i; }, rows);
  } else {
    const auto selected = selection.rows();
    append_rows(
        *decoded, selected.size(), [&](size_t i) { return selected[i]; }, rows);
  }
  return {};
}

std::string_view encode_frees(ChunkEncoder& encoder, std::span<const HostFree> frees,
                              ChunkInfo& info) {
  std::array<uint64_t*, kFreeColumns> values{};
  std::array<Column, kFreeColumns> columns;
  for (size_t i = 0; i < kFreeColumns; ++i) {
    values[i] = encoder.buffers().column(i);
    columns[i] = Column(values[i], frees.size());
  }
  const ChunkKind kind = info.kind;
  info = {};
  info.kind = kind;
  info.rows = static_cast<uint32_t>(frees.size());
  info.first_id = info.last_id = static_cast<int64_t>(frees.front().id);
  for (size_t i = 0; i < frees.size(); ++i) {
    values[kFreeId][i] = number(frees[i].id);
    values[kFreeRevived][i] = frees[i].revived ? 1 : 0;
    values[kFreeNs][i] = number(frees[i].free_ns);
    values[kFreeByStack][i] = number(frees[i].stack);
    info.first_id = std::min(info.first_id, static_cast<int64_t>(frees[i].id));
    info.last_id = std::max(info.last_id, static_cast<int64_t>(frees[i].id));
  }
  return encoder.encode(frees.size(), columns, kFreePlans);
}

Result<void> decode_frees(ChunkDecoder& decoder, std::string_view bytes, const ChunkInfo& info,
                          std::vector<HostFree>& frees) {
  const auto decoded = decoder.decode(bytes, kFreeColumns);
  if (!decoded) return tl::unexpected(decoded.error());
  const auto value = [&](size_t column, size_t row) {
    const Column values = decoded->columns[column];
    return values[values.size() == 1 ? 0 : row];
  };
  for (size_t i = 0; i < decoded->rows; ++i) {
    const auto id = static_cast<int64_t>(value(kFreeId, i));
    if (id < info.first_id || id > info.last_id || value(kFreeRevived, i) > 1) {
      return fail("a chunk has an impossible value");
    }
    frees.push_back({static_cast<AllocationId>(id), value(kFreeRevived, i) != 0,
                     static_cast<int64_t>(value(kFreeNs, i)),
                     static_cast<StackId>(value(kFreeByStack, i))});
  }
  return {};
}

Result<void> decode_revivals(ChunkDecoder& decoder, std::string_view bytes, const ChunkInfo& info,
                             std::vector<AllocationId>& ids) {
  const auto has_any = [](Column revived) {
    return std::any_of(revived.begin(), revived.end(), [](uint64_t value) { return value != 0; });
  };
  const auto decoded = decoder.decode(bytes, kFreeColumns, {kFreeRevived, has_any});
  if (!decoded) return tl::unexpected(decoded.error());
  for (size_t i = 0; i < decoded->rows; ++i) {
    const Column revived = decoded->columns[kFreeRevived];
    if (revived[revived.size() == 1 ? 0 : i] == 0) continue;
    const Column all = decoded->columns[kFreeId];
    const auto id = static_cast<int64_t>(all[all.size() == 1 ? 0 : i]);
    if (id < info.first_id || id > info.last_id) return fail("a chunk has an impossible value");
    ids.push_back(static_cast<AllocationId>(id));
  }
  return {};
}

Allocation* find_row(std::span<Allocation> rows, AllocationId id) {
  if (rows.empty() || id < rows.front().id || id > rows.back().id) return nullptr;
  // Ids have gaps only where device allocations came between, so the place is near.
  const auto offset =
      static_cast<size_t>(static_cast<int64_t>(id) - static_cast<int64_t>(rows.front().id));
  const auto gaps = static_cast<size_t>(static_cast<int64_t>(rows.back().id) -
                                        static_cast<int64_t>(rows.front().id)) +
                    1 - rows.size();
  const size_t low = offset > gaps ? offset - gaps : 0;
  const size_t high = std::min(offset + 1, rows.size());
  const auto candidates = rows.subspan(low, high - low);
  const auto found =
      std::lower_bound(candidates.begin(), candidates.end(), id,
                       [](const Allocation& row, AllocationId wanted) { return row.id < wanted; });
  return found != candidates.end() && found->id == id ? &*found : nullptr;
}

}  // namespace tidemark::trace
