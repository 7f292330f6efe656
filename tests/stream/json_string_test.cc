#include "stream/json_string.h"

#include <gtest/gtest.h>

#include <string>

namespace ocelli {
namespace {

std::string scan(std::string_view text, char quote, bool* repaired) {
  JsonString string;
  std::string out;
  string.begin(quote, out);
  for (const char c : text) {
    EXPECT_TRUE(string.open());
    if (!string.feed(c, out)) break;
  }
  if (string.open()) string.close(out);
  *repaired = string.repaired();
  return out;
}

TEST(JsonString, WritesEscapesAsPythonDoes) {
  bool repaired = true;
  EXPECT_EQ(scan(R"(a\u0041\u00e9\ud83d\ude00\/\n\u001F\"\\" rest)", '"', &repaired),
            "\"aA\xc3\xa9\xf0\x9f\x98\x80/\\n\\u001f\\\"\\\\\"");
  EXPECT_FALSE(repaired);
}

TEST(JsonString, MendsQuotesControlsAndLooseEscapes) {
  bool repaired = false;
  EXPECT_EQ(scan("a\"b\\'c'", '\'', &repaired), R"("a\"b'c")");
  EXPECT_TRUE(repaired);
  EXPECT_EQ(scan("a\tb\x01\"", '"', &repaired), R"("a\tb\u0001")");
  EXPECT_TRUE(repaired);
  EXPECT_EQ(scan(R"(\d\u12)", '"', &repaired), R"("\\d\\u12")");
  EXPECT_TRUE(repaired);
  EXPECT_EQ(scan(R"(\ud800)", '"', &repaired), R"("\ud800")");
  EXPECT_TRUE(repaired);  // it was not closed
}

TEST(JsonUnquote, UndoesTheEscapes) {
  EXPECT_EQ(json_unquote(R"("a\"b\\c\/\n\t\u001f")"), "a\"b\\c/\n\t\x1f");
  EXPECT_EQ(json_unquote(R"("\ud800")"), "\xef\xbf\xbd");
  EXPECT_EQ(json_unquote("\"\""), "");
}

}  // namespace
}  // namespace ocelli
