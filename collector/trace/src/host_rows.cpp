#include "host_rows.h"

#include <algorithm>
#include <array>

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
    {Predictor::kPrevious, Packing::kVarint},          // id
    {Predictor::kPrevious, Packing::kVarint},          // thread
    {Predictor::kContext, Packing::kVarint, kThread},  // process
    {Predictor::kPrevious, Packing::kVarint},          // layer
    {Predictor::kPrevious, Packing::kVarint},          // space
    {Predictor::kPrevious, Packing::kVarint},          // device
    {Predictor::kNone, Packing::kVarint},              // stack
    {Predictor::kContext, Packing::kVarint, kStack},   // size
    {Predictor::kContext, Packing::kVarint, kStack},   // api
    {Predictor::kContext, Packing::kVarint, kStack},   // source
    {Predictor::kContext, Packing::kVarint, kSize},    // address
    {Predictor::kPrevious, Packing::kBits},            // alloc_ns
    {Predictor::kNone, Packing::kBits},                // lifetime
    {Predictor::kContext, Packing::kVarint, kStack},   // free_stack
}};

constexpr std::array<ColumnPlan, kFreeColumns> kFreePlans = {{
    {Predictor::kPrevious, Packing::kVarint},  // id
    {Predictor::kPrevious, Packing::kVarint},  // revived
    {Predictor::kPrevious, Packing::kBits},    // free_ns
    {Predictor::kNone, Packing::kVarint},      // stack
}};

uint64_t fold(uint64_t difference) { return difference << 1 ^ (0 - (difference >> 63)); }
uint64_t unfold(uint64_t folded) { return folded >> 1 ^ (0 - (folded & 1)); }

template <class T>
uint64_t number(T value) {
  return static_cast<uint64_t>(value);
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
      [](Row& r, uint64_t v) {
        r.free_ns = v == 0 ? kNever : static_cast<int64_t>(number(r.alloc_ns) + unfold(v - 1));
      });
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

void append_rows(const DecodedColumns& decoded, std::vector<Allocation>& rows) {
  Allocation same;
  each_column([&](size_t column, auto, auto set) { set(same, decoded.columns[column][0]); });
  const size_t start = rows.size();
  rows.reserve(start + decoded.rows);
  for (size_t begin = 0; begin < decoded.rows; begin += kBlockRows) {
    const size_t count = std::min(kBlockRows, decoded.rows - begin);
    rows.insert(rows.end(), count, same);
    Allocation* block = rows.data() + start + begin;
    each_column([&](size_t column, auto, auto set) {
      const Column values = decoded.columns[column];
      // A lifetime that all share still ends each row at another time.
      if (values.size() == 1 && decoded.rows != 1 && column != kLifetime) return;
      for (size_t i = 0; i < count; ++i) {
        set(block[i], values.size() == 1 ? values[0] : values[begin + i]);
      }
    });
  }
}

}  // namespace

bool is_host(Layer layer) { return layer == Layer::kOs || layer == Layer::kHeap; }

std::string_view encode_allocations(ChunkEncoder& encoder, std::span<const Allocation> rows,
                                    ChunkInfo& info) {
  std::array<Column, kAllocationColumns> columns;
  to_columns(rows, encoder.buffers(), columns);
  info = {0,
          ChunkKind::kAllocations,
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
  return encoder.encode(rows.size(), columns, kAllocationPlans);
}

Result<void> decode_allocations(ChunkDecoder& decoder, std::string_view bytes,
                                const ChunkInfo& info, std::vector<Allocation>& rows) {
  const auto decoded = decoder.decode(bytes, kAllocationColumns);
  if (!decoded) return tl::unexpected(decoded.error());
  if (auto checked = check_columns(info, *decoded); !checked) return checked;
  append_rows(*decoded, rows);
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
