// The thin layer over sqlite3_*: handles that close themselves, statements that keep their first
// error, errors as one line a user can act on. Compiled twice: into tidemark_trace, and (with
// TIDEMARK_SQLITE_EXTENSION) into the loadable extension, where every call goes through the table
// that the host hands over.
#pragma once

#ifdef TIDEMARK_SQLITE_EXTENSION
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT3
#else
#include <sqlite3.h>
#endif

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "tidemark/trace/result.h"

namespace tidemark::trace {

struct ConnectionCloser {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Connection = std::unique_ptr<sqlite3, ConnectionCloser>;

struct StatementFinalizer {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

// One prepared statement. Text and blobs that are bound must live until reset().
class Statement {
 public:
  Statement() = default;
  // A statement that cannot be prepared never gives a row; status() says why.
  Statement(sqlite3* db, std::string_view sql, unsigned flags = 0);

  static Statement adopt(sqlite3_stmt* handle) {
    Statement statement;
    statement.handle_.reset(handle);
    return statement;
  }

  void bind(int index, int64_t value) { sqlite3_bind_int64(handle_.get(), index, value); }
  void bind_null(int index) { sqlite3_bind_null(handle_.get(), index); }
  void bind_unless(int index, int64_t value, int64_t absent) {
    value == absent ? bind_null(index) : bind(index, value);
  }
  void bind(int index, std::string_view text);
  void bind_blob(int index, std::string_view bytes);

  bool row();  // steps; true: there is a row. After false, status() is SQLITE_DONE or the error.
  bool run();  // steps to the end and resets; true when nothing failed
  void reset();
  int status() const { return status_; }
  bool done() const { return status_ == SQLITE_DONE; }

  bool is_null(int column) const {
    return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
  }
  int64_t integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  int64_t integer_or(int column, int64_t absent) const {
    return is_null(column) ? absent : integer(column);
  }
  // Valid until the next step or reset.
  std::string_view text(int column) const;
  std::string_view blob(int column) const;
  sqlite3_stmt* get() const { return handle_.get(); }

 private:
  std::unique_ptr<sqlite3_stmt, StatementFinalizer> handle_;
  int status_ = SQLITE_OK;
};

int execute(sqlite3* db, const char* sql);  // the SQLite result code

// Begins a read transaction unless one is open; ends what it began. All statements inside see the
// trace at one moment, although a writer goes on.
class ReadTransaction {
 public:
  explicit ReadTransaction(sqlite3* db);
  ~ReadTransaction();
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

 private:
  sqlite3* db_;
  bool began_;
};

// "PATH is damaged (…): …" and the like, from the connection's last error.
Error read_error(sqlite3* db, const std::string& path);
Error write_error(sqlite3* db, const std::string& path);
Error damaged(const std::string& path, std::string_view what);

// A URI that opens exactly this path, whatever characters it has.
std::string uri_of(const std::string& path, std::string_view parameters);

}  // namespace tidemark::trace
