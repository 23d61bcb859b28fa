#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "host_settle.h"
#include "host_writer.h"
#include "trace_testing.h"

namespace tidemark::trace {
namespace {

using std::filesystem::directory_iterator;

size_t files_in(const TestFolder& folder) {
  return static_cast<size_t>(
      std::distance(directory_iterator(folder.path()), directory_iterator()));
}

std::unique_ptr<Writer> make_writer(const std::string& path) {
  auto writer = Writer::create(path);
  EXPECT_TRUE(writer) << writer.error().message;
  return std::move(*writer);
}

std::unique_ptr<Reader> make_reader(const std::string& path) {
  auto reader = Reader::open(path);
  EXPECT_TRUE(reader) << reader.error().message;
  return std::move(*reader);
}

TEST(TraceRoundTrip, all_kinds_of_rows_come_back_as_they_were_written) {
  for (const uint64_t seed : {1U, 2U, 3U}) {
    const TestFolder folder;
    Recording recording(seed);
    auto writer = make_writer(folder.file("t.db"));
    recording.add_random(*writer, 20000);
    writer->meta("host", "a");
    writer->meta("host", "b");
    recording.name_stacks(*writer);
    const auto finished = writer->finish();
    ASSERT_TRUE(finished) << finished.error().message;
    EXPECT_EQ(files_in(folder), 1U);
    const auto reader = make_reader(folder.file("t.db"));
    recording.expect_equal(*reader);
    EXPECT_TRUE(reader->finished());
    EXPECT_EQ(reader->meta("host"), "b");
    EXPECT_EQ(reader->meta("absent"), "");
    EXPECT_GE(reader->end_ns(), recording.allocations.back().alloc_ns);
  }
}

TEST(TraceRoundTrip, a_recording_can_be_followed_while_it_is_written) {
  const TestFolder folder;
  Recording recording(7);
  auto writer = make_writer(folder.file("t.db"));
  for (int part = 0; part < 4; ++part) {
    recording.add_random(*writer, 3000);
    recording.name_stacks(*writer);
    ASSERT_TRUE(writer->flush());
    const auto reader = make_reader(folder.file("t.db"));
    EXPECT_FALSE(reader->finished());
    recording.expect_equal(*reader);
  }
}

// Small windows, with frees near and far, so that every path of the scan and the merge is taken.
TEST(TraceRoundTrip, host_allocations_survive_many_chunks_and_the_merge) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  Recording recording(11);
  auto writer = make_writer(path);
  for (int part = 0; part < 30; ++part) {
    recording.add_allocations(*writer, 25000, true);
    ASSERT_TRUE(writer->flush());
  }
  EXPECT_TRUE(all_allocations(*make_reader(path)) == recording.allocations);
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  const Connection db(raw);
  const auto scan_with = [&](const HostFilter& filter, Decoding decoding) {
    HostScan scan(db.get(), path, filter, kMaxChunkRows, decoding);
    std::vector<Allocation> rows;
    std::vector<Allocation> part;
    while (scan.next(part) && !part.empty()) rows.insert(rows.end(), part.begin(), part.end());
    return rows;
  };
  const auto ids_ascend = [](const Allocation& a, const Allocation& b) { return a.id < b.id; };
  const auto scan_all = [&] {
    auto rows = scan_with({}, Decoding::kInTurn);
    EXPECT_TRUE(scan_with({}, Decoding::kAlwaysAhead) == rows);
    HostFilter any_order;
    any_order.any_order = true;
    auto sorted = scan_with(any_order, Decoding::kAlwaysAhead);
    std::sort(sorted.begin(), sorted.end(), ids_ascend);
    EXPECT_TRUE(sorted == rows);
    // What leaves little or nothing of some chunks, which the merge then wants out of turn.
    HostFilter late;
    late.min_free_ns = rows[rows.size() / 2].alloc_ns;
    HostFilter one_stack;
    one_stack.alloc_stack = rows[rows.size() / 3].alloc_stack;
    for (const HostFilter& filter : {late, one_stack}) {
      const auto some = scan_with(filter, Decoding::kInTurn);
      EXPECT_FALSE(some.empty());
      EXPECT_LT(some.size(), rows.size());
      EXPECT_TRUE(scan_with(filter, Decoding::kAlwaysAhead) == some);
    }
    return rows;
  };
  const auto chunks_of = [&](int kind) {
    Statement count(db.get(), fmt::format("SELECT count(*) FROM host_chunk WHERE kind={}", kind));
    return count.row() ? count.integer(0) : -1;
  };
  EXPECT_GT(chunks_of(1), 5);
  EXPECT_GT(chunks_of(2), 1);
  EXPECT_TRUE(scan_all() == recording.allocations);
  // What a kill between two windows leaves behind: rows that are in their class and still where
  // they were recorded, and frees of both.
  ASSERT_EQ(execute(db.get(),
                    "CREATE TEMP TABLE kept AS SELECT * FROM host_chunk WHERE kind<>0 OR id % 3=0"),
            SQLITE_OK);
  ASSERT_TRUE(settle_host_chunks(db.get(), path, {kMaxChunkRows, {}}));
  EXPECT_EQ(chunks_of(0) + chunks_of(1) + chunks_of(2), 0);
  EXPECT_GT(chunks_of(3), 3);
  EXPECT_TRUE(scan_all() == recording.allocations);
  ASSERT_EQ(
      execute(db.get(), "UPDATE kept SET id=id+1000000; INSERT INTO host_chunk SELECT * FROM kept"),
      SQLITE_OK);
  EXPECT_GT(chunks_of(0), 3);
  EXPECT_GT(chunks_of(1), 5);
  EXPECT_TRUE(scan_all() == recording.allocations);
  ASSERT_EQ(execute(db.get(), "DELETE FROM host_chunk WHERE kind IN (1,2)"), SQLITE_OK);
  const auto some = scan_all();
  EXPECT_EQ(some.size(), recording.allocations.size());
}

// A program that allocates fast: most of a chunk is over when it is written, and stays as it is.
// Some of it is freed as soon, but after that; some never; and a free may be taken back.
TEST(TraceRoundTrip, brief_allocations_are_written_once) {
  constexpr size_t kCount = 700'000;
  constexpr size_t kSoon = 10;
  constexpr size_t kAfterItsChunk = 270'000;
  for (const bool revives : {false, true}) {
    const TestFolder folder;
    const std::string path = folder.file("t.db");
    auto writer = make_writer(path);
    const ProcessId process = writer->add_process({});
    std::vector<Allocation> rows;
    std::array<std::deque<size_t>, 2> to_free;  // each in the order in which it was allocated
    int64_t now = 0;
    const auto free_one = [&](size_t index) {
      Allocation& row = rows[index];
      row.free_ns = now += 15;
      row.free_stack = static_cast<StackId>(2);
      writer->end_allocation(row.id, row.layer, row.free_ns, row.free_stack);
    };
    for (size_t i = 0; i < kCount; ++i) {
      Allocation row;
      row.process = process;
      row.layer = Layer::kHeap;
      row.address = 0x1000 + i % 4096 * 16;
      row.size = 16 + i % 7;
      row.alloc_ns = now += 15;
      row.alloc_stack = static_cast<StackId>(1 + i % 3);
      row.id = writer->add_allocation(row);
      rows.push_back(row);
      if (i % 50 != 8) to_free[i % 50 == 7 ? 1 : 0].push_back(i);
      for (const size_t which : {0U, 1U}) {
        const size_t age = which == 0 ? kSoon : kAfterItsChunk;
        while (!to_free[which].empty() && to_free[which].front() + age <= i) {
          free_one(to_free[which].front());
          to_free[which].pop_front();
        }
      }
      if (i == kCount / 2) {
        ASSERT_TRUE(writer->flush());
      }
    }
    constexpr std::array<size_t, 2> kRevived = {1000, 90'001};
    if (revives) {
      for (const size_t index : kRevived) {
        writer->revive_allocation(rows[index].id, Layer::kHeap);
        rows[index].free_ns = kNever;
        rows[index].free_stack = {};
      }
      free_one(kRevived[1]);
    }
    ASSERT_TRUE(writer->flush());
    EXPECT_TRUE(all_allocations(*make_reader(path)) == rows) << "as a kill would leave it";
    const auto chunks = [&](const std::string& where) {
      sqlite3* raw = nullptr;
      EXPECT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
      const Connection db(raw);
      Statement select(db.get(), "SELECT id, data FROM host_chunk WHERE " + where);
      std::map<int64_t, std::string> found;
      while (select.row()) found.emplace(select.integer(0), select.blob(1));
      return found;
    };
    const auto early = chunks("kind=3");
    EXPECT_GT(early.size(), kCount / kMaxChunkRows - 2);
    ASSERT_TRUE(writer->finish());
    EXPECT_TRUE(all_allocations(*make_reader(path)) == rows);
    EXPECT_TRUE(chunks("kind<3").empty());
    EXPECT_FALSE(chunks("kind=4").empty()) << "what was freed after its chunk was written";
    auto kept = chunks("kind=3");
    std::erase_if(kept, [&](const auto& chunk) { return !early.contains(chunk.first); });
    EXPECT_EQ(kept.size() + (revives ? kRevived.size() : 0), early.size());
    for (const auto& [id, data] : kept) EXPECT_TRUE(data == early.at(id)) << id;
  }
}

// Whatever the second thread has begun by then.
TEST(TraceRoundTrip, a_scan_that_decodes_ahead_may_be_left_or_meet_damage_anywhere) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  Recording recording(13);
  auto writer = make_writer(path);
  constexpr size_t kParts = 24;
  for (size_t part = 0; part < kParts; ++part) {
    recording.add_allocations(*writer, 1000, true);
    ASSERT_TRUE(writer->flush());
  }
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  const Connection db(raw);
  // There are frees still to be applied: chunk after chunk is given by itself.
  for (size_t windows = 0; windows < kParts; ++windows) {
    HostScan scan(db.get(), path, HostFilter{}, 1, Decoding::kAlwaysAhead);
    std::vector<Allocation> part;
    for (size_t i = 0; i < windows; ++i) ASSERT_TRUE(scan.next(part));
    EXPECT_EQ(part.empty(), windows == 0);
  }
  for (size_t damaged = 0; damaged < kParts; ++damaged) {
    ASSERT_EQ(execute(db.get(),
                      fmt::format(
                          "BEGIN; UPDATE host_chunk SET data=zeroblob(200) WHERE id="
                          "(SELECT id FROM host_chunk WHERE kind=0 ORDER BY id LIMIT 1 OFFSET {})",
                          damaged)
                          .c_str()),
              SQLITE_OK);
    HostScan scan(db.get(), path, HostFilter{}, 1, Decoding::kAlwaysAhead);
    std::vector<Allocation> part;
    Result<void> read;
    do {
      read = scan.next(part);
    } while (read && !part.empty());
    ASSERT_FALSE(read) << damaged;
    EXPECT_NE(read.error().message.find(path), std::string::npos) << read.error().message;
    ASSERT_EQ(execute(db.get(), "ROLLBACK"), SQLITE_OK);
  }
}

// A trace whose size is limited (host_settle.h): the file never shrinks while it is settled, so its
// pages at the end are the most that it had.
TEST(TraceRoundTrip, settling_keeps_no_more_twice_than_it_may) {
  for (const int64_t most : {int64_t{0}, int64_t{3} << 20, int64_t{1} << 40}) {
    const TestFolder folder;
    const std::string path = folder.file("t.db");
    Recording recording(12);
    auto writer = make_writer(path);
    writer->limit({int64_t{1} << 40, true});
    for (int part = 0; part < 40; ++part) recording.add_allocations(*writer, 25000, true);
    ASSERT_TRUE(writer->flush());
    sqlite3* raw = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
    const Connection db(raw);
    const auto number = [&](const char* query) {
      Statement statement(db.get(), query);
      return statement.row() ? statement.integer(0) : -1;
    };
    constexpr const char* kBytes =
        "SELECT page_count*page_size FROM pragma_page_count, pragma_page_size";
    constexpr const char* kAsRecorded = "SELECT count(*) FROM host_chunk WHERE kind<3";
    const int64_t before = number(kBytes);
    const int64_t recorded = number(kAsRecorded);
    ASSERT_GT(number("SELECT sum(length(data)) FROM host_chunk"), 9 << 20);
    ASSERT_TRUE(settle_host_chunks(db.get(), path, {kMaxChunkRows, [&] { return most; }}));
    EXPECT_LE(number(kBytes) - before, most);
    EXPECT_EQ(number(kAsRecorded), most == 0 ? recorded : 0);
    EXPECT_TRUE(all_allocations(*make_reader(path)) == recording.allocations);
  }
}

// Two rows in three die young; of the rest some live long, some for ever.
TEST(TraceRoundTrip, what_lived_at_one_moment_is_found_without_reading_all) {
  const TestFolder folder;
  const std::string path = folder.file("t.db");
  auto writer = make_writer(path);
  constexpr int64_t kRows = 800'000;
  constexpr int64_t kSpacingNs = 1000;
  std::vector<Allocation> all;
  for (int64_t i = 0; i < kRows; ++i) {
    Allocation row;
    row.layer = Layer::kHeap;
    row.size = 16;
    row.alloc_ns = i * kSpacingNs;
    row.alloc_stack = static_cast<StackId>(1 + i % 3);
    row.id = writer->add_allocation(row);
    if (i % 100 != 99) {
      row.free_ns = row.alloc_ns + (i % 100 == 98 ? kRows * kSpacingNs / 2 : 5000);
      writer->end_allocation(row.id, row.layer, row.free_ns, StackId{});
    }
    all.push_back(row);
  }
  ASSERT_TRUE(writer->finish());
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &raw), SQLITE_OK);
  const Connection db(raw);
  for (const bool any_order : {false, true}) {
    HostFilter filter;
    filter.last_alloc_ns = kRows * kSpacingNs * 3 / 4;
    filter.min_free_ns = filter.last_alloc_ns + 1;
    filter.any_order = any_order;
    HostScan scan(db.get(), path, filter);
    std::vector<Allocation> found;
    std::vector<Allocation> part;
    while (scan.next(part) && !part.empty()) found.insert(found.end(), part.begin(), part.end());
    std::vector<Allocation> expected;
    std::copy_if(all.begin(), all.end(), std::back_inserter(expected), [&](const Allocation& row) {
      return row.alloc_ns <= filter.last_alloc_ns && row.free_ns >= filter.min_free_ns;
    });
    std::sort(found.begin(), found.end(),
              [](const Allocation& a, const Allocation& b) { return a.id < b.id; });
    EXPECT_TRUE(found == expected) << found.size() << " of " << expected.size();
    EXPECT_GT(scan.chunks(), 12U);
    EXPECT_LE(scan.chunks_read(), 4U);
  }
}

