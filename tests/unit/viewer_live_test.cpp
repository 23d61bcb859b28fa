#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tidemark/viewer/live_worker.h"
#include "viewer_fixtures.h"

namespace tidemark::viewer {
namespace {

using testing::kPool;
using testing::MemoryReader;
using testing::MemoryTrace;

std::shared_ptr<const MemoryTrace> shared_training() {
  static const auto trace = std::make_shared<const MemoryTrace>(testing::training_trace());
  return trace;
}

Result<std::unique_ptr<trace::Reader>> open_training() {
  return std::make_unique<MemoryReader>(shared_training());
}

LiveRow row(int64_t stack, const char* api, uint64_t bytes, uint64_t count, const char* caption) {
  return {trace::StackId{stack},
          api,
          bytes,
          count,
          0.0,
          std::make_shared<const StackText>(StackText{caption, {}})};
}

std::shared_ptr<const LiveAnswer> answer_of(std::vector<LiveRow> rows) {
  auto answer = std::make_shared<LiveAnswer>();
  answer->rows = std::move(rows);
  return answer;
}

std::vector<int64_t> stacks(const LiveTable& table) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < table.size(); ++i) ids.push_back(static_cast<int64_t>(table.row(i).stack));
  return ids;
}

TEST(viewer_live_table, sorts_by_any_column_and_equal_rows_keep_most_bytes_first) {
  LiveTable table;
  table.set_answer(
      answer_of({row(1, "b", 90, 1, "z"), row(2, "a", 50, 7, "y"), row(3, "a", 20, 1, "x")}));
  EXPECT_EQ(stacks(table), (std::vector<int64_t>{1, 2, 3}));
  table.sort_by(LiveColumn::kBytes, false);
  EXPECT_EQ(stacks(table), (std::vector<int64_t>{3, 2, 1}));
  table.sort_by(LiveColumn::kCount, true);
  EXPECT_EQ(stacks(table), (std::vector<int64_t>{2, 1, 3}));
  table.sort_by(LiveColumn::kApi, false);
  EXPECT_EQ(stacks(table), (std::vector<int64_t>{2, 3, 1}));
  table.sort_by(LiveColumn::kStack, false);
  EXPECT_EQ(stacks(table), (std::vector<int64_t>{3, 2, 1}));
}

TEST(viewer_live_table, the_selected_stack_stays_selected_while_it_lives) {
  LiveTable table;
  EXPECT_FALSE(table.selected().has_value());
  table.set_answer(answer_of({row(1, "m", 90, 1, ""), row(2, "m", 50, 1, "")}));
  EXPECT_EQ(table.selected(), 0U);
  table.select(1);
  table.sort_by(LiveColumn::kBytes, false);
  EXPECT_EQ(table.selected(), 0U);  // stack 2 is first now
  table.set_answer(
      answer_of({row(5, "m", 9, 1, ""), row(6, "m", 8, 1, ""), row(2, "m", 1, 1, "")}));
  ASSERT_TRUE(table.selected().has_value());
  EXPECT_EQ(table.row(*table.selected()).stack, trace::StackId{2});
  table.set_answer(answer_of({row(5, "m", 9, 1, "")}));
  EXPECT_EQ(table.selected(), 0U);
  table.set_answer(answer_of({}));
  EXPECT_FALSE(table.selected().has_value());
}

TEST(viewer_live_table, captions_prefer_python_and_fall_back_to_native_then_to_words) {
  using trace::FrameKind;
  const trace::Frame python{FrameKind::kPython, "forward", "/x/model.py", 7, "", false};
  const trace::Frame native{FrameKind::kNative, "at::empty(int)", "", 0, "/lib/libtorch.so", false};
  const trace::Frame bare{FrameKind::kNative, "", "", 0, "/lib/libc.so.6", false};
  EXPECT_EQ(stack_caption(std::vector{native, python}), "forward (model.py:7)");
  EXPECT_EQ(stack_caption(std::vector{native, bare}), "at::empty  <  [libc.so.6]");
  EXPECT_EQ(stack_caption(std::vector{native, native, native}, 2), "at::empty  <  at::empty");
  EXPECT_EQ(stack_caption({}), "(no stack)");
}

TEST(viewer_live_worker, answers_what_the_analyzer_says_with_texts_and_shares) {
  LiveWorker worker(open_training, analyzer::live_at);
  EXPECT_EQ(worker.latest(), nullptr);
  EXPECT_FALSE(worker.busy());
  const int64_t time = 4'000'000'000;
  worker.request(kPool, time);
  worker.wait();
  const auto answer = worker.latest();
  ASSERT_NE(answer, nullptr);
  const MemoryReader reader(shared_training());
  const auto expected = analyzer::live_at(reader, kPool, time);
  ASSERT_TRUE(expected.has_value());
  ASSERT_FALSE(expected->groups.empty());
  EXPECT_EQ(answer->bytes, expected->bytes);
  EXPECT_EQ(answer->count, expected->count);
  ASSERT_EQ(answer->rows.size(), expected->groups.size());
  uint64_t sum = 0;
  double shares = 0;
  for (const LiveRow& each : answer->rows) {
    sum += each.bytes;
    shares += each.share;
    EXPECT_EQ(each.api, "c10");
    EXPECT_FALSE(each.text->frames.empty());
  }
  EXPECT_EQ(sum, answer->bytes);
  EXPECT_NEAR(shares, 1.0, 1e-9);
}

TEST(viewer_live_worker, only_the_newest_of_many_questions_must_be_answered) {
  std::promise<void> gate;
  std::shared_future<void> opened = gate.get_future().share();
  std::atomic<int> asked{0};
  LiveWorker worker(open_training,
                    [&](const trace::Reader& reader, const analyzer::Series& series, int64_t time) {
                      ++asked;
                      opened.wait();
                      return analyzer::live_at(reader, series, time);
                    });
  for (int64_t i = 0; i <= 1000; ++i) worker.request(kPool, i * 1'000'000);
  EXPECT_TRUE(worker.busy());
  gate.set_value();
  worker.wait();
  EXPECT_EQ(worker.latest()->time_ns, 1'000'000'000);
  EXPECT_LE(asked.load(), 3);
}

TEST(viewer_live_worker, errors_of_opening_and_asking_are_shown_not_swallowed) {
  LiveWorker gone([]() -> Result<std::unique_ptr<trace::Reader>> { return fail("it is gone"); },
                  analyzer::live_at);
  gone.request(kPool, 1);
  gone.wait();
  EXPECT_EQ(gone.latest()->error, "it is gone");
  LiveWorker broken(
      open_training,
      [](const trace::Reader&, const analyzer::Series&, int64_t) -> Result<analyzer::LiveSet> {
        return fail("chunk 3 is damaged");
      });
  broken.request(kPool, 1);
  broken.wait();
  EXPECT_EQ(broken.latest()->error, "chunk 3 is damaged");
}

}  // namespace
}  // namespace tidemark::viewer
