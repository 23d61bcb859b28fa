#include "sqlite.h"

#include <fmt/format.h>

#include <cstring>

namespace tidemark::trace {

Statement::Statement(sqlite3* db, std::string_view sql, unsigned flags) {
  sqlite3_stmt* raw = nullptr;
  status_ = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), flags, &raw, nullptr);
  handle_.reset(raw);
}

void Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(handle_.get(), index, text.data() != nullptr ? text.data() : "", text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
}

void Statement::bind_blob(int index, std::string_view bytes) {
  sqlite3_bind_blob64(handle_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

bool Statement::row() {
  if (!handle_) return false;
  status_ = sqlite3_step(handle_.get());
  return status_ == SQLITE_ROW;
}

bool Statement::run() {
  while (row()) {
  }
  const bool ok = done();
  reset();
  return ok;
}

void Statement::reset() { sqlite3_reset(handle_.get()); }

std::string_view Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(handle_.get(), column);
  if (bytes == nullptr) return {};
  return {reinterpret_cast<const char*>(bytes),
          static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::string_view Statement::blob(int column) const {
  const void* bytes = sqlite3_column_blob(handle_.get(), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes),
          static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

int execute(sqlite3* db, const char* sql) {
  return sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
}

ReadTransaction::ReadTransaction(sqlite3* db)
    : db_(db), began_(sqlite3_get_autocommit(db) != 0 && execute(db, "BEGIN") == SQLITE_OK) {}

ReadTransaction::~ReadTransaction() {
  if (began_) execute(db_, "COMMIT");
}

Error damaged(const std::string& path, std::string_view what) {
  return {fmt::format("{} is damaged ({}): restore a copy or record it again", path, what)};
}

Error read_error(sqlite3* db, const std::string& path) {
  const int code = sqlite3_errcode(db) & 0xff;
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_TOOBIG:
      return damaged(path, sqlite3_errmsg(db));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {fmt::format("{} is locked by another program: try again when that has ended", path)};
    case SQLITE_NOMEM:
      return {fmt::format("not enough memory to read {}", path)};
    default: {
      const int cause = sqlite3_system_errno(db);
      return {fmt::format("cannot read {}: {}", path,
                          (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && cause != 0
                              ? std::strerror(cause)
                              : sqlite3_errmsg(db))};
    }
  }
}

Error write_error(sqlite3* db, const std::string& path) {
  const int code = sqlite3_errcode(db) & 0xff;
  const int cause = sqlite3_system_errno(db);
  if (code == SQLITE_FULL) {
    return {fmt::format(
        "no space left for {}: free some, or choose another disk with -o; what was written before "
        "can be read",
        path)};
  }
  return {fmt::format(
      "cannot write {}: {}; choose another place with -o; what was written before can be read",
      path,
      (code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && cause != 0 ? std::strerror(cause)
                                                                      : sqlite3_errmsg(db))};
}

std::string uri_of(const std::string& path, std::string_view parameters) {
  // "./" keeps ":memory:" and "//host" from meaning anything but a file of that name.
  std::string uri = path.starts_with('/') ? "file://" : "file:./";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '/' || byte == '.' || byte == '-' ||
                       byte == '_';
    uri += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  uri += '?';
  uri += parameters;
  return uri;
}

}  // namespace tidemark::trace