TEST(TraceRoundTrip, a_revived_allocation_lives_on_wherever_its_free_was_written) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  const auto add = [&](Layer layer) {
    Allocation row;
    row.layer = layer;
    row.size = 8;
    return writer->add_allocation(row);
  };
  for (const Layer layer : {Layer::kHeap, Layer::kPool}) {
    const AllocationId open = add(layer);    // freed and revived in the open chunk
    const AllocationId closed = add(layer);  // freed in the open chunk, revived after it
    const AllocationId again = add(layer);   // freed, revived and freed after its chunk was closed
    writer->end_allocation(open, layer, 5, StackId{3});
    writer->revive_allocation(open, layer);
    writer->end_allocation(closed, layer, 6, StackId{3});
    ASSERT_TRUE(writer->flush());
    writer->revive_allocation(closed, layer);
    writer->end_allocation(again, layer, 7, StackId{3});
    writer->revive_allocation(again, layer);
    writer->end_allocation(again, layer, 8, StackId{4});
    ASSERT_TRUE(writer->flush());
  }
  const auto check = [&] {
    const auto rows = all_allocations(*make_reader(folder.file("t.db")));
    ASSERT_EQ(rows.size(), 6U);
    for (const size_t at : {0U, 3U}) {
      EXPECT_EQ(rows[at].free_ns, kNever);
      EXPECT_EQ(rows[at].free_stack, StackId{});
      EXPECT_EQ(rows[at + 1].free_ns, kNever);
      EXPECT_EQ(rows[at + 2].free_ns, 8);
      EXPECT_EQ(rows[at + 2].free_stack, StackId{4});
    }
  };
  check();
  ASSERT_TRUE(writer->finish());
  check();
}

