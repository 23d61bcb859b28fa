// Stacks as a tree of addresses, in chunks of columns: each node, address and location is stored
// once. Keeps the open chunks, and all addresses, which are few. Functions return or set false when
// SQLite failed.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "sqlite.h"
#include "stack_columns.h"
#include "tidemark/trace/types.h"

namespace tidemark::trace {

// Writes one table of chunks. A chunk that is not full is written again when more rows have come.
class ChunkTableWriter {
 public:
  ChunkTableWriter(sqlite3* db, const char* table, std::span<const ColumnPlan> plans);

  // Rows of chunk `number`, which counts from 0; every column has as many values.
  bool write(size_t number, std::span<const Column> columns, ChunkEncoder& encoder);
  [[nodiscard]] std::span<const ColumnPlan> plans() const { return plans_; }

 private:
  Statement insert_;
  std::span<const ColumnPlan> plans_;
};

// The same for rows that are added one by one and never changed.
template <size_t Columns>
class AppendedRows {
 public:
  AppendedRows(sqlite3* db, const ChunkTable<Columns>& table)
      : writer_(db, table.name, table.plans) {}

  // The new row's id. `full`: writes it, with that encoder.
  int64_t add(const std::array<uint64_t, Columns>& row, ChunkEncoder& full, bool& ok) {
    for (size_t i = 0; i < Columns; ++i) columns_[i].push_back(row[i]);
    const auto id = static_cast<int64_t>(number_ * kMaxChunkRows + columns_[0].size());
    dirty_ = true;
    if (columns_[0].size() == kMaxChunkRows) {
      ok = flush(full) && ok;
      for (auto& column : columns_) column.clear();
      ++number_;
    }
    return id;
  }
  bool flush(ChunkEncoder& encoder) {
    if (!dirty_) return true;
    dirty_ = false;
    std::array<Column, Columns> all;
    for (size_t i = 0; i < Columns; ++i) all[i] = columns_[i];
    return writer_.write(number_, all, encoder);
  }
  [[nodiscard]] int64_t next_id() const {
    return static_cast<int64_t>(number_ * kMaxChunkRows + columns_[0].size() + 1);
  }

 private:
  ChunkTableWriter writer_;
  std::array<std::vector<uint64_t>, Columns> columns_;
  size_t number_ = 0;
  bool dirty_ = false;
};

class StackWriter {
 public:
  using Intern = std::function<StringId(std::string_view)>;
  explicit StackWriter(sqlite3* db);

  AddressId add_address(ProcessId process, uint64_t word, int64_t time_ns);
  StackNodeId add_node(StackNodeId caller, AddressId address, bool& ok);
  StackId add_stack(ProcessId process, StackNodeId innermost, bool& ok);
  FrameId frame(const Frame& frame, const Intern& intern, bool& ok);
  bool name(AddressId id, std::span<const FrameId> frames, bool hook);

  // A row of a plain table names it: so its frames shall be plain rows as well (write_plain).
  void use_in_row(StackId id) {
    const auto index = static_cast<size_t>(id);
    if (index >= in_rows_.size()) in_rows_.resize(index + 1);
    in_rows_[index] = true;
  }

  enum class For { kNow, kGood };  // what may be written again soon, and what stays
  bool flush(For reason);
  // After the last flush: the stacks of plain rows, for stock sqlite3.
  bool write_plain(sqlite3* db);

 private:
  struct Location {
    StringId function, file, module;
    int32_t line;
    FrameKind kind;
    bool inlined;
    bool operator==(const Location&) const = default;
  };
  struct Hash {
    size_t operator()(const Location& location) const;
  };
  struct Address {
    uint64_t word;
    int64_t time_ns;
    int64_t first;
    ProcessId process;
    uint32_t frames : 31;
    uint32_t hook : 1;
  };
  bool write_addresses(size_t chunk, ChunkEncoder& encoder);

  Statement insert_location_;
  ChunkTableWriter address_writer_;
  AppendedRows<kStackColumns> stacks_;
  AppendedRows<kNodeColumns> nodes_;
  AppendedRows<kAddressLocationColumns> address_locations_;
  // Full chunks are written for good; those that are not, quickly.
  ChunkEncoder good_, quick_;
  std::vector<Address> addresses_;  // by id - 1
  std::vector<bool> changed_;       // chunks of addresses
  std::unordered_map<Location, int64_t, Hash> locations_;
  std::vector<bool> in_rows_;  // by id
};

}  // namespace tidemark::trace
