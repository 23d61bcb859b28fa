#include "stack_chunks.h"

namespace tidemark::trace {

StackTree::StackTree(sqlite3* db)
    : stacks_(db, kStackTable.name, kStackColumns),
      nodes_(db, kNodeTable.name, kNodeColumns),
      addresses_(db, kAddressTable.name, kAddressColumns),
      locations_(db, kAddressLocationTable.name, kAddressLocationColumns) {}

bool StackTree::stack(int64_t id, Stack& out) {
  std::array<uint64_t, kStackColumns> row{};
  if (!stacks_.read(id, row)) return false;
  out = {static_cast<int64_t>(row[kStackProcess]), static_cast<int64_t>(row[kStackNode])};
  return true;
}

bool StackTree::node(int64_t id, Node& out) {
  std::array<uint64_t, kNodeColumns> row{};
  if (!nodes_.read(id, row)) return false;
  const uint64_t distance = row[kNodeCaller];
  const bool outermost = distance == 0 || distance >= static_cast<uint64_t>(id);
  out = {outermost ? 0 : id - static_cast<int64_t>(distance),
         static_cast<int64_t>(row[kNodeAddress])};
  return true;
}

bool StackTree::address(int64_t id, Address& out) {
  std::array<uint64_t, kAddressColumns> row{};
  if (!addresses_.read(id, row)) return false;
  out = {row[kAddressWord], row[kAddressFrames], row[kAddressFirst], row[kAddressHook] != 0};
  return true;
}

bool StackTree::location(const Address& address, uint64_t i, int64_t& out) {
  std::array<uint64_t, kAddressLocationColumns> row{};
  if (!locations_.read(static_cast<int64_t>(address.first + i), row)) return false;
  out = static_cast<int64_t>(row[kLocation]);
  return true;
}

std::vector<uint64_t> StackTree::words(int64_t at) {
  std::vector<uint64_t> words;
  Node found;
  Address code;
  while (words.size() < kMaxFrames && node(at, found) && address(found.address, code)) {
    words.push_back(code.word);
    at = found.caller;
  }
  return words;
}

void StackTree::locations(int64_t at, std::vector<int64_t>& out) {
  out.clear();
  Node found;
  Address code;
  int64_t id = 0;
  for (size_t depth = 0; depth < kMaxFrames && node(at, found); ++depth) {
    at = found.caller;
    if (!address(found.address, code) || (code.hook && out.empty())) continue;
    for (uint64_t i = 0; i < code.frames && out.size() < kMaxFrames; ++i) {
      if (!location(code, i, id)) break;
      out.push_back(id);
    }
  }
}

const std::string& StackTree::error() const {
  for (const auto* table : {&stacks_, &nodes_, &addresses_}) {
    if (!table->error().empty()) return table->error();
  }
  return locations_.error();
}

void StackTree::clear() {
  for (auto* table : {&stacks_, &nodes_, &addresses_, &locations_}) table->clear();
}

}  // namespace tidemark::trace