TEST(TraceRoundTrip, a_filter_gives_exactly_the_rows_it_describes) {
  const TestFolder folder;
  Recording recording(5);
  auto writer = make_writer(folder.file("t.db"));
  recording.add_random(*writer, 30000);
  const int64_t end = recording.allocations.back().alloc_ns;
  for (const bool finished : {false, true}) {
    ASSERT_TRUE(finished ? writer->finish() : writer->flush());
    const auto reader = make_reader(folder.file("t.db"));
    for (int i = 0; i < 60; ++i) {
      AllocationFilter filter;
      if (i % 3 != 0) filter.layer = static_cast<Layer>(i % 4);
      if (i % 5 == 0) filter.space = Space::kDevice;
      if (i % 7 == 0) filter.device = 1;
      if (i % 2 == 0) filter.begin_ns = end / 60 * i;
      if (i % 4 < 2) filter.end_ns = end / 60 * i + end / 20;
      if (i % 9 == 0) filter.alloc_stack = static_cast<StackId>(1 + i);
      filter.any_order = i % 8 < 3;
      std::vector<Allocation> expected;
      std::copy_if(recording.allocations.begin(), recording.allocations.end(),
                   std::back_inserter(expected), [&](const Allocation& row) {
                     return row.alloc_ns < filter.end_ns && row.free_ns > filter.begin_ns &&
                            (!filter.layer || row.layer == *filter.layer) &&
                            (!filter.space || row.space == *filter.space) &&
                            (!filter.device || row.device == *filter.device) &&
                            (!filter.alloc_stack || row.alloc_stack == *filter.alloc_stack);
                   });
      std::vector<Allocation> given = all_allocations(*reader, filter);
      if (filter.any_order) {
        std::sort(given.begin(), given.end(),
                  [](const Allocation& a, const Allocation& b) { return a.id < b.id; });
      }
      EXPECT_TRUE(given == expected) << "filter " << i;
    }
  }
}

