// Each test feeds a text in many cuts, streamed and whole, and wants the same answer from all of
// them.
#include "stream/tool_calls.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "python_json.h"

namespace ocelli {
namespace {

struct Call {
  std::string name, arguments;
  bool operator==(const Call&) const = default;
};

struct Answer {
  std::string content;
  std::vector<Call> calls;
  int complete = 0;  // what the parser counts
  bool cut = false;
  bool operator==(const Answer&) const = default;
};

void PrintTo(const Answer& answer, std::ostream* out) {
  *out << "content=" << answer.content;
  for (const Call& call : answer.calls) *out << " | " << call.name << " " << call.arguments;
  *out << " | complete=" << answer.complete << " cut=" << answer.cut;
}

void take(ParsedText& piece, Answer& answer) {
  answer.content += piece.content;
  for (const ToolDelta& delta : piece.tools) {
    if (static_cast<size_t>(delta.index) == answer.calls.size()) {
      EXPECT_FALSE(delta.name.empty());  // a call begins with its name
      answer.calls.push_back({delta.name, ""});
    } else {
      EXPECT_EQ(static_cast<size_t>(delta.index) + 1, answer.calls.size());
      EXPECT_EQ(delta.name, "");  // and never repeats it
    }
    if (!answer.calls.empty()) answer.calls.back().arguments += delta.arguments;
  }
  piece = {};
}

using Emit = ToolCallParser::Emit;
const std::vector<std::string> kNames = {"get_weather", "final_answer", "f"};

// piece 0: random pieces of 1..8 characters.
Answer run(std::string_view text, bool truncated, Emit emit, size_t piece, uint32_t seed = 0) {
  std::mt19937 random(seed);
  ToolCallParser parser(kNames, emit);
  Answer answer;
  ParsedText out;
  for (size_t i = 0; i < text.size();) {
    const size_t size = piece > 0 ? piece : 1 + random() % 8;
    parser.feed(text.substr(i, size), out);
    take(out, answer);
    i += size;
  }
  parser.finish(truncated, out);
  take(out, answer);
  answer.complete = parser.calls();
  answer.cut = parser.cut();
  return answer;
}

// The answer when the model ended by itself; all modes and cuts must agree on it.
Answer parse(std::string_view text) {
  const Answer expected = run(text, false, Emit::kWhole, text.size() + 1);
  EXPECT_EQ(static_cast<size_t>(expected.complete), expected.calls.size());
  EXPECT_FALSE(expected.cut);
  for (const Call& call : expected.calls) {
    EXPECT_TRUE(nlohmann::json::accept(call.arguments)) << call.arguments;
  }
  for (const Emit emit : {Emit::kStream, Emit::kWhole}) {
    for (const size_t piece : {1, 2, 3, 4, 5, 8, 1000}) {
      EXPECT_EQ(run(text, false, emit, piece), expected) << "piece " << piece;
    }
    for (uint32_t seed = 0; seed < 10; ++seed) {
      EXPECT_EQ(run(text, false, emit, 0, seed), expected) << "seed " << seed;
    }
  }
  return expected;
}

Answer text_only(std::string content) { return {std::move(content), {}, 0, false}; }
Answer one_call(std::string content, std::string name, std::string arguments) {
  return {std::move(content), {{std::move(name), std::move(arguments)}}, 1, false};
}

const std::string kLondon =
    "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
    "\"London\"}}\n</tool_call>";

// --- the format

TEST(ToolCalls, HostedServiceExample) {
  EXPECT_EQ(parse(kLondon), one_call("", "get_weather", R"({"location": "London"})"));
}

TEST(ToolCalls, PlainTextIntact) {
  for (const std::string text : {"Hello, world.", "", "  \n ", "a < b <tool <tool_cal",
                                 "{\"x\": 1} is JSON", "<<tool_call"}) {
    EXPECT_EQ(parse(text), text_only(text));
  }
}

TEST(ToolCalls, NameThenExactlyTheArguments) {
  const std::string text =
      "<tool_call>\n{\"name\": \"final_answer\", \"arguments\": {\"trigger\": true}}\n</tool_call>";
  EXPECT_EQ(parse(text), one_call("", "final_answer", R"({"trigger": true})"));
  // Streamed: the name is out before the arguments begin.
  ToolCallParser parser(kNames);
  ParsedText out;
  parser.feed("<tool_call>\n{\"name\": \"final_answer\"", out);
  ASSERT_EQ(out.tools.size(), 1u);
  EXPECT_EQ(out.tools[0].name, "final_answer");
  EXPECT_EQ(out.tools[0].arguments, "");
  out = {};
  parser.feed(", \"arguments\": {\"tri", out);
  ASSERT_EQ(out.tools.size(), 1u);
  EXPECT_EQ(out.tools[0].name, "");
  EXPECT_EQ(out.tools[0].arguments, "{\"tri");
}

TEST(ToolCalls, ContentThenCallIsUntrimmed) {
  EXPECT_EQ(parse("Let me look.\n\n" + kLondon),
            one_call("Let me look.\n\n", "get_weather", R"({"location": "London"})"));
}

TEST(ToolCalls, ContentStreamsWithoutDelay) {
  ToolCallParser parser(kNames);
  ParsedText out;
  parser.feed("Sure, <tool", out);
  EXPECT_EQ(out.content, "Sure, ");  // only what may become a tag waits
  parser.feed("s", out);
  EXPECT_EQ(out.content, "Sure, <tools");
}

TEST(ToolCalls, TextBetweenAndAfterCallsIsDropped) {
  const Answer answer = parse("A" + kLondon + "B" + kLondon + "\nC <tool_call");
  EXPECT_EQ(answer.content, "A");
  EXPECT_EQ(answer.calls.size(), 2u);
}

TEST(ToolCalls, AdjacentCallsWithoutNewline) {
  const std::string call = "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>";
  const Answer answer = parse(call + call);
  EXPECT_EQ(answer, (Answer{"", {{"f", R"({"a": 1})"}, {"f", R"({"a": 1})"}}, 2, false}));
}

TEST(ToolCalls, EndTagMayBeMissingAtTheEnd) {
  EXPECT_EQ(parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}"),
            one_call("", "f", R"({"a": 1})"));
  EXPECT_EQ(parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_c"),
            one_call("", "f", R"({"a": 1})"));
}

TEST(ToolCalls, EndTagMayBeMissingBeforeTheNextCall) {
  const std::string open = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n";
  EXPECT_EQ(parse(open + open + "</tool_call>").calls.size(), 2u);
  EXPECT_EQ(parse("<tool_call>\n<tool_call>\n{\"name\": \"f\"}</tool_call>"),
            one_call("", "f", "{}"));
}

TEST(ToolCalls, TagsInsideStringsAreText) {
  EXPECT_EQ(
      parse(
          R"(<tool_call>{"name": "f", "arguments": {"a": "x</tool_call>y<tool_call>"}}</tool_call>)"),
      one_call("", "f", R"({"a": "x</tool_call>y<tool_call>"})"));
}

TEST(ToolCalls, StringHoldingAnObjectIsSingleEncoded) {
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": "{\"a\":\"caf\u00e9\"}"}</tool_call>)"),
            one_call("", "f", "{\"a\": \"caf\xc3\xa9\"}"));
}

