// What can and cannot be opened and created, and what is said.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema.h"
#include "sqlite.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

std::string open_error(const std::string& path) {
  const auto reader = Reader::open(path);
  if (reader) return "opened";
  EXPECT_EQ(reader.error().message.find('\n'), std::string::npos);
  EXPECT_NE(reader.error().message.find(path), std::string::npos) << reader.error().message;
  std::string message = reader.error().message;
  for (size_t at = 0; (at = message.find(path)) != std::string::npos;) {
    message.replace(at, path.size(), "X");
  }
  return message;
}

std::string create_error(const std::string& path) {
  const auto writer = Writer::create(path);
  if (writer) return "created";
  EXPECT_EQ(writer.error().message.find('\n'), std::string::npos);
  return writer.error().message;
}

void make_trace(const std::string& path) {
  auto writer = Writer::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  Recording recording(1);
  recording.add_random(**writer, 3000);
  recording.name_stacks(**writer);
  ASSERT_TRUE((*writer)->finish());
}

int sqlite_on(const std::string& path, const std::string& sql) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open(path.c_str(), &raw);
  const Connection db(raw);
  return opened == SQLITE_OK ? execute(raw, sql.c_str()) : opened;
}

TEST(TraceOpen, files_that_are_no_trace_get_one_clear_line) {
  const TestFolder folder;
  EXPECT_EQ(open_error(folder.file("missing.db")), "X does not exist: check the name");
  EXPECT_EQ(open_error(folder.path().string()),
            "X is a folder without a trace (*.db): name the file");
  write_bytes(folder.file("empty.db"), "");
  EXPECT_EQ(open_error(folder.file("empty.db")), "X is empty, so not a tidemark trace");
  write_bytes(folder.file("notes.txt"), "dear diary");
  EXPECT_EQ(open_error(folder.file("notes.txt")), "X is not a tidemark trace");
  write_bytes(folder.file("long.txt"), std::string(100000, 'x'));
  EXPECT_EQ(open_error(folder.file("long.txt")), "X is not a tidemark trace");
  ASSERT_EQ(sqlite_on(folder.file("other.db"), "CREATE TABLE t(x)"), SQLITE_OK);
  EXPECT_EQ(open_error(folder.file("other.db")), "X is not a tidemark trace");
  ASSERT_EQ(mkfifo(folder.file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(open_error(folder.file("pipe")), "X is not a regular file, so not a tidemark trace");
}

TEST(TraceOpen, other_versions_are_refused_with_what_to_do) {
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  ASSERT_EQ(sqlite_on(folder.file("t.db"), "PRAGMA user_version=99"), SQLITE_OK);
  EXPECT_EQ(open_error(folder.file("t.db")),
            "X was written by a newer tidemark (format 99, this one reads " +
                std::to_string(kFormatVersion) + "): update tidemark");
  ASSERT_EQ(sqlite_on(folder.file("t.db"), "PRAGMA user_version=0"), SQLITE_OK);
  EXPECT_EQ(open_error(folder.file("t.db")),
            "X has the format 0, which this tidemark cannot read (it reads " +
                std::to_string(kFormatVersion) + ")");
}

// The figures are what the tidemark that wrote the file said of it (data/README.md).
TEST(TraceOpen, a_trace_of_version_1_is_read_as_it_was) {
  const TestFolder folder;
  const std::string path = folder.file("old.db");
  std::filesystem::copy_file(HOST_VERSION_1, path);
  const auto reader = Reader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(read_header(path)->version, 1);
  EXPECT_EQ(all_allocations(**reader).size(), 2379U);
  EXPECT_EQ(
      ask(**reader,
          "SELECT count(*), sum(size), sum(alloc_ns % 1000003), sum(free_ns % 1000003), "
          "count(free_ns), sum(alloc_stack_id), sum(free_stack_id), sum(address % 1000003) "
          "FROM allocation"),
      std::vector<std::string>{"2379|2350707|435745400|563640111|2379|134774|206687|2125357592"});
}

// A recording with 232 stacks, from when stacks were rows; the figures are what the tidemark of
// version 3 said of it.
TEST(TraceOpen, stacks_that_are_rows_are_read_as_they_were) {
  const TestFolder folder;
  const std::string path = folder.file("old.db");
  std::filesystem::copy_file(STACKS_AS_ROWS, path);
  const auto reader = Reader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  ASSERT_LT(read_header(path)->version, 4);
  EXPECT_EQ(ask(**reader,
                "SELECT count(*), count(DISTINCT stack_id), sum(depth), sum(line), "
                "sum(length(function)), sum(inlined) FROM frame"),
            std::vector<std::string>{"10449|232|302562||1004172|0"});
  EXPECT_EQ(ask(**reader, "SELECT count(*), sum(node_id) FROM stack"),
            std::vector<std::string>{"232|343133"});
  size_t frames = 0;
  for (int64_t id = 1; id <= 10000; ++id)
    frames += (*reader)->frames(static_cast<StackId>(id)).size();
  EXPECT_EQ(frames, 10449U);
}

// Makes a trace what one of an older version was: without what came later, with what went.
void make_older(const std::string& path, int32_t version) {
  for (const SchemaObject& object : schema_objects()) {
    if (object.since <= version) continue;
    ASSERT_EQ(sqlite_on(path, std::string("DROP ") + object.type + " " + object.name), SQLITE_OK);
  }
  for (const SchemaObject& object : schema_objects()) {
    if (object.last == kFormatVersion || object.since > version || version > object.last) continue;
    ASSERT_EQ(sqlite_on(path, object.sql), SQLITE_OK);
  }
  ASSERT_EQ(sqlite_on(path, "PRAGMA user_version=" + std::to_string(version)), SQLITE_OK);
}

void expect_no_accesses(const Reader& reader) {
  EXPECT_EQ(ask(reader, "SELECT count(src_allocation_id), count(dst_allocation_id) FROM transfer"),
            std::vector<std::string>{"0|0"});
  EXPECT_EQ(ask(reader, "SELECT count(allocation_id) FROM memset"), std::vector<std::string>{"0"});
  EXPECT_TRUE(reader.accesses({}, [](auto) { FAIL() << "from before accesses were written"; }));
}

TEST(TraceOpen, a_trace_of_every_older_version_opens_and_answers_every_question) {
  for (int32_t version = 1; version < kFormatVersion; ++version) {
    const TestFolder folder;
    make_trace(folder.file("t.db"));
    make_older(folder.file("t.db"), version);
    const auto reader = Reader::open(folder.file("t.db"));
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_FALSE(all_allocations(**reader).empty());
    EXPECT_TRUE((*reader)->windows());
    EXPECT_TRUE((*reader)->device_memory());
    EXPECT_TRUE((*reader)->process_memory());
    EXPECT_TRUE((*reader)->mappings());
    EXPECT_TRUE((*reader)->host_totals());
    EXPECT_TRUE((*reader)->host_curve());
    EXPECT_TRUE((*reader)->transfers([](auto) {}));
    EXPECT_TRUE((*reader)->memsets([](auto) {}));
    if (version < 5) expect_no_accesses(**reader);
    for (const SchemaObject& object : schema_objects()) {
      if (object.since <= version) continue;
      EXPECT_EQ(ask(**reader, std::string("SELECT count(*) FROM ") + object.name),
                std::vector<std::string>{"0"});
    }
  }
}

TEST(TraceOpen, an_old_trace_with_the_tables_of_a_newer_one_is_refused) {
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  ASSERT_EQ(sqlite_on(folder.file("t.db"), "PRAGMA user_version=1"), SQLITE_OK);
  EXPECT_NE(open_error(folder.file("t.db")).find("tidemark did not write"), std::string::npos);
}

TEST(TraceOpen, a_trace_that_is_cut_short_says_so) {
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  const std::string bytes = read_bytes(folder.file("t.db"));
  write_bytes(folder.file("t.db"), bytes.substr(0, bytes.size() / 2));
  EXPECT_EQ(open_error(folder.file("t.db")), "X is cut short (" + std::to_string(bytes.size() / 2) +
                                                 " of " + std::to_string(bytes.size()) +
                                                 " bytes): copy it again");
}

TEST(TraceOpen, objects_of_a_foreign_hand_are_refused) {
  for (const char* sql :
       {"CREATE TRIGGER evil AFTER INSERT ON meta BEGIN SELECT 1; END",
        "CREATE VIEW evil AS SELECT * FROM meta", "CREATE TABLE evil(x)",
        "CREATE INDEX evil ON kernel_row(abs(start_ns))",
        "DROP VIEW kernel; CREATE VIEW kernel AS SELECT load_extension('evil.so')",
        "CREATE VIRTUAL TABLE evil USING fts5(x)"}) {
    const TestFolder folder;
    make_trace(folder.file("t.db"));
    ASSERT_EQ(sqlite_on(folder.file("t.db"), sql), SQLITE_OK) << sql;
    EXPECT_NE(open_error(folder.file("t.db")).find("tidemark did not write"), std::string::npos)
        << sql;
  }
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  ASSERT_EQ(sqlite_on(folder.file("t.db"), "DROP TABLE memset_row"), SQLITE_OK);
  EXPECT_NE(open_error(folder.file("t.db")).find("no table 'memset_row'"), std::string::npos);
}

TEST(TraceOpen, names_that_mean_something_to_sqlite_are_only_names) {
  const TestFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  for (const char* name :
       {":memory:", "file:x.db?mode=memory", "a b%20c?d#e'\".db", "\xc3\xa9.db"}) {
    make_trace(name);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / name)) << name;
    EXPECT_EQ(open_error(name), "opened") << name;
  }
  std::filesystem::current_path(before);
}

