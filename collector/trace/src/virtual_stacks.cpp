#include "virtual_stacks.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "symbols.h"
#include "virtual_table.h"

namespace tidemark::trace {
namespace {

// One id, when the query names it: then idxNum is 1.
void use_id(sqlite3_index_info* info, int64_t rows_of_one) {
  info->estimatedCost = 1e7;
  info->estimatedRows = 1000000;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0 || constraint.iColumn != 0 ||
        constraint.op != SQLITE_INDEX_CONSTRAINT_EQ) {
      continue;
    }
    info->aConstraintUsage[i].argvIndex = 1;
    info->idxNum = 1;
    info->estimatedCost = static_cast<double>(rows_of_one);
    info->estimatedRows = rows_of_one;
    break;
  }
}

// 0, which no row has, for what is no whole number.
int64_t id_of(sqlite3_value* value) {
  return sqlite3_value_numeric_type(value) == SQLITE_INTEGER ? sqlite3_value_int64(value) : 0;
}

int outcome(sqlite3_vtab* table, const std::string& error, const std::string& path) {
  return error.empty() ? SQLITE_OK : report(table, damaged(path, error).message);
}

// --- tidemark_frame ----------------------------------------------------------------------------

constexpr const char* kFrameColumns =
    "CREATE TABLE x(stack_id INTEGER, depth INTEGER, kind TEXT, function TEXT, file TEXT, line "
    "INTEGER, module TEXT, inlined INTEGER)";

struct FrameCursor : sqlite3_vtab_cursor {
  explicit FrameCursor(sqlite3* db) : sqlite3_vtab_cursor{}, strings(db), table(db, strings) {}
  StringTable strings;
  StackTable table;
  bool all = false;  // not one stack only
  int64_t stack = 0;
  std::vector<Frame> frames;
  size_t depth = 0;
};

int frame_connect(sqlite3* db, void*, int, const char* const*, sqlite3_vtab** out, char**) {
  return connect(db, kFrameColumns, out);
}

int frame_best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  use_id(info, 50);
  return SQLITE_OK;
}

int load_frames(FrameCursor& cursor) {
  cursor.depth = 0;
  cursor.frames.clear();
  while (cursor.frames.empty() && cursor.all) {
    cursor.stack = static_cast<int64_t>(cursor.table.next(static_cast<StackId>(cursor.stack)));
    if (cursor.stack == 0) break;
    cursor.frames = cursor.table.read(static_cast<StackId>(cursor.stack));
  }
  return outcome(cursor.pVtab, cursor.table.error(), path_of(&cursor));
}

int frame_filter(sqlite3_vtab_cursor* base, int by_stack, const char*, int,
                 sqlite3_value** values) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<FrameCursor*>(base);
    cursor.all = by_stack == 0;
    cursor.stack = 0;
    if (cursor.all) return load_frames(cursor);
    cursor.depth = 0;
    cursor.frames.clear();
    cursor.stack = id_of(values[0]);
    if (cursor.stack > 0) cursor.frames = cursor.table.read(static_cast<StackId>(cursor.stack));
    return outcome(cursor.pVtab, cursor.table.error(), path_of(&cursor));
  });
}

int frame_next(sqlite3_vtab_cursor* base) {
  auto& cursor = *static_cast<FrameCursor*>(base);
  if (++cursor.depth < cursor.frames.size()) return SQLITE_OK;
  return guarded(base->pVtab, [&] { return load_frames(cursor); });
}

int frame_eof(sqlite3_vtab_cursor* base) {
  return static_cast<FrameCursor*>(base)->frames.empty() ? 1 : 0;
}

int frame_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  const auto& cursor = *static_cast<FrameCursor*>(base);
  const Frame& frame = cursor.frames[cursor.depth];
  switch (column) {
    case 0:
      sqlite3_result_int64(context, cursor.stack);
      break;
    case 1:
      sqlite3_result_int64(context, static_cast<int64_t>(cursor.depth));
      break;
    case 2:
      sqlite3_result_text(context, to_string(frame.kind), -1, SQLITE_STATIC);
      break;
    case 3:
      give(context, frame.function);
      break;
    case 4:
      give(context, frame.file);
      break;
    case 5:
      give(context, frame.line, 0);
      break;
    case 6:
      give(context, frame.module);
      break;
    case 7:
      sqlite3_result_int64(context, frame.inlined ? 1 : 0);
      break;
    default:
      sqlite3_result_null(context);
  }
  return SQLITE_OK;
}

int frame_rowid(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  const auto& cursor = *static_cast<FrameCursor*>(base);
  *out = static_cast<int64_t>(static_cast<uint64_t>(cursor.stack) << 16 | cursor.depth);
  return SQLITE_OK;
}

const sqlite3_module& frame_module() {
  static const sqlite3_module module = [] {
    sqlite3_module m{};
    m.xConnect = frame_connect;
    m.xBestIndex = frame_best_index;
    m.xDisconnect = disconnect;
    m.xOpen = open_cursor<FrameCursor>;
    m.xClose = close_cursor<FrameCursor>;
    m.xFilter = frame_filter;
    m.xNext = frame_next;
    m.xEof = frame_eof;
    m.xColumn = frame_column;
    m.xRowid = frame_rowid;
    return m;
  }();
  return module;
}

// --- tidemark_stack, tidemark_stack_node, tidemark_stack_address --------------------------------

// Their rows have ids that count from 1 without gaps.
enum class IdTable : uintptr_t { kStack, kNode, kAddresses };

