// What the table-valued modules share: a table that knows its connection, errors as SQLite wants
// them, absent values as NULL.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "sqlite.h"

namespace tidemark::trace {

struct Table : sqlite3_vtab {
  sqlite3* db = nullptr;
};

inline int connect(sqlite3* db, const char* columns, sqlite3_vtab** out) {
  const int declared = sqlite3_declare_vtab(db, columns);
  if (declared != SQLITE_OK) return declared;
  auto* table = new (std::nothrow) Table{};
  if (table == nullptr) return SQLITE_NOMEM;
  table->db = db;
  *out = table;
  return SQLITE_OK;
}

inline int disconnect(sqlite3_vtab* table) {
  delete static_cast<Table*>(table);
  return SQLITE_OK;
}

inline int report(sqlite3_vtab* table, const std::string& message) {
  sqlite3_free(table->zErrMsg);
  table->zErrMsg = sqlite3_mprintf("%s", message.c_str());
  return SQLITE_ERROR;
}

inline std::string path_of(const sqlite3_vtab_cursor* cursor) {
  const char* path = sqlite3_db_filename(static_cast<const Table*>(cursor->pVtab)->db, "main");
  return path != nullptr && *path != '\0' ? path : "the main database";
}

// No C++ exception may pass through SQLite.
template <class Body>
int guarded(sqlite3_vtab* table, Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  } catch (const std::exception& error) {
    return report(table, error.what());
  }
}

// Of a Cursor that needs its table's connection only.
template <class Cursor>
int open_cursor(sqlite3_vtab* table, sqlite3_vtab_cursor** out) {
  return guarded(table, [&] {
    *out = new Cursor(static_cast<Table*>(table)->db);
    return SQLITE_OK;
  });
}

template <class Cursor>
int close_cursor(sqlite3_vtab_cursor* cursor) {
  delete static_cast<Cursor*>(cursor);
  return SQLITE_OK;
}

inline void give(sqlite3_context* context, int64_t value, int64_t absent) {
  value == absent ? sqlite3_result_null(context) : sqlite3_result_int64(context, value);
}

inline void give(sqlite3_context* context, const std::string& text) {
  if (text.empty()) {
    sqlite3_result_null(context);
  } else {
    sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
}

}  // namespace tidemark::trace
