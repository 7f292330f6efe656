#include "stream/stop_strings.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace ocelli {
namespace {

struct Outcome {
  std::string text;
  int matched;
  bool operator==(const Outcome&) const = default;
};

Outcome run(const std::vector<std::string>& stops, bool include, std::string_view text,
            size_t piece) {
  StopStrings stream(stops, include);
  Outcome outcome;
  bool stopped = false;
  for (size_t i = 0; i < text.size() && !stopped; i += piece) {
    stopped = stream.feed(text.substr(i, piece), true, outcome.text);
  }
  if (!stopped) stream.finish(outcome.text);
  outcome.matched = stream.matched();
  EXPECT_EQ(stopped, outcome.matched >= 0);
  return outcome;
}

// The rule by brute force: the smallest end, then the first in the list.
Outcome naive(const std::vector<std::string>& stops, bool include, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    for (size_t i = 0; i < stops.size(); ++i) {
      if (!text.substr(0, end).ends_with(stops[i])) continue;
      return {text.substr(0, include ? end : end - stops[i].size()), static_cast<int>(i)};
    }
  }
  return {text, -1};
}

TEST(StopStrings, FoundAcrossEveryBorder) {
  const std::string text = "one two STOP three";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    for (const bool include : {false, true}) {
      StopStrings stream({"STOP"}, include);
      std::string out;
      if (!stream.feed(std::string_view(text).substr(0, cut), true, out)) {
        EXPECT_TRUE(stream.feed(std::string_view(text).substr(cut), true, out));
      }
      EXPECT_EQ(out, include ? "one two STOP" : "one two ") << cut;
      EXPECT_EQ(stream.matched(), 0);
    }
  }
}

TEST(StopStrings, HoldsBackOnlyWhatMayBecomeAStop) {
  StopStrings stream({"abab!", "\n\n"}, false);
  std::string out;
  stream.feed("xaba", true, out);
  EXPECT_EQ(out, "x");
  stream.feed("ba", true, out);  // "ababa": the last "aba" may still become "abab!"
  EXPECT_EQ(out, "xab");
  stream.feed("c", true, out);
  EXPECT_EQ(out, "xababac");
  stream.feed("\n", true, out);
  EXPECT_EQ(out, "xababac");
  stream.finish(out);
  EXPECT_EQ(out, "xababac\n");
}

TEST(StopStrings, EarliestEndWinsThenTheOrderOfTheList) {
  EXPECT_EQ(run({"world", "lo w"}, false, "hello world", 3), (Outcome{"hel", 1}));
  EXPECT_EQ(run({"b", "ab"}, false, "xaby", 1), (Outcome{"xa", 0}));
  EXPECT_EQ(run({"ab", "b"}, false, "xaby", 1), (Outcome{"x", 0}));
}

TEST(StopStrings, NothingAfterAStop) {
  StopStrings stream({"."}, false);
  std::string out;
  EXPECT_TRUE(stream.feed("a. b", true, out));
  EXPECT_TRUE(stream.feed("more", true, out));
  EXPECT_EQ(out, "a");
}

TEST(StopStrings, UnarmedMatchesDoNotCount) {
  StopStrings stream({"ab"}, false);
  std::string out;
  EXPECT_FALSE(stream.feed("xab", false, out));
  EXPECT_EQ(out, "xab");
  EXPECT_FALSE(stream.feed("a", false, out));  // begins unarmed ...
  EXPECT_TRUE(stream.feed("b", true, out));    // ... and ends armed
  EXPECT_EQ(out, "xab");
}

TEST(StopStrings, NoStopsPassEverythingAtOnce) {
  StopStrings stream({}, false);
  std::string out;
  EXPECT_FALSE(stream.feed("text", true, out));
  EXPECT_EQ(out, "text");
}

TEST(StopStrings, RandomTextsEqualTheBruteForce) {
  std::mt19937 random(2);
  const auto word = [&](size_t longest) {
    std::string text;
    for (size_t i = 1 + random() % longest; i > 0; --i) text.push_back("ab\n"[random() % 3]);
    return text;
  };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = random() % 4; i > 0; --i) stops.push_back(word(6));
    const std::string text = word(30);
    const bool include = random() % 2 == 0;
    const Outcome expected = naive(stops, include, text);
    found += expected.matched >= 0;
    for (size_t piece = 1; piece <= 8; ++piece)
      ASSERT_EQ(run(stops, include, text, piece), expected);
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace ocelli
