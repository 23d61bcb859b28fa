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

void put(std::span<Column> columns, size_t i, const Allocation& row) {
  columns[kId][i] = number(row.id);
  columns[kThread][i] = number(row.thread);
  columns[kProcess][i] = number(row.process);
  columns[kLayer][i] = number(row.layer);
  columns[kSpace][i] = number(row.space);
  columns[kDevice][i] = static_cast<uint16_t>(row.device + 1);
  columns[kStack][i] = number(row.alloc_stack);
  columns[kSize][i] = row.size;
  columns[kApi][i] = number(row.api);
  columns[kSource][i] = number(row.source);
  columns[kAddress][i] = row.address;
  columns[kAllocNs][i] = number(row.alloc_ns);
  columns[kLifetime][i] =
      row.free_ns == kNever ? 0 : 1 + fold(number(row.free_ns) - number(row.alloc_ns));
  columns[kFreeStack][i] = number(row.free_stack);
}

Allocation take(std::span<const Column> columns, size_t i) {
  Allocation row;
  row.id = static_cast<AllocationId>(columns[kId][i]);
  row.thread = static_cast<ThreadId>(columns[kThread][i]);
  row.process = static_cast<ProcessId>(columns[kProcess][i]);
  row.layer = static_cast<Layer>(columns[kLayer][i]);
  row.space = static_cast<Space>(columns[kSpace][i]);
  row.device = static_cast<int16_t>(columns[kDevice][i] - 1);
  row.alloc_stack = static_cast<StackId>(columns[kStack][i]);
  row.size = columns[kSize][i];
  row.api = static_cast<StringId>(columns[kApi][i]);
  row.source = static_cast<StringId>(columns[kSource][i]);
  row.address = columns[kAddress][i];
  row.alloc_ns = static_cast<int64_t>(columns[kAllocNs][i]);
  const uint64_t lifetime = columns[kLifetime][i];
  row.free_ns =
      lifetime == 0 ? kNever : static_cast<int64_t>(columns[kAllocNs][i] + unfold(lifetime - 1));
  row.free_stack = static_cast<StackId>(columns[kFreeStack][i]);
  return row;
}

}  // namespace

bool is_host(Layer layer) { return layer == Layer::kOs || layer == Layer::kHeap; }

std::string_view encode_allocations(ChunkEncoder& encoder, std::span<const Allocation> rows,
                                    ChunkInfo& info) {
  std::array<Column, kAllocationColumns> columns;
  for (Column& column : columns) column.resize(rows.size());
  info = {0,
          ChunkKind::kAllocations,
          static_cast<uint32_t>(rows.size()),
          static_cast<int64_t>(rows.front().id),
          static_cast<int64_t>(rows.back().id),
          rows.front().alloc_ns,
          rows.front().alloc_ns,
          rows.front().free_ns,
          0};
  for (size_t i = 0; i < rows.size(); ++i) {
    put(columns, i, rows[i]);
    info.begin_ns = std::min(info.begin_ns, rows[i].alloc_ns);
    info.last_ns = std::max(info.last_ns, rows[i].alloc_ns);
    info.end_ns = std::max(info.end_ns, rows[i].free_ns);
    info.layers = static_cast<uint8_t>(info.layers | 1U << static_cast<unsigned>(rows[i].layer));
  }
  return encoder.encode(columns, kAllocationPlans);
}

Result<void> decode_allocations(ChunkDecoder& decoder, std::string_view bytes,
                                const ChunkInfo& info, std::vector<Allocation>& rows) {
  std::array<Column, kAllocationColumns> columns;
  if (auto decoded = decoder.decode(bytes, columns); !decoded) return decoded;
  const size_t count = columns[kId].size();
  rows.reserve(rows.size() + count);
  int64_t before = info.first_id - 1;
  for (size_t i = 0; i < count; ++i) {
    const auto id = static_cast<int64_t>(columns[kId][i]);
    if (id <= before || id > info.last_id) return fail("ids of a chunk are out of order");
    if (columns[kLayer][i] > number(Layer::kHeap) || columns[kSpace][i] > number(Space::kDevice) ||
        columns[kDevice][i] > std::numeric_limits<uint16_t>::max()) {
      return fail("a chunk has an impossible value");
    }
    before = id;
    rows.push_back(take(columns, i));
  }
  return {};
}

std::string_view encode_frees(ChunkEncoder& encoder, std::span<const HostFree> frees,
                              ChunkInfo& info) {
  std::array<Column, kFreeColumns> columns;
  for (Column& column : columns) column.resize(frees.size());
  const ChunkKind kind = info.kind;
  info = {};
  info.kind = kind;
  info.rows = static_cast<uint32_t>(frees.size());
  info.first_id = info.last_id = static_cast<int64_t>(frees.front().id);
  for (size_t i = 0; i < frees.size(); ++i) {
    columns[kFreeId][i] = number(frees[i].id);
    columns[kFreeRevived][i] = frees[i].revived ? 1 : 0;
    columns[kFreeNs][i] = number(frees[i].free_ns);
    columns[kFreeByStack][i] = number(frees[i].stack);
    info.first_id = std::min(info.first_id, static_cast<int64_t>(frees[i].id));
    info.last_id = std::max(info.last_id, static_cast<int64_t>(frees[i].id));
  }
  return encoder.encode(columns, kFreePlans);
}

Result<void> decode_frees(ChunkDecoder& decoder, std::string_view bytes, const ChunkInfo& info,
                          std::vector<HostFree>& frees) {
  std::array<Column, kFreeColumns> columns;
  if (auto decoded = decoder.decode(bytes, columns); !decoded) return decoded;
  for (size_t i = 0; i < columns[kFreeId].size(); ++i) {
    const auto id = static_cast<int64_t>(columns[kFreeId][i]);
    if (id < info.first_id || id > info.last_id || columns[kFreeRevived][i] > 1) {
      return fail("a chunk has an impossible value");
    }
    frees.push_back({static_cast<AllocationId>(id), columns[kFreeRevived][i] != 0,
                     static_cast<int64_t>(columns[kFreeNs][i]),
                     static_cast<StackId>(columns[kFreeByStack][i])});
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