TEST(TraceRoundTrip, an_empty_recording_is_a_trace) {
  const TestFolder folder;
  ASSERT_TRUE(make_writer(folder.file("t.db"))->finish());
  const auto reader = make_reader(folder.file("t.db"));
  EXPECT_TRUE(reader->finished());
  EXPECT_EQ(reader->end_ns(), 0);
  EXPECT_TRUE(all_allocations(*reader).empty());
  EXPECT_TRUE(reader->frames(StackId{1}).empty());
  EXPECT_EQ(reader->text(StringId{1}), "");
}

TEST(TraceRoundTrip, interning_gives_one_id_per_text) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  const StringId a = writer->intern("a");
  EXPECT_NE(a, writer->intern("b"));
  EXPECT_EQ(a, writer->intern("a"));
  EXPECT_EQ(writer->intern(""), StringId{});
}

TEST(TraceRoundTrip, stacks_share_nodes_and_addresses) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  const ProcessId process = writer->add_process({});
  const Frame main_frame{FrameKind::kNative, "main", "", 0, "", false};
  const Frame inlined{FrameKind::kNative, "inlined", "", 3, "", true};
  const Frame called{FrameKind::kNative, "called", "", 4, "", false};
  const AddressId main_at = writer->add_address(process, 0x1122334455667788, 7);
  const AddressId called_at = writer->add_address(process, 2, 7);
  const AddressId hook_at = writer->add_address(process, 3, 7);
  const StackNodeId outer = writer->add_stack_node({}, main_at);
  const StackNodeId inner = writer->add_stack_node(outer, called_at);
  const StackId recursive = writer->add_stack(process, writer->add_stack_node(inner, called_at));
  const StackId hooked = writer->add_stack(process, writer->add_stack_node(inner, hook_at));
  const StackId hook_below = writer->add_stack(
      process, writer->add_stack_node(writer->add_stack_node(outer, hook_at), called_at));
  const StackId empty = writer->add_stack(process, {});
  const auto name = [&](AddressId address, const std::vector<Frame>& frames, bool hook) {
    std::vector<FrameId> ids;
    for (const Frame& frame : frames) ids.push_back(writer->add_frame(frame));
    writer->name_address(address, ids, hook);
  };
  name(main_at, {main_frame}, false);
  name(called_at, {inlined, called}, false);
  name(hook_at, {called}, true);
  ASSERT_TRUE(writer->finish());
  const auto reader = make_reader(folder.file("t.db"));
  const auto frames = [&](StackId id) {
    const auto span = reader->frames(id);
    return std::vector<Frame>(span.begin(), span.end());
  };
  EXPECT_EQ(frames(recursive), (std::vector<Frame>{inlined, called, inlined, called, main_frame}));
  EXPECT_EQ(frames(hooked), (std::vector<Frame>{inlined, called, main_frame}))
      << "a hook's frames are no part of the stack that it records";
  EXPECT_EQ(frames(hook_below), (std::vector<Frame>{inlined, called, called, main_frame}));
  EXPECT_TRUE(frames(empty).empty());
  EXPECT_EQ(ask(*reader, "SELECT * FROM stack"),
            (std::vector<std::string>{"1|1|3", "2|1|4", "3|1|6", "4|1|"}));
  EXPECT_EQ(ask(*reader, "SELECT id, parent_id, address FROM stack_node WHERE id<4"),
            (std::vector<std::string>{"1||1234605616436508552", "2|1|2", "3|2|2"}));
  EXPECT_EQ(ask(*reader,
                "SELECT text FROM stack_node JOIN location ON location.id=location_id JOIN string "
                "ON string.id=function_id WHERE stack_node.id=2"),
            std::vector<std::string>{"inlined"});
  EXPECT_EQ(ask(*reader,
                "SELECT stack_id, shared, hex(addresses) FROM stack_address WHERE "
                "stack_id=2"),
            std::vector<std::string>{"2|0|030000000000000002000000000000008877665544332211"});
  EXPECT_EQ(ask(*reader, "SELECT count(*), count(DISTINCT stack_id) FROM frame"),
            std::vector<std::string>{"12|3"});
}