constexpr std::array<const char*, 3> kIdColumns = {
    "CREATE TABLE x(id INTEGER, process_id INTEGER, node_id INTEGER)",
    "CREATE TABLE x(id INTEGER, parent_id INTEGER, location_id INTEGER, address INTEGER)",
    "CREATE TABLE x(stack_id INTEGER, process_id INTEGER, shared INTEGER, addresses BLOB)"};

struct IdVirtualTable : Table {
  IdTable which{};
};

struct IdCursor : sqlite3_vtab_cursor {
  IdCursor(sqlite3* db, IdTable table) : sqlite3_vtab_cursor{}, which(table), tree(db) {}
  IdTable which;
  StackTree tree;
  int64_t id = 0;
  bool all = false;
  bool there = false;
  StackTree::Stack stack;
  StackTree::Node node;
};

int id_connect(sqlite3* db, void* which, int, const char* const*, sqlite3_vtab** out, char**) {
  const auto index = reinterpret_cast<uintptr_t>(which);
  const int declared = sqlite3_declare_vtab(db, kIdColumns[index]);
  if (declared != SQLITE_OK) return declared;
  auto* table = new (std::nothrow) IdVirtualTable{};
  if (table == nullptr) return SQLITE_NOMEM;
  table->db = db;
  table->which = static_cast<IdTable>(index);
  *out = table;
  return SQLITE_OK;
}

int id_disconnect(sqlite3_vtab* table) {
  delete static_cast<IdVirtualTable*>(table);
  return SQLITE_OK;
}

int id_best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  use_id(info, 1);
  return SQLITE_OK;
}

int id_open(sqlite3_vtab* table, sqlite3_vtab_cursor** out) {
  return guarded(table, [&] {
    const auto& of = *static_cast<IdVirtualTable*>(table);
    *out = new IdCursor(of.db, of.which);
    return SQLITE_OK;
  });
}

int load_id(IdCursor& cursor) {
  cursor.there = cursor.id > 0 &&
                 (cursor.which == IdTable::kNode ? cursor.tree.node(cursor.id, cursor.node)
                                                 : cursor.tree.stack(cursor.id, cursor.stack));
  return outcome(cursor.pVtab, cursor.tree.error(), path_of(&cursor));
}

int id_filter(sqlite3_vtab_cursor* base, int by_id, const char*, int, sqlite3_value** values) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<IdCursor*>(base);
    cursor.all = by_id == 0;
    cursor.id = cursor.all ? 1 : id_of(values[0]);
    return load_id(cursor);
  });
}

int id_next(sqlite3_vtab_cursor* base) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<IdCursor*>(base);
    cursor.there = false;
    if (!cursor.all) return SQLITE_OK;
    ++cursor.id;
    return load_id(cursor);
  });
}

int id_eof(sqlite3_vtab_cursor* base) { return static_cast<IdCursor*>(base)->there ? 0 : 1; }

int id_rowid(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  *out = static_cast<IdCursor*>(base)->id;
  return SQLITE_OK;
}

void give_addresses(IdCursor& cursor, sqlite3_context* context) {
  std::string bytes;
  for (const uint64_t word : cursor.tree.words(cursor.stack.node)) {
    for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(word >> shift);
  }
  sqlite3_result_blob64(context, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
}

void give_stack(IdCursor& cursor, sqlite3_context* context, int column) {
  if (column == 1) return give(context, cursor.stack.process, 0);
  if (column == 2 && cursor.which == IdTable::kStack) return give(context, cursor.stack.node, 0);
  if (column == 2) return sqlite3_result_int64(context, 0);  // none with the stack before
  give_addresses(cursor, context);
}

void give_node(IdCursor& cursor, sqlite3_context* context, int column) {
  if (column == 1) return give(context, cursor.node.caller, 0);
  StackTree::Address address;
  if (!cursor.tree.address(cursor.node.address, address)) return sqlite3_result_null(context);
  if (column == 3) return sqlite3_result_int64(context, static_cast<int64_t>(address.word));
  int64_t location = 0;
  if (address.frames != 0) cursor.tree.location(address, 0, location);
  give(context, location, 0);
}

int id_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<IdCursor*>(base);
    if (column == 0) {
      sqlite3_result_int64(context, cursor.id);
    } else if (cursor.which == IdTable::kNode) {
      give_node(cursor, context, column);
    } else {
      give_stack(cursor, context, column);
    }
    return SQLITE_OK;
  });
}

const sqlite3_module& id_module() {
  static const sqlite3_module module = [] {
    sqlite3_module m{};
    m.xConnect = id_connect;
    m.xBestIndex = id_best_index;
    m.xDisconnect = id_disconnect;
    m.xOpen = id_open;
    m.xClose = close_cursor<IdCursor>;
    m.xFilter = id_filter;
    m.xNext = id_next;
    m.xEof = id_eof;
    m.xColumn = id_column;
    m.xRowid = id_rowid;
    return m;
  }();
  return module;
}

}  // namespace

int register_stack_modules(sqlite3* db) {
  int status = sqlite3_create_module_v2(db, "tidemark_frame", &frame_module(), nullptr, nullptr);
  const auto add = [&](const char* name, IdTable table) {
    if (status != SQLITE_OK) return;
    status =
        sqlite3_create_module_v2(db, name, &id_module(), reinterpret_cast<void*>(table), nullptr);
  };
  add("tidemark_stack", IdTable::kStack);
  add("tidemark_stack_node", IdTable::kNode);
  add("tidemark_stack_address", IdTable::kAddresses);
  return status;
}

}  // namespace tidemark::trace