TEST(ToolCalls, BareStringAndScalarArguments) {
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": "hello"}</tool_call>)"),
            one_call("", "f", R"("hello")"));
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": 12.50}</tool_call>)"),
            one_call("", "f", "12.50"));
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": true}</tool_call>)"),
            one_call("", "f", "true"));
}

TEST(ToolCalls, UnknownAndExtraKeysAreSkipped) {
  EXPECT_EQ(
      parse(
          R"(<tool_call>{"id": {"name": "no", "arguments": [1]}, "name": "f", "type": "function",)"
          R"( "arguments": {"a": 1}, "name": "g", "arguments": {"b": 2}}</tool_call>)"),
      one_call("", "f", R"({"a": 1})"));
}

TEST(ToolCalls, NamesAreUnescaped) {
  EXPECT_EQ(parse(R"(<tool_call>{"name": "m\u00e9t\/o", "arguments": {}}</tool_call>)"),
            one_call("", "m\xc3\xa9t/o", "{}"));
}

// --- issues users reported (spec section 3)

TEST(ToolCallIssues, I10395_I9693_I9908_StreamedArgumentsEqualWholeOnes) {
  EXPECT_EQ(
      parse(R"(<tool_call>
{"name": "get_weather", "arguments": {"city": "Dallas", "state": "TX", "unit": "fahrenheit", "days": [1, 2.0, -3e5],
 "nested": {"deep": {"er": []}}}}
</tool_call>)"),
      one_call("", "get_weather",
               R"({"city": "Dallas", "state": "TX", "unit": "fahrenheit", "days": [1, 2.0, -3e5], )"
               R"("nested": {"deep": {"er": []}}})"));
}