TEST(TraceRoundTrip, many_stacks_fill_many_chunks) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  const ProcessId process = writer->add_process({});
  constexpr size_t kStacks = 150'000;  // three chunks, of which the last is not full
  const std::array<AddressId, 2> addresses = {writer->add_address(process, 10, 0),
                                              writer->add_address(process, 11, 0)};
  std::vector<StackNodeId> nodes = {StackNodeId{}};
  for (size_t i = 1; i <= kStacks; ++i) {
    nodes.push_back(writer->add_stack_node(nodes[i / 2], addresses[i % 2]));
    ASSERT_EQ(writer->add_stack(process, nodes[i]), static_cast<StackId>(i));
    if (i % 40'000 == 0) {
      ASSERT_TRUE(writer->flush());
    }
  }
  for (const uint64_t i : {0U, 1U}) {
    const FrameId frame = writer->add_frame(
        {FrameKind::kNative, std::string(1, i == 0 ? 'a' : 'b'), "", 0, "", false});
    writer->name_address(addresses[i], {&frame, 1}, false);
  }
  ASSERT_TRUE(writer->finish());
  const auto reader = make_reader(folder.file("t.db"));
  EXPECT_EQ(ask(*reader, "SELECT count(*), max(id) FROM stack"),
            std::vector<std::string>{"150000|150000"});
  EXPECT_EQ(ask(*reader, "SELECT rows FROM main.stack_node_chunk"),
            (std::vector<std::string>{"65536", "65536", "18928"}));
  for (size_t i = 1; i <= kStacks; i += 997) {
    std::string expected;
    for (size_t at = i; at != 0; at /= 2) expected += at % 2 == 0 ? 'a' : 'b';
    std::string found;
    for (const Frame& frame : reader->frames(static_cast<StackId>(i))) found += frame.function;
    ASSERT_EQ(found, expected);
  }
}

