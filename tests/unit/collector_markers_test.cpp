// Ranges and marks: which end belongs to which beginning.
#include <gtest/gtest.h>

#include "arena.h"
#include "check_record.h"
#include "collector_fakes.h"
#include "pairing.h"

namespace tidemark::collector {
namespace {

using namespace fakes;
using trace::kNever;
using wire::MarkerKind;

wire::Marker begin(uint64_t time_ns, MarkerKind kind, wire::NameId name, wire::NameId domain = 0,
                   uint64_t range = 0) {
  auto record = make<wire::Marker>(wire::RecordType::kMarker, time_ns);
  record.header.detail = static_cast<uint16_t>(kind);
  record.name = name;
  record.domain = domain;
  record.range = range;
  return record;
}
wire::MarkerEnd end(uint64_t time_ns, MarkerKind kind, wire::NameId domain = 0,
                    uint64_t range = 0) {
  auto record = make<wire::MarkerEnd>(wire::RecordType::kMarkerEnd, time_ns);
  record.header.detail = static_cast<uint16_t>(kind);
  record.domain = domain;
  record.range = range;
  return record;
}

// Records go to Pairing as Merge would hand them on, without rings.
struct MarkersTest : testing::Test {
  std::unique_ptr<Producer> thread(uint64_t key, int32_t pid, int32_t tid) {
    return pairing.open_ring({key, pid, tid, "t" + std::to_string(tid)});
  }
  template <class Record>
  void event(Producer& producer, const Record& record) {
    pairing.begin_pass(1000);
    OrderedEvent ordered{&lane, &record.header, 0, false};
    lane.producer = &producer;
    pairing.events({&ordered, 1});
    ASSERT_FALSE(ordered.refused);
  }
  void define(Producer& producer, const std::vector<std::byte>& record) {
    pairing.begin_pass(1000);
    pairing.definition(producer, *reinterpret_cast<const wire::Header*>(record.data()));
  }
  uint64_t lost(const std::string& name) {
    losses.write_to(writer);
    return writer.losses[name];
  }
  std::string name(size_t i) const { return writer.text(writer.markers.at(i).name); }

  Arena arena = std::move(*Arena::create({}));
  RecordingWriter writer;
  Losses losses;
  Pairing pairing{writer, losses, 0, nullptr};
  Lane lane{RingReader(arena.ring(0), arena.ring_data(0), wire::kRingDataBytes), nullptr, 0, 0};
};

TEST_F(MarkersTest, a_pop_ends_the_innermost_range_of_its_thread_and_domain) {
  const auto a = thread(1, 10, 10);
  const auto b = thread(1, 10, 11);
  define(*a, process_start(0, 1, 10));
  for (const wire::NameId id : {1, 2, 3}) define(*a, name_record(id, "n" + std::to_string(id)));
  event(*a, begin(10, MarkerKind::kPushed, 1));
  event(*b, begin(11, MarkerKind::kPushed, 1));
  event(*a, begin(12, MarkerKind::kPushed, 2));
  event(*a, begin(13, MarkerKind::kPushed, 2, 3));  // another domain
  event(*a, end(14, MarkerKind::kPushed));
  event(*a, end(15, MarkerKind::kPushed));
  event(*b, end(16, MarkerKind::kPushed));
  ASSERT_EQ(writer.markers.size(), 4U);
  EXPECT_EQ(writer.markers[0].end_ns, 15);
  EXPECT_EQ(writer.markers[1].end_ns, 16);
  EXPECT_NE(writer.markers[1].thread, writer.markers[0].thread);
  EXPECT_EQ(writer.markers[2].end_ns, 14);
  EXPECT_EQ(writer.markers[3].end_ns, kNever);
  EXPECT_EQ(writer.text(writer.markers[3].domain), "n3");
  EXPECT_EQ(name(2), "n2");
  EXPECT_EQ(pairing.counts().markers, 4U);
  EXPECT_EQ(writer.misuse, 0);
}

TEST_F(MarkersTest, a_started_range_ends_by_its_number_on_any_thread) {
  const auto a = thread(1, 10, 10);
  const auto b = thread(1, 10, 11);
  define(*a, process_start(0, 1, 10));
  event(*a, begin(10, MarkerKind::kStarted, 0, 0, 7));
  event(*a, begin(11, MarkerKind::kStarted, 0, 0, 8));
  event(*b, end(12, MarkerKind::kStarted, 0, 7));
  EXPECT_EQ(writer.markers.at(0).end_ns, 12);
  EXPECT_EQ(writer.markers.at(1).end_ns, kNever);
  event(*b, end(13, MarkerKind::kStarted, 0, 7));
  EXPECT_EQ(lost("range_ends_without_start"), 1U);
}

TEST_F(MarkersTest, a_mark_is_a_moment_and_no_pop_ends_it) {
  const auto a = thread(1, 10, 10);
  define(*a, process_start(0, 1, 10));
  event(*a, begin(10, MarkerKind::kMark, 0));
  event(*a, end(11, MarkerKind::kPushed));
  EXPECT_EQ(writer.markers.at(0).end_ns, 10);
  EXPECT_EQ(lost("range_ends_without_start"), 1U);
}

TEST_F(MarkersTest, a_name_that_was_dropped_is_counted) {
  const auto a = thread(1, 10, 10);
  define(*a, process_start(0, 1, 10));
  event(*a, begin(10, MarkerKind::kMark, 99));
  EXPECT_EQ(writer.markers.at(0).name, trace::StringId{});
  EXPECT_EQ(lost("names_missing"), 1U);
}

TEST_F(MarkersTest, a_thread_names_another) {
  const auto a = thread(1, 10, 10);
  const auto b = thread(1, 10, 11);
  define(*a, process_start(0, 1, 10));
  event(*b, begin(10, MarkerKind::kMark, 0));
  auto text = make<wire::Text>(wire::RecordType::kThreadName, 11);
  text.text_bytes = 6;
  for (const int32_t tid : {11, 4711}) {  // the second is unknown
    text.tid = tid;
    define(*a, with_tail(text, "worker", 6));
  }
  text.tid = 0;
  define(*a, with_tail(text, "itself", 6));
  ASSERT_EQ(writer.threads.size(), 2U);
  for (const trace::Thread& row : writer.threads) {
    EXPECT_EQ(row.name, row.tid == 11 ? "worker" : "itself");
  }
}

TEST(CheckMarkers, kinds_that_are_none_are_garbage) {
  const auto check = [](const auto& record) {
    return check_record(reinterpret_cast<const std::byte*>(&record), sizeof record);
  };
  EXPECT_EQ(check(begin(1, MarkerKind::kMark, 1)), Check::kValid);
  EXPECT_EQ(check(begin(1, static_cast<MarkerKind>(3), 1)), Check::kGarbage);
  EXPECT_EQ(check(end(1, MarkerKind::kStarted)), Check::kValid);
  EXPECT_EQ(check(end(1, MarkerKind::kMark)), Check::kGarbage);
  EXPECT_EQ(check(end(1, static_cast<MarkerKind>(9))), Check::kGarbage);
}

}  // namespace
}  // namespace tidemark::collector
