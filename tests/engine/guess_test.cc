// Where a guess comes from, and what its record makes of hits and misses.
#include "engine/guess.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ocelli {
namespace {

std::vector<int32_t> tokens_of(const Guess& guess) {
  return {guess.tokens.begin(), guess.tokens.begin() + guess.count};
}

std::vector<int32_t> guessed(const std::vector<int32_t>& text, int count = 3) {
  return tokens_of(guess_next(text, count));
}

TEST(Guess, NothingRepeatsNothingIsGuessed) {
  EXPECT_EQ(guess_next({}, 3).count, 0);
  EXPECT_EQ(guessed({1}), std::vector<int32_t>());
  EXPECT_EQ(guessed({1, 2, 3, 4}), std::vector<int32_t>());
  EXPECT_EQ(guessed({1, 1, 1}, 0), std::vector<int32_t>());
}

TEST(Guess, TakesWhatFollowedThePlaceMostAlike) {
  // 2 3 was followed by 7, 1 2 3 by 4 before that.
  const std::vector<int32_t> text = {1, 2, 3, 4, 5, 6, 2, 3, 7, 8, 9, 1, 2, 3};
  EXPECT_EQ(guessed(text), (std::vector<int32_t>{4, 5, 6}));
  EXPECT_EQ(guess_next(text, 3).alike, 3);
}

TEST(Guess, OfPlacesAsAlikeTheLatest) {
  EXPECT_EQ(guessed({1, 2, 3, 9, 1, 2, 4, 9, 1, 2}, 1), (std::vector<int32_t>{4}));
}

TEST(Guess, GoesRoundWhereTheTextDoes) {
  EXPECT_EQ(guessed({5, 5}, 4), (std::vector<int32_t>{5, 5, 5, 5}));
  EXPECT_EQ(guessed({1, 2, 3, 1, 2, 3, 1}, 5), (std::vector<int32_t>{2, 3, 1, 2, 3}));
}

TEST(Guess, ASecondPlaceAgreesForAWhile) {
  const std::vector<int32_t> text = {7, 1, 2, 3, 8, 1, 2, 4, 9, 1};
  EXPECT_EQ(guessed(text), (std::vector<int32_t>{2, 4, 9}));
  EXPECT_EQ(guess_next(text, 3).agreed, 1);
  EXPECT_EQ(guess_next(std::vector<int32_t>{1, 2, 1}, 3).agreed, -1);
}

TEST(Guess, IsWhatASlowSearchFinds) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const int kinds = 2 + static_cast<int>(random() % 6);
    std::vector<int32_t> text(1 + random() % 60);
    for (int32_t& token : text) token = static_cast<int32_t>(random()) % kinds;
    Guess slow;
    for (size_t place = 1; place < text.size(); ++place) {
      int alike = 0;
      while (alike < kAlikeMax && alike < static_cast<int>(place) &&
             text[place - 1 - alike] == text[text.size() - 1 - alike])
        ++alike;
      if (alike == 0 || alike < slow.alike) continue;
      slow.alike = alike;
      std::vector<int32_t> longer = text;
      slow.count = 1 + round % kGuessMax;
      for (int i = 0; i < slow.count; ++i)
        longer.push_back(slow.tokens[static_cast<size_t>(i)] = longer[place + i]);
    }
    const Guess fast = guess_next(text, 1 + round % kGuessMax);
    EXPECT_EQ(fast.alike, slow.alike);
    EXPECT_EQ(tokens_of(fast), tokens_of(slow));
  }
}

TEST(Guess, NeverMoreThanThereIsRoomFor) {
  EXPECT_EQ(guess_next(std::vector<int32_t>(100, 4), 1000).count, kGuessMax);
}

TEST(GuessRecord, LearnsFromHitsAndMisses) {
  GuessRecord record;
  const Guess guess = guess_next(std::vector<int32_t>{1, 2, 3, 9, 1, 2, 3}, 3);
  const float before = record.chance(guess, 1);
  for (int i = 0; i < 40; ++i) record.note(guess, 0, true);
  EXPECT_GT(record.chance(guess, 1), 0.95f);
  EXPECT_LT(record.chance(guess, 2), record.chance(guess, 1));
  for (int i = 0; i < 40; ++i) record.note(guess, 0, false);
  EXPECT_LT(record.chance(guess, 1), 0.05f);
  EXPECT_GT(before, record.chance(guess, 1));
}

TEST(GuessRecord, TellsASecondPlaceThatAgreesFromOneThatDiffers) {
  const GuessRecord record;
  const Guess agrees = guess_next(std::vector<int32_t>{1, 2, 8, 1, 2, 9, 1}, 1);
  const Guess differs = guess_next(std::vector<int32_t>{1, 3, 8, 1, 2, 9, 1}, 1);
  const Guess alone = guess_next(std::vector<int32_t>{8, 1, 2, 9, 1}, 1);
  EXPECT_GT(record.chance(agrees, 1), record.chance(alone, 1));
  EXPECT_LT(record.chance(differs, 1), record.chance(alone, 1));
}

TEST(GuessRecord, AWiderStepTakesNoLessTime) {
  for (int rows = 1; rows < kGuessingRowsMax; ++rows) {
    EXPECT_LE(step_cost(rows), step_cost(rows + 1));
    EXPECT_GE(step_cost(rows) / static_cast<float>(rows),
              step_cost(kGuessingRowsMax) / kGuessingRowsMax);
  }
}

}  // namespace
}  // namespace ocelli