// As root nothing is read-only, so the folder is only then truly tested when run by a user.
TEST(TraceOpen, a_finished_trace_opens_in_a_read_only_folder) {
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  chmod(folder.file("t.db").c_str(), 0400);
  chmod(folder.path().c_str(), 0500);
  if (geteuid() == 0) std::puts("note: running as root, who may write everywhere");
  EXPECT_EQ(open_error(folder.file("t.db")), "opened");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()),
                          std::filesystem::directory_iterator()),
            1);
}

// A reader kept the journal when recording ended, and somebody copied the trace alone.
TEST(TraceOpen, a_finished_trace_in_wal_mode_opens) {
  const TestFolder folder;
  make_trace(folder.file("t.db"));
  ASSERT_EQ(sqlite_on(folder.file("t.db"), "PRAGMA journal_mode=WAL"), SQLITE_OK);
  EXPECT_EQ(open_error(folder.file("t.db")), "opened");
}

TEST(TraceCreate, another_file_is_never_replaced) {
  const TestFolder folder;
  const std::string notes = folder.file("notes.txt");
  write_bytes(notes, "dear diary");
  EXPECT_EQ(create_error(notes),
            notes +
                " exists and is not a tidemark trace: move it away or choose another name with "
                "-o");
  EXPECT_EQ(read_bytes(notes), "dear diary");
  const std::string other = folder.file("other.db");
  ASSERT_EQ(sqlite_on(other, "CREATE TABLE t(x)"), SQLITE_OK);
  EXPECT_NE(create_error(other), "created");
  EXPECT_EQ(sqlite_on(other, "SELECT * FROM t"), SQLITE_OK);
  EXPECT_NE(create_error(folder.path().string()).find("is a folder"), std::string::npos);
}