TEST(ToolCallIssues, I19056_BooleanAndShortArguments) {
  for (const std::string value : {"true", "false", "null", "1", "0", "\"\"", "\"x\"", "[]", "{}"}) {
    EXPECT_EQ(parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": " + value +
                    "}}\n</tool_call>"),
              one_call("", "f", "{\"a\": " + value + "}"));
  }
  EXPECT_EQ(parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": true}}}}\n</tool_call>"),
            one_call("", "f", R"({"a": true})"));  // stray braces
}

TEST(ToolCallIssues, I20678_I22885_I21307_LastCharactersWithTheFinish) {
  // The last token carries the closing brackets and the answer ends in the same step.
  for (const bool truncated : {false, true}) {
    const std::string text = R"(<tool_call>{"name": "f", "arguments": {"a": {"b": "c"}}})";
    for (size_t cut = 0; cut < text.size(); ++cut) {
      ToolCallParser parser(kNames);
      Answer answer;
      ParsedText out;
      parser.feed(std::string_view(text).substr(0, cut), out);
      take(out, answer);
      parser.feed(std::string_view(text).substr(cut), out);
      parser.finish(truncated, out);
      take(out, answer);
      ASSERT_EQ(answer.calls, (std::vector<Call>{{"f", R"({"a": {"b": "c"}})"}}));
      ASSERT_EQ(parser.calls(), 1);
      ASSERT_FALSE(parser.cut());
    }
  }
}

TEST(ToolCallIssues, I28806_I37098_EmptyArgumentsAreSent) {
  for (const std::string arguments : {"{}", "{ }", "\"\"", "\" \"", "null", "\"{}\""}) {
    EXPECT_EQ(
        parse("<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>"),
        one_call("", "f", "{}"));
  }
}

TEST(ToolCallIssues, I22694_ArgumentsBeforeNameOrMissing) {
  EXPECT_EQ(parse(R"(<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>)"),
            one_call("", "f", R"({"a": 1})"));
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f"}</tool_call>)"), one_call("", "f", "{}"));
  ToolCallParser parser(kNames);
  ParsedText out;
  parser.feed(R"(<tool_call>{"arguments": {"a": 1}, )", out);
  EXPECT_TRUE(out.empty());  // nothing before the name
}

TEST(ToolCallIssues, I21360_ArgumentsBeginningWithAList) {
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": [{"a": 1}, {"b": [2]}]}</tool_call>)"),
            one_call("", "f", R"([{"a": 1}, {"b": [2]}])"));
  EXPECT_EQ(parse(R"(<tool_call>{"name": "f", "arguments": {"list": [{"a": "b"}]}}</tool_call>)"),
            one_call("", "f", R"({"list": [{"a": "b"}]})"));
}

TEST(ToolCallIssues, I17790_TwoObjectsInOneTag) {
  for (const std::string between : {"\n", "", ", ", " ; "}) {
    const Answer answer =
        parse("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}" + between +
              "{\"name\": \"get_weather\", \"arguments\": {\"b\": 2}}\n</tool_call>");
    EXPECT_EQ(answer,
              (Answer{"", {{"f", R"({"a": 1})"}, {"get_weather", R"({"b": 2})"}}, 2, false}));
  }
  EXPECT_EQ(parse(R"(<tool_call>[{"name": "f"}, {"name": "f"}]</tool_call>)").calls.size(), 2u);
}

TEST(ToolCallIssues, I53255_I53256_NoCallNoToolFinish) {
  // Blocks that are no calls count none and come back as they were written.
  for (const std::string text :
       {"<tool_call>hello</tool_call>", "a <tool_call></tool_call> b",
        "<tool_call>{\"arguments\": {\"a\": 1}}</tool_call>.",
        "<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{\"name\": \"\"}", "<tool_call>",
        "<tool_call>\n{\"na", "<tool_call>\n{\"name\": \"get_w",
        "<tool_call>[1, 2]</tool_call> <tool_call>{}</tool_call>"}) {
    EXPECT_EQ(parse(text), text_only(text));
  }
}

