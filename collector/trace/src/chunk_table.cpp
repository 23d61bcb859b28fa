#include "chunk_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace tidemark::trace {
namespace {

constexpr auto kChunkRows = static_cast<int64_t>(kMaxChunkRows);
// 32 M nodes of stacks. Beyond, chunks are decoded again when they are asked for again.
constexpr size_t kMaxKeptBytes = size_t{256} << 20;

}  // namespace

ChunkTableReader::ChunkTableReader(sqlite3* db, const char* table, size_t columns)
    : columns_(columns) {
  if (db == nullptr) return;
  read_ = Statement(db, fmt::format("SELECT rows, data FROM main.{} WHERE id=?1", table),
                    SQLITE_PREPARE_PERSISTENT);
}

ChunkTableReader::Values ChunkTableReader::kept(Column column) {
  Values values;
  if (column.size() == 1) {
    values.same = column[0];
  } else if (*std::max_element(column.begin(), column.end()) <=
             std::numeric_limits<uint32_t>::max()) {
    values.narrow.resize(column.size());
    std::transform(column.begin(), column.end(), values.narrow.begin(),
                   [](uint64_t value) { return static_cast<uint32_t>(value); });
  } else {
    values.wide.assign(column.begin(), column.end());
  }
  return values;
}

const ChunkTableReader::Chunk* ChunkTableReader::chunk(int64_t number) {
  if (const auto found = chunks_.find(number); found != chunks_.end()) return &found->second;
  read_.bind(1, number);
  Chunk chunk;
  if (read_.row()) {
    const auto decoded = decoder_.decode(read_.blob(1), columns_);
    if (!decoded) {
      error_ = decoded.error().message;
    } else if (static_cast<int64_t>(decoded->rows) != read_.integer(0)) {
      error_ = "a chunk of stacks has another number of rows than it says";
    } else {
      chunk.rows = decoded->rows;
      for (const Column column : decoded->columns) chunk.columns.push_back(kept(column));
    }
  } else if (!read_.done()) {
    error_ = "a chunk of stacks cannot be read";
  }
  read_.reset();
  if (chunk.rows == 0) return nullptr;
  size_t bytes = sizeof(Chunk);
  for (const Values& values : chunk.columns) {
    bytes += values.narrow.size() * sizeof(uint32_t) + values.wide.size() * sizeof(uint64_t);
  }
  if (kept_bytes_ + bytes > kMaxKeptBytes) {
    chunks_.clear();
    kept_bytes_ = 0;
  }
  kept_bytes_ += bytes;
  return &chunks_.insert_or_assign(number, std::move(chunk)).first->second;
}

bool ChunkTableReader::read(int64_t id, std::span<uint64_t> row) {
  if (id < 1 || read_.get() == nullptr) return false;
  const Chunk* found = chunk((id - 1) / kChunkRows + 1);
  const auto at = static_cast<size_t>((id - 1) % kChunkRows);
  if (found == nullptr || at >= found->rows) return false;
  for (size_t i = 0; i < columns_; ++i) row[i] = found->columns[i].at(at);
  return true;
}

void ChunkTableReader::clear() {
  chunks_.clear();
  kept_bytes_ = 0;
  error_.clear();
}

}  // namespace tidemark::trace
