#include "create.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "schema.h"

namespace tidemark::trace {
namespace {

Error cannot_create(const std::string& path, std::string_view why) {
  return {fmt::format("cannot create {}: {}; choose another place with -o", path, why)};
}

// A lock that only a lone user of the file gets: two writers of one name would share a journal.
bool in_use(const std::string& path) {
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(uri_of(path, "mode=rw").c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  const Connection db(raw);
  if (opened != SQLITE_OK) return false;
  sqlite3_db_config(db.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  execute(db.get(), "PRAGMA locking_mode=EXCLUSIVE");
  return (execute(db.get(), "BEGIN EXCLUSIVE") & 0xff) == SQLITE_BUSY;
}

Result<void> make_way(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 && errno == ENOENT) return {};
  const auto header = read_header(path);
  if (!header) return tl::unexpected(cannot_create(path, header.error().message));
  if (!header->trace && !header->empty) {
    return fail(fmt::format(
        "{} exists and is not a tidemark trace: move it away or choose another name with -o",
        path));
  }
  if (header->trace && in_use(path)) {
    return fail(fmt::format(
        "{} is being written or read by another program: end that or choose another name with -o",
        path));
  }
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    if (unlink((path + suffix).c_str()) != 0 && errno != ENOENT) {
      return tl::unexpected(cannot_create(path, std::strerror(errno)));
    }
  }
  return {};
}

Result<void> make_schema(sqlite3* db, const std::string& path) {
  std::string script = "PRAGMA page_size=16384; PRAGMA auto_vacuum=INCREMENTAL; BEGIN;";
  for (const SchemaObject& object : schema_objects()) {
    if (object.last == kFormatVersion) script += std::string(object.sql) + ";";
  }
  // synchronous=OFF: what was committed survives the death of this process, and the recorded
  // program never waits for a disk to become quiet.
  script += fmt::format(
      "PRAGMA application_id={}; PRAGMA user_version={}; COMMIT;"
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
      "PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536;",
      kApplicationId, kFormatVersion);
  if (execute(db, script.c_str()) != SQLITE_OK) return tl::unexpected(write_error(db, path));
  return {};
}

}  // namespace

Result<Connection> create_trace_file(const std::string& path) {
  if (auto clear = make_way(path); !clear) return tl::unexpected(clear.error());
  // Made by hand first: open() says better than SQLite why it cannot be, and O_EXCL makes sure that
  // it is ours.
  const int file = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
  if (file < 0) return tl::unexpected(cannot_create(path, std::strerror(errno)));
  close(file);
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(uri_of(path, "mode=rw").c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  Connection db(raw);
  auto made = opened == SQLITE_OK ? make_schema(db.get(), path)
                                  : Result<void>(tl::unexpected(write_error(db.get(), path)));
  if (!made) {
    db.reset();
    unlink(path.c_str());
    return tl::unexpected(made.error());
  }
  return db;
}

}  // namespace tidemark::trace