TEST(ToolCallIssues, I9209_I17161_I26561_SlightlyMalformedIsRepaired) {
  const Answer london = one_call("", "get_weather", R"({"location": "London"})");
  for (const std::string text :
       {"<tool_call>\n{'name': 'get_weather', 'arguments': {'location': 'London'}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
        "\"London\",},}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
        "\"London\"}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
        "\"London\"\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": \"London\"}",
        "<tool_call>\n{{\"name\": \"get_weather\", \"arguments\": {\"location\": "
        "\"London\"}}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"get_weather\" \"arguments\": {\"location\" "
        "\"London\"}}\n</tool_call>",
        "<tool_call>\n```json\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
        "\"London\"}}\n```\n</tool_call>",
        "<tool_call>\n{name: \"get_weather\", arguments: {location: \"London\"}}\n</tool_call>"}) {
    EXPECT_EQ(parse(text), london) << text;
  }
}

TEST(ToolCallIssues, I28297_LoneObjectWithAKnownName) {
  EXPECT_EQ(parse(" {\"name\": \"get_weather\", \"arguments\": {\"location\": \"London\"}}\n"),
            one_call("", "get_weather", R"({"location": "London"})"));
  EXPECT_EQ(parse("{\"arguments\":{\"a\":1},\"name\":\"f\"}"), one_call("", "f", R"({"a": 1})"));
  for (const std::string text : {
           R"({"name": "unknown", "arguments": {}})",     // not a tool
           R"({"name": "f"})",                            // both keys are wanted here
           R"({"name": "f", "arguments": {}} and more)",  // not the whole answer
           R"({"name": "f", "arguments": {})",            // not to the letter
           R"([{"name": "f", "arguments": {}}])",
           R"(Call: {"name": "f", "arguments": {}})",
           R"({"arguments": {}, "name": "g"})",
           R"({"name": "fo", "arguments": {}})",
       }) {
    EXPECT_EQ(parse(text), text_only(text));
  }
  // A tag after it: then the object was text.
  EXPECT_EQ(
      parse("{\"name\": \"f\", \"arguments\": {}}" + kLondon),
      one_call("{\"name\": \"f\", \"arguments\": {}}", "get_weather", R"({"location": "London"})"));
}

TEST(ToolCallIssues, I28297_OtherJsonStreamsAtOnce) {
  ToolCallParser parser(kNames);
  ParsedText out;
  parser.feed("{\"name\": \"get_x", out);
  EXPECT_EQ(out.content, "{\"name\": \"get_x");
  parser.feed("\", \"a", out);
  EXPECT_EQ(out.content, "{\"name\": \"get_x\", \"a");
}

// --- cut off by a limit

TEST(ToolCallTruncation, WholeAnswersGetTheTextBack) {
  for (size_t cut = std::string_view("<tool_call>").size(); cut < kLondon.find("}}") + 2; ++cut) {
    const std::string text = "Hm. " + kLondon.substr(0, cut);
    const Answer expected{text, {}, 0, true};
    for (const size_t piece : {1, 3, 1000})
      EXPECT_EQ(run(text, true, Emit::kWhole, piece), expected);
  }
}

TEST(ToolCallTruncation, CompleteObjectsStand) {
  for (size_t cut = kLondon.find("}}") + 2; cut <= kLondon.size(); ++cut) {
    for (const Emit emit : {Emit::kWhole, Emit::kStream}) {
      EXPECT_EQ(run(kLondon.substr(0, cut), true, emit, 2),
                one_call("", "get_weather", R"({"location": "London"})"));
    }
  }
}

TEST(ToolCallTruncation, StreamedFragmentsStaySent) {
  const size_t known = kLondon.find("get_weather\"") + std::string_view("get_weather\"").size();
  for (size_t cut = std::string_view("<tool_call>").size(); cut < kLondon.find("}}") + 2; ++cut) {
    const Answer answer = run(kLondon.substr(0, cut), true, Emit::kStream, 1);
    EXPECT_TRUE(answer.cut);
    EXPECT_EQ(answer.complete, 0);  // so the finish reason is "length"
    if (cut < known) {
      EXPECT_EQ(answer.content, kLondon.substr(0, cut));
      EXPECT_TRUE(answer.calls.empty());
    } else {
      EXPECT_EQ(answer.content, "");
      ASSERT_EQ(answer.calls.size(), 1u);
      EXPECT_TRUE(
          std::string_view(R"({"location": "London"})").starts_with(answer.calls[0].arguments));
    }
  }
}

