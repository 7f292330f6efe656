#include "text/pre_tokenize.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace ocelli {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces(std::string_view text) {
  Pieces out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_piece(text, at);
    EXPECT_GT(end, at);
    EXPECT_LE(end, text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(PreTokenize, WordsTakeOneLeadingCharacter) {
  EXPECT_EQ(pieces("Hello, world! 123"), (Pieces{"Hello", ",", " world", "!", " ", "1", "2", "3"}));
  EXPECT_EQ(pieces("a\tb"), (Pieces{"a", "\tb"}));
  EXPECT_EQ(pieces("(word"), (Pieces{"(word"}));
  EXPECT_EQ(pieces("((word"), (Pieces{"((", "word"}));
  EXPECT_EQ(pieces("1a2b"), (Pieces{"1", "a", "2", "b"}));
  EXPECT_EQ(pieces("\u3000x"), (Pieces{"\u3000x"}));
  EXPECT_EQ(pieces("x_y"), (Pieces{"x", "_y"}));
}

TEST(PreTokenize, ContractionsFoldCase) {
  EXPECT_EQ(pieces("don't DON'T I'LL"), (Pieces{"don", "'t", " DON", "'T", " I", "'LL"}));
  EXPECT_EQ(pieces("'ſx"), (Pieces{"'ſ", "x"}));
  EXPECT_EQ(pieces("'re've'm'd'l"), (Pieces{"'re", "'ve", "'m", "'d", "'l"}));
  EXPECT_EQ(pieces("'rx"), (Pieces{"'rx"}));
  EXPECT_EQ(pieces("it’s"), (Pieces{"it", "’s"}));
  EXPECT_EQ(pieces("'"), (Pieces{"'"}));
}

TEST(PreTokenize, PunctuationTakesASpaceBeforeAndNewlinesAfter) {
  EXPECT_EQ(pieces("x=[1,2];\n"), (Pieces{"x", "=[", "1", ",", "2", "];\n"}));
  EXPECT_EQ(pieces(" !!\r\n\r\nx"), (Pieces{" !!\r\n\r\n", "x"}));
  EXPECT_EQ(pieces("  !!"), (Pieces{" ", " !!"}));
  EXPECT_EQ(pieces("\t!!"), (Pieces{"\t", "!!"}));
  EXPECT_EQ(pieces("a\u0301b"), (Pieces{"a", "\u0301b"}));
  EXPECT_EQ(pieces("नि"), (Pieces{"न", "ि"}));
}

TEST(PreTokenize, WhiteSpaceSplitsAtTheLastNewlineOrBeforeTheLastCharacter) {
  EXPECT_EQ(pieces("hello   world  "), (Pieces{"hello", "  ", " world", "  "}));
  EXPECT_EQ(pieces(" \r \n  x"), (Pieces{" \r \n", " ", " x"}));
  EXPECT_EQ(pieces("\n\n"), (Pieces{"\n\n"}));
  EXPECT_EQ(pieces("a \n"), (Pieces{"a", " \n"}));
  EXPECT_EQ(pieces(" 1"), (Pieces{" ", "1"}));
  EXPECT_EQ(pieces("\u2028\u2028x"), (Pieces{"\u2028", "\u2028x"}));
  EXPECT_EQ(pieces("\u0085 1"), (Pieces{"\u0085", " ", "1"}));
  EXPECT_EQ(pieces(""), Pieces{});
}

}  // namespace
}  // namespace ocelli
