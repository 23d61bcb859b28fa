// Damaged bytes: a trace opens or fails with one line, and reading it never crashes. Under ASan and
// UBSan this is the proof; the mutations are the same on every run.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "sqlite.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

// Returns what was said; "" when everything could be read.
std::string read_everything(const std::string& path) {
  auto opened = Reader::open(path);
  if (!opened) return opened.error().message;
  const Reader& reader = **opened;
  std::string said;
  const auto note = [&](const auto& result) {
    if (!result) said += result.error().message + "\n";
  };
  note(reader.allocations({}, [&](std::span<const Allocation> rows) {
    for (const Allocation& row : rows) {
      static_cast<void>(reader.frames(row.alloc_stack).size() + reader.text(row.api).size());
      static_cast<void>(to_string(row.layer));
    }
  }));
  note(reader.transfers([](auto) {}));
  note(reader.memsets([](auto) {}));
  note(reader.kernels([](auto) {}));
  note(reader.accesses({}, [](auto) {}));
  note(reader.markers([](auto) {}));
  note(reader.pool_reserved());
  note(reader.out_of_memory());
  note(reader.windows());
  note(reader.device_memory());
  note(reader.process_memory());
  note(reader.mappings());
  note(reader.host_totals());
  note(reader.host_curve());
  for (const char* sql : {"SELECT count(*), sum(size % 1000) FROM allocation",
                          "SELECT count(*) FROM frame WHERE stack_id < 50",
                          "SELECT count(*) FROM main.frame WHERE stack_id < 50"}) {
    note(reader.query(
        sql, [](auto) {}, [](auto) { return true; }));
  }
  return said;
}

std::string small_trace(const std::string& path, bool finished) {
  auto writer = Writer::create(path);
  EXPECT_TRUE(writer);
  Recording recording(6);
  recording.add_random(**writer, 700);
  EXPECT_TRUE((*writer)->flush());
  recording.add_random(**writer, 700);
  recording.name_stacks(**writer);
  EXPECT_TRUE(finished ? (*writer)->finish() : (*writer)->flush());
  writer->reset();
  return read_bytes(path);
}

void mutate(std::string& bytes, std::mt19937_64& random) {
  const auto pick = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  switch (pick(4)) {
    case 0:  // a few bits anywhere
      for (size_t n = 1 + pick(8); n > 0; --n) {
        char& byte = bytes[pick(bytes.size())];
        byte = static_cast<char>(byte ^ 1 << pick(8));
      }
      return;
    case 1: {  // near the start of a page, where its structure is
      const size_t page = pick(bytes.size() / 16384) * 16384;
      for (size_t n = 1 + pick(4); n > 0; --n) {
        bytes[page + pick(200)] = static_cast<char>(random());
      }
      return;
    }
    case 2: {  // one page in another's place
      const size_t from = pick(bytes.size() / 16384) * 16384;
      const size_t to = pick(bytes.size() / 16384) * 16384;
      bytes.replace(to, 16384, bytes.substr(from, 16384));
      return;
    }
    default: {  // a stretch of one value
      const size_t at = pick(bytes.size() - 300);
      bytes.replace(at, 300, 300, static_cast<char>(pick(2) == 0 ? 0 : 0xff));
      return;
    }
  }
}

TEST(TraceDamage, a_damaged_trace_fails_clearly_or_opens) {
  for (const bool finished : {true, false}) {
    const TestFolder folder;
    const std::string path = folder.file("t.db");
    const std::string whole = small_trace(path, finished);
    ASSERT_EQ(read_everything(path), "");
    std::mt19937_64 random(finished ? 1 : 2);
    int refused = 0;
    for (int round = 0; round < 100; ++round) {
      std::string bytes = whole;
      mutate(bytes, random);
      write_bytes(path, bytes);
      const std::string said = read_everything(path);
      refused += said.empty() ? 0 : 1;
      if (!said.empty()) {
        EXPECT_NE(said.find("t.db"), std::string::npos) << said;
      }
    }
    // The mutations reach what matters.
    EXPECT_GT(refused, 10) << (finished ? "finished" : "unfinished");
  }
}

TEST(TraceDamage, a_trace_cut_at_any_page_fails_clearly) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  const std::string whole = small_trace(path, true);
  for (size_t size = 0; size < whole.size(); size += 16384 / 2) {
    write_bytes(path, whole.substr(0, size));
    EXPECT_NE(read_everything(path), "") << size;
  }
}

TEST(TraceDamage, damage_in_host_chunks_is_found_by_their_checksums) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  auto writer = Writer::create(path);
  ASSERT_TRUE(writer);
  Recording recording(6);
  recording.add_allocations(**writer, 60000, true);
  ASSERT_TRUE((*writer)->finish());
  std::string bytes = read_bytes(path);
  // The chunk is by far the largest part, in the midst of the file; a page begins with SQLite's
  // words.
  constexpr size_t kPage = 16384;
  const size_t middle = bytes.size() / 2 / kPage * kPage + kPage / 2;
  bytes[middle] = static_cast<char>(bytes[middle] ^ 0x10);
  write_bytes(path, bytes);
  const std::string said = read_everything(path);
  EXPECT_NE(said.find("checksum"), std::string::npos) << said;
}

TEST(TraceDamage, a_stack_of_a_damaged_chunk_says_so) {
  for (const char* table :
       {"stack_chunk", "stack_node_chunk", "address_chunk", "address_location_chunk"}) {
    const TestFolder folder;
    const std::string path = folder.file("t.db");
    auto writer = Writer::create(path);
    ASSERT_TRUE(writer);
    const std::vector<Frame> frames(3, Frame{FrameKind::kNative, "f", "", 1, "", false});
    const StackId id = (*writer)->add_framed_stack((*writer)->add_process({}), frames);
    ASSERT_TRUE((*writer)->finish());
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
    const Connection db(raw);
    ASSERT_EQ(execute(raw, (std::string("UPDATE ") + table + " SET data=zeroblob(40)").c_str()),
              SQLITE_OK);
    const auto reader = Reader::open(path);
    ASSERT_TRUE(reader);
    ASSERT_EQ((*reader)->frames(id).size(), 1U);
    EXPECT_NE((*reader)->frames(id)[0].function.find("damaged"), std::string::npos);
    const auto asked = (*reader)->query(
        "SELECT * FROM frame", [](auto) {}, [](auto) { return true; });
    ASSERT_FALSE(asked) << table;
    EXPECT_NE(asked.error().message.find("is damaged"), std::string::npos);
  }
}

}  // namespace
}  // namespace tidemark::trace
