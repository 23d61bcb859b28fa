// How stacks lie in chunks of columns (FORMAT.md, "Stacks"): four tables of chunks, each with ids
// that count from 1; chunk n holds the ids from (n-1) * kMaxChunkRows + 1 on, and is full unless it
// is the last. The order of the columns is part of the format: do not change.
#pragma once

#include <array>

#include "chunk.h"

namespace tidemark::trace {

enum StackColumn : uint8_t { kStackProcess, kStackNode, kStackColumns };
enum NodeColumn : uint8_t {
  kNodeCaller,  // id of the node - id of its caller; 0: outermost
  kNodeAddress,
  kNodeColumns
};
enum AddressColumn : uint8_t {
  kAddressProcess,
  kAddressWord,
  kAddressNs,
  kAddressFirst,   // its first frame: an id of address_location_chunk
  kAddressFrames,  // how many; 0 while it has no name
  kAddressHook,
  kAddressColumns
};
enum AddressLocationColumn : uint8_t { kLocation, kAddressLocationColumns };

template <size_t Columns>
struct ChunkTable {
  const char* name;
  std::array<ColumnPlan, Columns> plans;  // what a chunk was packed by, it says for itself
};

inline constexpr ChunkTable<kStackColumns> kStackTable = {
    "stack_chunk",
    {{{Predictor::kPrevious, Packing::kVarint}, {Predictor::kPrevious, Packing::kVarint}}}};
inline constexpr ChunkTable<kNodeColumns> kNodeTable = {
    "stack_node_chunk",
    {{{Predictor::kNone, Packing::kVarint}, {Predictor::kNone, Packing::kVarint}}}};
inline constexpr ChunkTable<kAddressColumns> kAddressTable = {
    "address_chunk",
    {{{Predictor::kPrevious, Packing::kVarint},
      {Predictor::kPrevious, Packing::kVarint},
      {Predictor::kPrevious, Packing::kVarint},
      {Predictor::kPrevious, Packing::kVarint},
      {Predictor::kNone, Packing::kVarint},
      {Predictor::kNone, Packing::kVarint}}}};
inline constexpr ChunkTable<kAddressLocationColumns> kAddressLocationTable = {
    "address_location_chunk", {{{Predictor::kPrevious, Packing::kVarint}}}};

}  // namespace tidemark::trace
