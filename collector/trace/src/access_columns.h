// How accesses lie in chunks of columns (FORMAT.md, "Accesses"): two columns, of which the second
// refers to earlier rows of the chunk, because a program that repeats itself hands the same kernels
// the same blocks at the same distances. The order of the columns is part of the format.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "chunk.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

enum AccessColumn : uint8_t { kAccessKernel, kAccessReference, kAccessColumns };

inline constexpr std::array<ColumnPlan, kAccessColumns> kAccessPlans = {
    {{Predictor::kPrevious, Packing::kVarint}, {Predictor::kNone, Packing::kVarint}}};

// Allocation ids of a chunk's rows, which are below 2^61, to references and back:
//   bit 0 set: the row so many rows before (the rest of the bits, at least 1) had the same id
//   bit 0 not set: an id that the chunk has not had: zigzag of the distance to the last such id
class ReferenceEncoder {
 public:
  uint64_t next(int64_t id) {
    const auto row = static_cast<uint32_t>(rows_++);
    const auto [last, fresh] = last_row_.try_emplace(id, row);
    if (!fresh) {
      const uint64_t back = row - last->second;
      last->second = row;
      return back << 1 | 1;
    }
    const auto step = static_cast<int64_t>(static_cast<uint64_t>(id) - last_fresh_);
    last_fresh_ = static_cast<uint64_t>(id);
    return (static_cast<uint64_t>(step) << 1 ^ (step < 0 ? ~uint64_t{0} : 0)) << 1;
  }
  void clear() {
    last_row_.clear();
    last_fresh_ = 0;
    rows_ = 0;
  }

 private:
  std::unordered_map<int64_t, uint32_t> last_row_;
  uint64_t last_fresh_ = 0;
  size_t rows_ = 0;
};

class ReferenceDecoder {
 public:
  // 0, which is no id: the reference leads out of the chunk.
  int64_t next(uint64_t reference) {
    int64_t id = 0;
    if ((reference & 1) != 0) {
      const uint64_t back = reference >> 1;
      if (back != 0 && back <= ids_.size()) id = ids_[ids_.size() - back];
    } else {
      const uint64_t folded = reference >> 1;
      last_fresh_ += folded >> 1 ^ ((folded & 1) != 0 ? ~uint64_t{0} : 0);
      id = static_cast<int64_t>(last_fresh_);
    }
    ids_.push_back(id);
    return id;
  }
  void clear() {
    ids_.clear();
    last_fresh_ = 0;
  }

 private:
  std::vector<int64_t> ids_;
  uint64_t last_fresh_ = 0;
};

}  // namespace tidemark::trace
