// Python frames among native ones, on made-up stacks.
#include <gtest/gtest.h>

#include <vector>

#include "merge.h"

namespace tidemark::stack {
namespace {

struct Native {
  struct Frame {
    uint64_t word;
    uint64_t sp;
  };
  std::vector<Frame> frames;  // outermost first
  uint32_t count() const { return static_cast<uint32_t>(frames.size()); }
  uint64_t word(uint32_t frame) const { return frames[frame].word; }
  uint64_t sp(uint32_t frame) const { return frames[frame].sp; }
};

using Words = std::vector<uint64_t>;

Words merged(const Native& native, const Words& python, std::vector<PythonRun> runs,
             bool handler_frames = false) {
  Words words;
  merge(native,
        PythonStack{python.data(), runs.data(), static_cast<uint32_t>(runs.size()), handler_frames},
        [&](uint64_t word) { words.push_back(word); });
  return words;
}

// main 1, eval loop 2 in [700, 800), call 3, eval loop 4 in [500, 600), malloc 5.
const Native kNative{{{1, 800}, {2, 700}, {3, 600}, {4, 500}, {5, 400}}};

TEST(Merge, without_python_frames_the_native_stack_is_all_there_is) {
  EXPECT_EQ(merged(kNative, {}, {}), (Words{1, 2, 3, 4, 5}));
}

TEST(Merge, an_invocation_of_the_eval_loop_is_replaced_by_the_frames_it_runs) {
  // Innermost first: 13 12 in the inner loop, 11 10 in the outer one.
  EXPECT_EQ(merged(kNative, {13, 12, 11, 10}, {{510, 0, 2, 0}, {799, 2, 2, 0}}),
            (Words{1, 10, 11, 3, 12, 13, 5}));
}

TEST(Merge, a_loop_that_shows_no_frame_of_its_own_stays_native) {
  EXPECT_EQ(merged(kNative, {11, 10}, {{500, 0, 0, 0}, {700, 0, 2, 0}}),
            (Words{1, 10, 11, 3, 4, 5}));
}

TEST(Merge, two_invocations_in_one_native_frame_keep_their_order) {
  EXPECT_EQ(merged(kNative, {12, 11, 10}, {{510, 0, 1, 0}, {520, 1, 1, 0}, {530, 2, 1, 0}}),
            (Words{1, 2, 3, 10, 11, 12, 5}));
}

TEST(Merge, frames_that_no_native_frame_holds_come_first_with_all_further_out) {
  EXPECT_EQ(merged(kNative, {12, 11, 10}, {{510, 0, 1, 0}, {99999, 1, 1, 0}, {710, 2, 1, 0}}),
            (Words{10, 11, 1, 2, 3, 12, 5}));
  EXPECT_EQ(merged(kNative, {10}, {{0, 0, 1, 0}}), (Words{10, 1, 2, 3, 4, 5}));
  EXPECT_EQ(merged(kNative, {10}, {{300, 0, 1, 0}}), (Words{10, 1, 2, 3, 4, 5}))
      << "further in than the innermost frame";
}

TEST(Merge, an_instructions_handler_is_part_of_the_loop_that_called_it) {
  EXPECT_EQ(merged(kNative, {11, 10}, {{510, 0, 1, 0}, {710, 1, 1, 0}}, true), (Words{1, 10, 11}));
}

TEST(Merge, the_place_of_an_address_is_the_frame_around_it) {
  EXPECT_EQ(frame_of(kNative, 400), 4);
  EXPECT_EQ(frame_of(kNative, 499), 4);
  EXPECT_EQ(frame_of(kNative, 500), 3);
  EXPECT_EQ(frame_of(kNative, 799), 1);
  EXPECT_EQ(frame_of(kNative, 800), -1) << "nobody knows how far the outermost reaches";
  EXPECT_EQ(frame_of(kNative, 399), -1);
  EXPECT_EQ(frame_of(Native{}, 399), -1);
}

}  // namespace
}  // namespace tidemark::stack
