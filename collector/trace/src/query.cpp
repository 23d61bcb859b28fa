#include "query.h"

#include <fmt/format.h>

#include <cstring>
#include <vector>

namespace tidemark::trace {
namespace {

bool one_of(const char* name, std::initializer_list<const char*> names) {
  for (const char* candidate : names) {
    if (name != nullptr && sqlite3_stricmp(name, candidate) == 0) return true;
  }
  return false;
}

int authorize(void*, int action, const char* first, const char* second, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return one_of(second, {"load_extension", "fts3_tokenizer"}) ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA:
      return one_of(first, {"table_info", "table_xinfo", "table_list", "index_list", "index_info",
                            "index_xinfo"})
                 ? SQLITE_OK
                 : SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

struct AuthorizerScope {
  sqlite3* db;
  explicit AuthorizerScope(sqlite3* connection) : db(connection) {
    sqlite3_set_authorizer(db, authorize, nullptr);
  }
  ~AuthorizerScope() { sqlite3_set_authorizer(db, nullptr, nullptr); }
  AuthorizerScope(const AuthorizerScope&) = delete;
  AuthorizerScope& operator=(const AuthorizerScope&) = delete;
};

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

Error query_error(sqlite3* db, const std::string& path) {
  switch (sqlite3_errcode(db) & 0xff) {
    case SQLITE_AUTH:
      return {"only reading is allowed: ask with SELECT"};
    case SQLITE_ERROR:
      return {one_line(fmt::format("SQL: {}", sqlite3_errmsg(db)))};
    default:
      return read_error(db, path);
  }
}

Cell cell_of(const Statement& statement, int column) {
  switch (sqlite3_column_type(statement.get(), column)) {
    case SQLITE_INTEGER:
      return {Cell::Type::kInteger, std::string(statement.text(column))};
    case SQLITE_FLOAT:
      return {Cell::Type::kReal, std::string(statement.text(column))};
    case SQLITE_TEXT:
      return {Cell::Type::kText, std::string(statement.text(column))};
    case SQLITE_BLOB:
      return {Cell::Type::kBlob, std::string(statement.blob(column))};
    default:
      return {Cell::Type::kNull, {}};
  }
}

}  // namespace

Result<void> run_query(sqlite3* db, const std::string& path, const std::string& sql,
                       const std::function<void(std::span<const std::string>)>& header,
                       const std::function<bool(std::span<const Cell>)>& row) {
  // Before the authorizer, which refuses transactions.
  const ReadTransaction transaction(db);
  const AuthorizerScope scope(db);
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  if (sql.find('\0') != std::string::npos) return fail("SQL: a zero byte");
  if (sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, &rest) != SQLITE_OK) {
    return tl::unexpected(query_error(db, path));
  }
  Statement statement = Statement::adopt(raw);
  if (raw == nullptr) return fail("SQL: nothing to run");
  if (sqlite3_stmt_readonly(raw) == 0) return fail("only reading is allowed: ask with SELECT");
  sqlite3_stmt* more = nullptr;
  const bool another =
      sqlite3_prepare_v2(db, rest, -1, &more, nullptr) != SQLITE_OK || more != nullptr;
  sqlite3_finalize(more);
  if (another) return fail("SQL: one statement at a time");

  const int columns = sqlite3_column_count(raw);
  std::vector<std::string> names;
  for (int i = 0; i < columns; ++i) {
    const char* name = sqlite3_column_name(raw, i);
    names.emplace_back(name != nullptr ? name : "");
  }
  header(names);
  std::vector<Cell> cells(static_cast<size_t>(columns));
  while (statement.row()) {
    for (int i = 0; i < columns; ++i) cells[static_cast<size_t>(i)] = cell_of(statement, i);
    if (!row(cells)) return {};
  }
  if (!statement.done()) return tl::unexpected(query_error(db, path));
  return {};
}

}  // namespace tidemark::trace
