#include "virtual_access.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "access_scan.h"
#include "virtual_table.h"

namespace tidemark::trace {
namespace {

constexpr const char* kColumns = "CREATE TABLE x(kernel_id INTEGER, allocation_id INTEGER)";

struct AccessCursor : sqlite3_vtab_cursor {
  explicit AccessCursor(sqlite3*) : sqlite3_vtab_cursor{} {}
  std::unique_ptr<AccessScan> scan;
  std::vector<Access> rows;
  size_t at = 0;
  int64_t row_id = 0;
};

int access_connect(sqlite3* db, void*, int, const char* const*, sqlite3_vtab** out, char**) {
  return connect(db, kColumns, out);
}

// Constraints narrow down the chunks; SQLite checks every row again. One letter per argument:
// k, a: a kernel or allocation equals it; lower and upper bounds: l, u of kernels, m, v of
// allocations.
int access_best_index(sqlite3_vtab*, sqlite3_index_info* info) {
  std::string plan;
  bool one = false;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.usable == 0 || constraint.iColumn < 0) continue;
    const bool kernel = constraint.iColumn == 0;
    char letter = 0;
    if (constraint.op == SQLITE_INDEX_CONSTRAINT_EQ) letter = kernel ? 'k' : 'a';
    if (constraint.op == SQLITE_INDEX_CONSTRAINT_GE || constraint.op == SQLITE_INDEX_CONSTRAINT_GT)
      letter = kernel ? 'l' : 'm';
    if (constraint.op == SQLITE_INDEX_CONSTRAINT_LE || constraint.op == SQLITE_INDEX_CONSTRAINT_LT)
      letter = kernel ? 'u' : 'v';
    if (letter == 0) continue;
    one |= letter == 'k';
    plan += letter;
    info->aConstraintUsage[i].argvIndex = static_cast<int>(plan.size());
  }
  // One kernel lies in one chunk; an allocation may be in any.
  info->estimatedCost = one ? 1e5 : plan.empty() ? 1e9 : 1e8;
  info->estimatedRows = one ? 10 : plan.empty() ? 100000000 : 1000000;
  info->idxStr = sqlite3_mprintf("%s", plan.c_str());
  info->needToFreeIdxStr = 1;
  return info->idxStr != nullptr ? SQLITE_OK : SQLITE_NOMEM;
}

int load_rows(AccessCursor& cursor) {
  cursor.at = 0;
  const auto next = cursor.scan->next(cursor.rows);
  return next ? SQLITE_OK : report(cursor.pVtab, next.error().message);
}

void narrow(AccessFilter& filter, char letter, sqlite3_value* value) {
  if (sqlite3_value_type(value) != SQLITE_INTEGER) return;
  const int64_t number = sqlite3_value_int64(value);
  if (letter == 'k' || letter == 'l') filter.first_kernel = std::max(filter.first_kernel, number);
  if (letter == 'k' || letter == 'u') filter.last_kernel = std::min(filter.last_kernel, number);
  const AllocationId allocation{number};
  if (letter == 'a' || letter == 'm') {
    filter.first_allocation = std::max(filter.first_allocation, allocation);
  }
  if (letter == 'a' || letter == 'v') {
    filter.last_allocation = std::min(filter.last_allocation, allocation);
  }
}

int access_filter(sqlite3_vtab_cursor* base, int, const char* plan, int count,
                  sqlite3_value** values) {
  return guarded(base->pVtab, [&] {
    auto& cursor = *static_cast<AccessCursor*>(base);
    AccessFilter filter;
    for (int i = 0; i < count; ++i) narrow(filter, plan[i], values[i]);
    cursor.scan =
        std::make_unique<AccessScan>(static_cast<Table*>(base->pVtab)->db, path_of(base), filter);
    cursor.row_id = 1;
    return load_rows(cursor);
  });
}

int access_next(sqlite3_vtab_cursor* base) {
  auto& cursor = *static_cast<AccessCursor*>(base);
  ++cursor.row_id;
  if (++cursor.at < cursor.rows.size()) return SQLITE_OK;
  return guarded(base->pVtab, [&] { return load_rows(cursor); });
}

int access_eof(sqlite3_vtab_cursor* base) {
  return static_cast<AccessCursor*>(base)->rows.empty() ? 1 : 0;
}

int access_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  const auto& cursor = *static_cast<AccessCursor*>(base);
  const Access& row = cursor.rows[cursor.at];
  sqlite3_result_int64(context, column == 0 ? row.kernel : static_cast<int64_t>(row.allocation));
  return SQLITE_OK;
}

int access_rowid(sqlite3_vtab_cursor* base, sqlite3_int64* out) {
  *out = static_cast<AccessCursor*>(base)->row_id;
  return SQLITE_OK;
}

const sqlite3_module& access_module() {
  static const sqlite3_module module = [] {
    sqlite3_module m{};
    m.xConnect = access_connect;
    m.xBestIndex = access_best_index;
    m.xDisconnect = disconnect;
    m.xOpen = open_cursor<AccessCursor>;
    m.xClose = close_cursor<AccessCursor>;
    m.xFilter = access_filter;
    m.xNext = access_next;
    m.xEof = access_eof;
    m.xColumn = access_column;
    m.xRowid = access_rowid;
    return m;
  }();
  return module;
}

}  // namespace

int register_access_module(sqlite3* db) {
  return sqlite3_create_module_v2(db, "tidemark_access", &access_module(), nullptr, nullptr);
}

}  // namespace tidemark::trace
