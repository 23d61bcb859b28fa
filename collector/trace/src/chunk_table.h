// Reads a table of chunks (stack_columns.h) by id. Decoded chunks are kept, up to a bound: a trace
// is untrusted, and a few bytes of it can stand for much.
#pragma once

#include <array>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sqlite.h"
#include "stack_columns.h"

namespace tidemark::trace {

class ChunkTableReader {
 public:
  // `db` null: a table without rows.
  ChunkTableReader(sqlite3* db, const char* table, size_t columns);

  // False: there is no such row (yet), or error() says what is wrong. `row`: a value per column.
  bool read(int64_t id, std::span<uint64_t> row);
  // What was damaged, until clear().
  [[nodiscard]] const std::string& error() const { return error_; }
  void clear();  // forgets what was read: a writer may have added to it

 private:
  // 32 bits where they do, which is nearly everywhere.
  struct Values {
    std::vector<uint32_t> narrow;
    std::vector<uint64_t> wide;
    uint64_t same = 0;
    [[nodiscard]] uint64_t at(size_t row) const {
      return !narrow.empty() ? narrow[row] : !wide.empty() ? wide[row] : same;
    }
  };
  struct Chunk {
    size_t rows = 0;
    std::vector<Values> columns;
  };
  const Chunk* chunk(int64_t number);
  static Values kept(Column column);

  size_t columns_;
  Statement read_;
  ChunkDecoder decoder_;
  std::unordered_map<int64_t, Chunk> chunks_;
  size_t kept_bytes_ = 0;
  std::string error_;
};

}  // namespace tidemark::trace
