#include "open.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "schema.h"
#include "virtual_tables.h"

namespace tidemark::trace {
namespace {

// The largest text or blob: a full chunk of the least compressible rows stays below a quarter.
constexpr int kMaxValueBytes = 64 << 20;

void harden(sqlite3* db) {
  for (const int off :
       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
        SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
        SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_DQS_DML, SQLITE_DBCONFIG_WRITABLE_SCHEMA}) {
    sqlite3_db_config(db, off, 0, nullptr);
  }
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kMaxValueBytes);
  sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 1 << 20);
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
  sqlite3_busy_timeout(db, 2000);
}

struct Opened {
  Connection db;
  int status;
};

Opened try_open(const std::string& path, std::string_view parameters) {
  sqlite3* raw = nullptr;
  int status =
      sqlite3_open_v2(uri_of(path, parameters).c_str(), &raw,
                      SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  Opened opened{Connection(raw), status};
  if (status != SQLITE_OK) return opened;
  harden(raw);
  execute(raw, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY");
  // The first real read: only now SQLite looks at the file and its journal.
  opened.status = execute(raw, "SELECT count(*) FROM main.sqlite_master");
  return opened;
}

uint64_t size_of(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

// The format version.
Result<int32_t> check_header(const std::string& path) {
  const auto header = read_header(path);
  if (!header) return tl::unexpected(header.error());
  if (!header->trace) {
    return fail(header->empty ? fmt::format("{} is empty, so not a tidemark trace", path)
                              : fmt::format("{} is not a tidemark trace", path));
  }
  if (header->version > kFormatVersion) {
    return fail(
        fmt::format("{} was written by a newer tidemark (format {}, this one reads {}): update "
                    "tidemark",
                    path, header->version, kFormatVersion));
  }
  if (header->version < 1) {
    return fail(fmt::format("{} has the format {}, which this tidemark cannot read (it reads {})",
                            path, header->version, kFormatVersion));
  }
  // What a journal has still to bring is not missing.
  if (header->said_bytes > header->bytes && size_of(path + "-wal") == 0) {
    return fail(fmt::format("{} is cut short ({} of {} bytes): copy it again", path, header->bytes,
                            header->said_bytes));
  }
  return header->version;
}

}  // namespace

Result<Connection> open_trace_file(const std::string& path) {
  const auto version = check_header(path);
  if (!version) return tl::unexpected(version.error());
  Opened opened = try_open(path, "mode=ro");
  const int code = opened.status & 0xff;
  if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
    // A journal needs its index file, which cannot be made in a folder that is read-only.
    if (size_of(path + "-wal") != 0 || size_of(path + "-journal") != 0) {
      return fail(fmt::format(
          "{} has an unfinished journal beside it and its folder cannot be written: copy the trace "
          "and {}-wal to a folder of yours and open it there",
          path, path));
    }
    opened = try_open(path, "mode=ro&immutable=1");
  }
  if (opened.status != SQLITE_OK) return tl::unexpected(read_error(opened.db.get(), path));
  sqlite3* db = opened.db.get();
  if (auto checked = check_schema(db, path, *version); !checked)
    return tl::unexpected(checked.error());
  if (register_modules(db) != SQLITE_OK || create_temp_objects(db) != SQLITE_OK ||
      create_missing_objects(db, *version) != SQLITE_OK) {
    return tl::unexpected(read_error(db, path));
  }
  // Connecting a table-valued module writes to the schema in memory, which a query's authorizer
  // would refuse: so it is done now.
  execute(db,
          "SELECT 1 FROM pragma_table_info('meta'), pragma_table_xinfo('meta'), pragma_table_list, "
          "host_allocation, tidemark_access, tidemark_frame, tidemark_stack, tidemark_stack_node, "
          "tidemark_stack_address LIMIT 0");
  return std::move(opened.db);
}

}  // namespace tidemark::trace