TEST(TraceCreate, an_old_trace_is_replaced_with_its_journal) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  make_trace(path);
  write_bytes(path + "-journal", "");
  auto writer = Writer::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE((*writer)->finish());
  const auto reader = Reader::open(path);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(all_allocations(**reader).empty());
  EXPECT_FALSE(std::filesystem::exists(path + "-journal"));
}

TEST(TraceCreate, a_trace_that_is_being_written_is_not_replaced) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  auto writer = Writer::create(path);
  ASSERT_TRUE(writer);
  (*writer)->meta("a", "b");
  ASSERT_TRUE((*writer)->flush());
  EXPECT_EQ(create_error(path),
            path +
                " is being written or read by another program: end that or choose another name "
                "with -o");
  (*writer)->meta("c", "d");
  ASSERT_TRUE((*writer)->finish());
  EXPECT_EQ((*Reader::open(path))->meta("c"), "d");
}

TEST(TraceCreate, a_place_that_cannot_be_written_says_what_to_do) {
  const TestFolder folder;
  EXPECT_EQ(create_error(folder.file("no/such/folder.db")),
            "cannot create " + folder.file("no/such/folder.db") +
                ": No such file or directory; choose another place with -o");
  EXPECT_NE(create_error("/proc/t.db").find("choose another place with -o"), std::string::npos);
}

}  // namespace
}  // namespace tidemark::trace
