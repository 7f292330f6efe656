// Structural tags, and tool calls with their marker tokens.
#include <algorithm>

#include "grammar/vocabulary_fixture.h"

namespace ocelli {
namespace {

using Kind = GrammarSource::Kind;

class Tags : public testing::Test {
 protected:
  SmallVocabulary small_;
  int32_t open_ = static_cast<int32_t>(small_.tokens.size()) - 2, close_ = open_ + 1;

  std::shared_ptr<Grammar> made(Kind kind, const std::string& text) {
    auto grammar = compile_as(kind, text, small_.vocabulary);
    EXPECT_TRUE(grammar) << grammar.error().message;
    return grammar.value_or(nullptr);
  }
  // '<' stands for the opening marker, '>' for the closing one.
  static bool follows(Matcher& matcher, std::string_view text, int32_t open) {
    return std::ranges::all_of(text, [&](char c) {
      return matcher.accept(c == '<' ? open : c == '>' ? open + 1 : static_cast<uint8_t>(c));
    });
  }
};

TEST_F(Tags, TextIsFreeUntilATrigger) {
  const auto grammar = made(Kind::kStructuralTag,
                            R"({"triggers":["<f"],"structures":[
      {"begin":"<f=a>","schema":{"type":"integer"},"end":"</f>"},
      {"begin":"<f=b>","schema":{"type":"object","properties":{"x":{"type":"null"}},"required":["x"]},"end":"</f>"}]})");
  for (const char* yes : {"", "any text, 1 < 2", "<", "<<f=a>12</f>",
                          "a <f=b>{\"x\":null}</f> b <f=a>1</f>", "\xC3\xA9"})
    EXPECT_TRUE(matches(grammar, yes)) << yes;
  for (const char* no : {"<f", "<f=c>", "<f=a>x</f>", "<f=b>{}</f>", "a <f=a>1", "\xFF"})
    EXPECT_FALSE(matches(grammar, no)) << no;
}

TEST_F(Tags, RefusesWhatHasNoTrigger) {
  for (const char* text :
       {R"({"triggers":["<g"],"structures":[{"begin":"<f>","schema":{},"end":""}]})",
        R"({"triggers":[],"structures":[]})", R"({"triggers":["a"]})", "{}", "3"}) {
    EXPECT_FALSE(compile_as(Kind::kStructuralTag, text, small_.vocabulary)) << text;
  }
}

constexpr const char* kTools =
    R"("tools":[{"name":"look","parameters":{"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}},
                {"name":"wait","parameters":{"type":"object","properties":{}}}])";

TEST_F(Tags, CallsFollowTheirParameters) {
  const auto calls = made(Kind::kTools, std::string(R"({"mode":"calls",)") + kTools + "}");
  const std::string look = "<\n{\"name\": \"look\", \"arguments\": {\"at\": \"a<b\"}}\n>";
  const std::string wait = "<\n{\"name\": \"wait\", \"arguments\": {}}\n>";
  for (const std::string& text : {wait, wait + "\n" + wait}) {
    Matcher matcher(calls);
    EXPECT_TRUE(follows(matcher, text, open_)) << text;
    EXPECT_TRUE(matcher.may_end());
    EXPECT_FALSE(matcher.must_end());
  }
  for (const char* text :
       {"a", "<\n{\"name\": \"wait\", \"arguments\": {\"", "<\n{\"name\": \"other",
        "<\n{\"name\": \"look\", \"arguments\": {}", look.c_str()}) {
    Matcher matcher(calls);
    EXPECT_FALSE(follows(matcher, text, open_)) << text;  // a marker in a string is none
  }
  Matcher spelled(calls);
  EXPECT_FALSE(spelled.accept('<'));  // the token is asked for, not its letters
  const auto one = made(Kind::kTools, std::string(R"({"mode":"call",)") + kTools + "}");
  Matcher matcher(one);
  EXPECT_TRUE(follows(matcher, wait, open_));
  EXPECT_TRUE(matcher.must_end());
}

TEST_F(Tags, TextAroundCallsIsFree) {
  const auto text = made(Kind::kTools, std::string(R"({"mode":"text",)") + kTools + "}");
  const std::string wait = "\n{\"name\": \"wait\", \"arguments\": {}}\n>";
  for (const std::string& yes : {std::string("hello"), "first <" + wait + " then <" + wait}) {
    Matcher matcher(text);
    EXPECT_TRUE(follows(matcher, yes, open_)) << yes;
    EXPECT_TRUE(matcher.may_end());
  }
  Matcher matcher(text);
  EXPECT_TRUE(follows(matcher, "hi <", open_));
  EXPECT_FALSE(matcher.may_end());
  EXPECT_FALSE(matcher.accept('x'));
  // Spelled out it is the same tag for those who read the text.
  EXPECT_TRUE(matches(text, "a <tool_call"));
  EXPECT_FALSE(matches(text, "a <tool_call> x"));
}

TEST_F(Tags, AnswerOrCalls) {
  const auto both = made(
      Kind::kTools, std::string(R"({"mode":"answer","answer":{"type":"integer"},)") + kTools + "}");
  EXPECT_TRUE(matches(both, "42"));
  EXPECT_FALSE(matches(both, "no"));
  Matcher matcher(both);
  EXPECT_TRUE(follows(matcher, "<\n{\"name\": \"wait\", \"arguments\": {}}\n>", open_));
  EXPECT_TRUE(matcher.may_end());
}

}  // namespace
}  // namespace ocelli
