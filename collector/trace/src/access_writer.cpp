#include "access_writer.h"

#include <algorithm>

namespace tidemark::trace {
namespace {

constexpr int kQuickLevel = -3;
constexpr int kGoodLevel = 3;

}  // namespace

AccessWriter::AccessWriter(sqlite3* db)
    : insert_(db, "INSERT OR REPLACE INTO access_chunk VALUES(?1,?2,?3,?4,?5,?6,?7)",
              SQLITE_PREPARE_PERSISTENT),
      good_(kGoodLevel),
      quick_(kQuickLevel) {}

bool AccessWriter::add(int64_t kernel, std::span<const AllocationId> allocations) {
  for (const AllocationId allocation : allocations) {
    const auto id = static_cast<int64_t>(allocation);
    if (kernels_.empty()) first_allocation_ = last_allocation_ = id;
    first_allocation_ = std::min(first_allocation_, id);
    last_allocation_ = std::max(last_allocation_, id);
    kernels_.push_back(static_cast<uint64_t>(kernel));
    references_.push_back(encoder_.next(id));
    dirty_ = true;
    if (kernels_.size() < kMaxChunkRows) continue;
    quickly_ = false;
    if (!write(good_)) return false;
    kernels_.clear();
    references_.clear();
    encoder_.clear();
    ++number_;
  }
  return true;
}

bool AccessWriter::flush(bool for_good) {
  if (!dirty_ && !(for_good && quickly_)) return true;
  quickly_ = !for_good;
  return write(for_good ? good_ : quick_);
}

bool AccessWriter::write(ChunkEncoder& encoder) {
  const std::array<Column, kAccessColumns> columns = {kernels_, references_};
  const std::string_view data = encoder.encode(kernels_.size(), columns, kAccessPlans);
  insert_.bind(1, number_);
  insert_.bind(2, static_cast<int64_t>(kernels_.size()));
  insert_.bind(3, static_cast<int64_t>(kernels_.front()));
  insert_.bind(4, static_cast<int64_t>(kernels_.back()));
  insert_.bind(5, first_allocation_);
  insert_.bind(6, last_allocation_);
  insert_.bind_blob(7, data);
  dirty_ = false;
  return insert_.run();
}

}  // namespace tidemark::trace
