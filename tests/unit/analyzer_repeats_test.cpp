// Iterations as repeats of a sequence.
#include <gtest/gtest.h>

#include <string_view>

#include "../../analyzer/repeats.h"

namespace tidemark::analyzer {
namespace {

std::vector<uint64_t> keys(std::string_view text) { return {text.begin(), text.end()}; }

bool anything(size_t /*begin*/, size_t /*period*/) { return true; }

Repeats repeats_of(std::string_view text) { return find_repeats(keys(text), 4, false, anything); }

TEST(Repeats, AreFoundBehindASetupAndAFirstOneOfItsOwnKind) {
  const Repeats found = repeats_of("ssifffbbooifffbbifffbbifffbbx");
  EXPECT_EQ(found.period, 6U);
  EXPECT_EQ(found.begins, (std::vector<size_t>{2, 10, 16, 22}));
  EXPECT_EQ(found.regular, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(found.end, 28U);
}

TEST(Repeats, AreNotTheBlocksOfAModel) {
  const Repeats found = repeats_of("iabcdabcdabcdabcdzoiabcdabcdabcdabcdzoiabcdabcdabcdabcdzo");
  EXPECT_EQ(found.period, 19U);
  EXPECT_EQ(found.begins, (std::vector<size_t>{0, 19, 38}));
}

TEST(Repeats, OneThatLogsIsOneOfItsOwnKind) {
  const Repeats found = repeats_of("ifffbbifffbbifffbbLLifffbbifffbb");
  EXPECT_EQ(found.begins, (std::vector<size_t>{0, 6, 12, 20, 26}));
  EXPECT_EQ(found.regular, (std::vector<bool>{true, true, false, true, true}));
}

TEST(Repeats, AreNoneWhereNothingRepeatsOrAllIsTheSame) {
  EXPECT_EQ(repeats_of("abcdefghijklmnop").period, 0U);
  EXPECT_EQ(repeats_of("aaaaaaaaaaaaaaaa").period, 0U);
  EXPECT_EQ(repeats_of("").period, 0U);
  EXPECT_EQ(repeats_of("ab").period, 0U);
}

TEST(Repeats, WhatMayNotBeOneIsNone) {
  const auto never = [](size_t, size_t) { return false; };
  EXPECT_EQ(find_repeats(keys("ifffbbifffbbifffbb"), 4, false, never).period, 0U);
}

}  // namespace
}  // namespace tidemark::analyzer
