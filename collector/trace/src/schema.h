// The objects of a trace, by version; FORMAT.md tells what they mean. A reader accepts exactly
// these, so that no trigger, view or generated column of a foreign hand can run.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "sqlite.h"
#include "tidemark/trace/result.h"

namespace tidemark::trace {

inline constexpr int32_t kApplicationId = 0x5444454d;  // "TDEM"
inline constexpr int32_t kFormatVersion = 9;

// Persisted in host_chunk.kind: do not renumber. From kSettled on: allocations of a finished trace,
// one kind for each class of lifetimes (FORMAT.md).
enum class ChunkKind : uint8_t { kAllocations = 0, kNearFrees = 1, kFarFrees = 2, kSettled = 3 };
inline constexpr size_t kLifetimeClasses = 8;
inline constexpr auto kLastChunkKind =
    static_cast<ChunkKind>(static_cast<size_t>(ChunkKind::kSettled) + kLifetimeClasses - 1);

// Keys of `meta` that the trace itself keeps.
inline constexpr const char* kMetaFinished = "finished";
inline constexpr const char* kMetaEndNs = "end_ns";
inline constexpr const char* kMetaLastEventNs = "last_event_ns";
inline constexpr const char* kMetaCondensed = "condensed_allocations";
inline constexpr const char* kMetaCondensedUntilNs = "condensed_until_ns";

struct SchemaObject {
  const char* type;
  const char* name;
  const char* sql;
  int32_t since = 1;              // the format version that brought it
  int32_t last = kFormatVersion;  // the last one that has it
};

std::span<const SchemaObject> schema_objects();

// What the first 100 bytes of a file say, read without SQLite.
struct FileHeader {
  bool empty = false;       // no bytes at all
  bool trace = false;       // SQLite, with the application id
  int32_t version = 0;      // user_version
  uint64_t said_bytes = 0;  // 0: the header does not say
  uint64_t bytes = 0;
};

// Errors: no such file, no permission, not a regular file.
Result<FileHeader> read_header(const std::string& path);

// Checks sqlite_master against the schema_objects() of the trace's version.
Result<void> check_schema(sqlite3* db, const std::string& path, int32_t version);

// TEMP objects, empty, for what came after the trace's version: every question that can be asked of
// a new trace can be asked of an old one.
int create_missing_objects(sqlite3* db, int32_t version);

}  // namespace tidemark::trace
