#include "stream/utf8_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace ocelli {
namespace {

std::string decode(std::string_view bytes, size_t piece) {
  Utf8Stream stream;
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += piece) stream.feed(bytes.substr(i, piece), out);
  stream.finish(out);
  return out;
}

const std::string kBad = "\xef\xbf\xbd";

TEST(Utf8Stream, PassesWholeCharactersAtEverySplit) {
  const std::string text =
      "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80z\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Stream stream;
    std::string first, all;
    stream.feed(std::string_view(text).substr(0, cut), first);
    // What came out early is a prefix made of whole characters.
    EXPECT_TRUE(text.starts_with(first));
    const bool at_border =
        cut == text.size() || (static_cast<unsigned char>(text[cut]) & 0xc0) != 0x80;
    EXPECT_EQ(stream.held() == 0, at_border) << cut;
    all = first;
    stream.feed(std::string_view(text).substr(cut), all);
    EXPECT_EQ(stream.held(), 0);
    stream.finish(all);
    EXPECT_EQ(all, text);
  }
}

TEST(Utf8Stream, GivesEachCharacterWithItsLastByte) {
  Utf8Stream stream;
  std::string out;
  stream.feed("\xf0", out);
  stream.feed("\x9f", out);
  stream.feed("\x98", out);
  EXPECT_EQ(out, "");
  EXPECT_EQ(stream.held(), 3);
  stream.feed("\x80", out);
  EXPECT_EQ(out, "\xf0\x9f\x98\x80");
}

// Expected values as Python's bytes.decode("utf-8", "replace") gives them.
TEST(Utf8Stream, ReplacesEachMaximalSubpartOnce) {
  const struct {
    std::string bytes, text;
  } cases[] = {
      {"\x80", kBad},
      {"\xc0\xaf", kBad + kBad},                            // overlong
      {"\xe0\x80\xaf", kBad + kBad + kBad},                 // overlong
      {"\xe2\x82", kBad},                                   // broken off
      {"\xe2\x82z", kBad + "z"},                            // broken off by a letter
      {"\xf0\x9f\x98\xe2\x82\xac", kBad + "\xe2\x82\xac"},  // broken off by a character
      {"\xed\xa0\x80", kBad + kBad + kBad},                 // surrogate
      {"\xf4\x90\x80\x80", kBad + kBad + kBad + kBad},      // beyond U+10FFFF
      {"\xf5\xff\xfe", kBad + kBad + kBad},
      {"\xf1\x80\x80\xe1\x80\xc2z", kBad + kBad + kBad + "z"},
  };
  for (const auto& [bytes, text] : cases) {
    for (size_t piece = 1; piece <= 4; ++piece) EXPECT_EQ(decode(bytes, piece), text);
  }
}

TEST(Utf8Stream, RandomBytesDoNotDependOnThePieces) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (size_t i = random() % 24; i > 0; --i) {
      // Mostly bytes near the borders of the ranges.
      constexpr unsigned char kInteresting[] = {
          0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
          0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
      bytes.push_back(static_cast<char>(kInteresting[random() % sizeof(kInteresting)]));
    }
    const std::string whole = decode(bytes, bytes.size() + 1);
    for (size_t piece = 1; piece <= 5; ++piece) ASSERT_EQ(decode(bytes, piece), whole);
    // The output is valid: decoding it again changes nothing.
    ASSERT_EQ(decode(whole, 3), whole);
  }
}

}  // namespace
}  // namespace ocelli