TEST(ToolCallTruncation, EarlierCallsStand) {
  const std::string text = kLondon + "\n" + kLondon.substr(0, 60);
  const Answer whole = run(text, true, Emit::kWhole, 3);
  EXPECT_EQ(whole, (Answer{"", {{"get_weather", R"({"location": "London"})"}}, 1, true}));
  EXPECT_EQ(run(text, true, Emit::kStream, 3).complete, 1);
}

TEST(ToolCallTruncation, PartOfATagIsText) {
  for (const bool truncated : {false, true}) {
    EXPECT_EQ(run("Hi <tool_cal", truncated, Emit::kStream, 1), text_only("Hi <tool_cal"));
  }
}

// --- any call, any cut

TEST(ToolCallProperty, RandomCallsAnyCut) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    Answer expected;
    if (random() % 2 == 0)
      expected.content = text = "Some text <" + std::string(random() % 3, '\n');
    for (size_t i = random() % 4; i > 0; --i) {
      auto arguments = nlohmann::ordered_json::object();
      for (size_t k = random() % 4; k > 0; --k)
        arguments[random_text(random)] = random_json(random, 3);
      const std::string name = kNames[random() % kNames.size()];
      expected.calls.push_back({name, python_dumps(arguments)});
      // How the model spells it: key order, white space, escapes.
      const std::string spelled = random() % 3 == 0   ? arguments.dump(1)
                                  : random() % 2 == 0 ? arguments.dump(-1, ' ', true)
                                                      : python_dumps(arguments);
      const std::string named = "\"name\": \"" + name + "\"", given = "\"arguments\": " + spelled;
      const std::string space = random() % 2 == 0 ? "\n" : "";
      text += "<tool_call>" + space + "{" +
              (random() % 4 == 0 ? given + ", " + named : named + ", " + given) + "}" + space +
              "</tool_call>" + space;
    }
    expected.complete = static_cast<int>(expected.calls.size());
    for (const Emit emit : {Emit::kStream, Emit::kWhole}) {
      ASSERT_EQ(run(text, false, emit, 0, static_cast<uint32_t>(round)), expected) << text;
      ASSERT_EQ(run(text, false, emit, text.size() + 1), expected) << text;
    }
  }
}

// Noise made of the format's own pieces: no cut changes the answer, arguments stay valid JSON, and
// when there is a call no tag reaches the content through it.
TEST(ToolCallProperty, RandomNoiseAnyCut) {
  std::mt19937 random(6);
  const std::string pieces[] = {"<tool_call>",
                                "</tool_call>",
                                "{",
                                "}",
                                "\"name\"",
                                ": ",
                                "\"f\"",
                                ", ",
                                "\"arguments\"",
                                "[",
                                "]",
                                "\"",
                                "'",
                                "\\",
                                "1",
                                "x",
                                "\n",
                                "<",
                                "true",
                                "{\"name\": \"f\", \"arguments\": {\"a\": 1}}"};
  int with_calls = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = random() % 2 == 0 ? "<tool_call>{\"name\": \"f\"" : "";
    for (size_t i = random() % 14; i > 0; --i) text += pieces[random() % std::size(pieces)];
    const Answer expected = run(text, false, Emit::kWhole, text.size() + 1);
    with_calls += expected.complete > 0;
    for (const Call& call : expected.calls) {
      ASSERT_FALSE(call.name.empty());
      ASSERT_TRUE(nlohmann::json::accept(call.arguments)) << text << " -> " << call.arguments;
    }
    if (expected.complete == 0) ASSERT_EQ(expected.content, text);  // nothing is lost
    ASSERT_TRUE(text.starts_with(expected.content)) << text;
    ASSERT_EQ(run(text, false, Emit::kStream, 1), expected) << text;
    ASSERT_EQ(run(text, false, Emit::kStream, 0, static_cast<uint32_t>(round)), expected) << text;
    ASSERT_EQ(run(text, false, Emit::kWhole, 1), expected) << text;
    // Cut off: whole answers lose nothing either, and streams do not depend on the pieces.
    const Answer cut = run(text, true, Emit::kWhole, 1);
    if (cut.complete == 0) ASSERT_EQ(cut.content, text);
    ASSERT_EQ(run(text, true, Emit::kWhole, 1000), cut);
  }
  EXPECT_GT(with_calls, 2000);
}

}  // namespace
}  // namespace ocelli