TEST(TraceRoundTrip, a_killed_recording_keeps_its_addresses) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  const ProcessId process = writer->add_process({});
  const AddressId address = writer->add_address(process, 5, 77);
  writer->add_stack(process, writer->add_stack_node({}, address));
  ASSERT_TRUE(writer->flush());
  const auto reader = make_reader(folder.file("t.db"));
  EXPECT_EQ(ask(*reader, "SELECT hex(addresses) FROM stack_address"),
            std::vector<std::string>{"0500000000000000"});
  EXPECT_TRUE(reader->frames(StackId{1}).empty());
  // It goes on, and the reader that had asked too early finds them.
  const FrameId frame = writer->add_frame({FrameKind::kNative, "main", "", 0, "", false});
  writer->name_address(address, {&frame, 1}, false);
  ASSERT_TRUE(writer->flush());
  EXPECT_EQ(reader->frames(StackId{1}).size(), 1U);
}

TEST(TraceRoundTrip, nothing_is_added_after_finish) {
  const TestFolder folder;
  auto writer = make_writer(folder.file("t.db"));
  ASSERT_TRUE(writer->finish());
  writer->meta("late", "1");
  writer->intern("late");
  writer->add_allocation(Allocation{});
  EXPECT_TRUE(writer->flush());
  EXPECT_EQ(make_reader(folder.file("t.db"))->meta("late"), "");
}

}  // namespace
}  // namespace tidemark::trace
