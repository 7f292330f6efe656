#include "text/unicode.h"

#include <chrono>

#include "gtest/gtest.h"

namespace ocelli {
namespace {

std::string nfc(std::string_view text) {
  std::string out;
  return normalize_nfc(text, out) ? out : std::string(text);
}

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(c, text);
    ASSERT_EQ(utf8_valid_prefix(text), text.size()) << std::hex << static_cast<uint32_t>(c);
    const DecodedChar decoded = decode_utf8(text, 0);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.bytes, text.size());
  }
}

// Python: data.decode("utf-8", "replace"), one U+FFFD for each maximal invalid part.
TEST(Utf8, ReplacesWhatPythonReplaces) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8("plain é"), "plain é");
  EXPECT_EQ(replace_invalid_utf8("\xff"), r);
  EXPECT_EQ(replace_invalid_utf8("a\xc3"), "a" + r);
  EXPECT_EQ(replace_invalid_utf8("\xe2\x82"), r);
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98"), r);
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80x"), r + r + r + "x");  // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf"), r + r);
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xe0\x80\x80"), r + r + r);
  EXPECT_EQ(replace_invalid_utf8("a\xe2\x28\xa1z"), "a" + r + "(" + r + "z");
  EXPECT_EQ(replace_invalid_utf8("\xf0\x28\x8c\xbc"), r + "(" + r + r);
}

TEST(CharClass, KnowsTheCorners) {
  for (const char32_t c :
       {U'\t', U'\n', U'\v', U'\f', U'\r', U' ', U'\x85', U'\xa0', U'\u1680', U'\u2000', U'\u200a',
        U'\u2028', U'\u2029', U'\u202f', U'\u205f', U'\u3000'})
    EXPECT_EQ(char_class(c), CharClass::kSpace) << std::hex << static_cast<uint32_t>(c);
  for (const char32_t c : {U'\x1c', U'\x1f', U'\u200b', U'\ufeff', U'\u180e', U'\u0301', U'\u093f',
                           U'\U0001f600', U'_'})
    EXPECT_EQ(char_class(c), CharClass::kOther) << std::hex << static_cast<uint32_t>(c);
  for (const char32_t c : {U'a', U'Z', U'é', U'\u017f', U'\u02b0', U'\u4e2d', U'\u0e01', U'\uac00'})
    EXPECT_EQ(char_class(c), CharClass::kLetter) << std::hex << static_cast<uint32_t>(c);
  for (const char32_t c : {U'0', U'\u0663', U'\u00bd', U'\u2167', U'\u2460', U'\u3007'})
    EXPECT_EQ(char_class(c), CharClass::kNumber) << std::hex << static_cast<uint32_t>(c);
}

// How many there are in Unicode 16, which the tokenizer's expressions know (counted there, see
// unicode_tables.py): a utf8proc of another version would change these.
TEST(CharClass, HasTheLettersAndNumbersOfUnicode16) {
  int counts[4] = {};
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xd800 || c >= 0xe000) ++counts[static_cast<size_t>(char_class(c))];
  }
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::kLetter)], 141028);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::kNumber)], 1911);
  EXPECT_EQ(counts[static_cast<size_t>(CharClass::kSpace)], 25);
}

TEST(Nfc, ComposesReordersAndDecomposes) {
  EXPECT_EQ(nfc("e\u0301te\u0301"), "été");
  EXPECT_EQ(nfc("a\u0301\u0323"), "ạ\u0301");
  EXPECT_EQ(nfc("\u1100\u1161\u11a8"), "각");
  EXPECT_EQ(nfc("\uac00\u11a8"), "각");
  EXPECT_EQ(nfc("\u212b\u2126\u212a"), "ÅΩK");
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093c");  // excluded from composition
  EXPECT_EQ(nfc("\U0001d15e"), "\U0001d157\U0001d165");
  EXPECT_EQ(nfc("ﬁ"), "ﬁ");  // compatibility forms stay
  EXPECT_EQ(nfc("\u0301a"), "\u0301a");
  EXPECT_EQ(nfc("ÿ\u00ff"), "ÿ\u00ff");
}

// The tokenizer's normaliser is of Unicode 9: younger marks and pairs stay as they are and nothing
// passes them.
TEST(Nfc, LeavesYoungCharactersAlone) {
  EXPECT_EQ(nfc("a\u07fd\u0301"), "a\u07fd\u0301");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
  EXPECT_EQ(nfc("\U00011938"), "\U00011938");
}

TEST(Nfc, IsIdempotent) {
  for (const char* text : {"a\u0345\u0301\u0323\u0334", "\u1e9b\u0323", "q\u0307\u0323",
                           "\u0f71\u0f72\u0f74", "\u0344"})
    EXPECT_EQ(nfc(nfc(text)), nfc(text)) << text;
}

// 100,000 marks in the worst order: seconds when sorted by exchanging neighbours.
TEST(Nfc, SortsLongRunsOfMarksQuickly) {
  std::string text = "a";
  for (int i = 0; i < 50000; ++i) text += "\u0345\u0334";
  const auto start = std::chrono::steady_clock::now();
  const std::string sorted = nfc(text);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  EXPECT_EQ(sorted.size(), text.size());
  EXPECT_EQ(sorted.substr(0, 5), "a\u0334\u0334");
}

}  // namespace
}  // namespace ocelli
