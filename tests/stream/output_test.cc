#include "stream/output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "python_json.h"

namespace ocelli {
namespace {

struct Whole {
  std::string content;
  std::vector<ToolDelta> calls;
  int stop_index = -1;
  bool by_tools = false;
};

// Feeds pieces of 1..8 bytes; `end` comes with an empty last token, as for an end-of-turn token.
Whole run(const OutputOptions& options, std::string_view bytes, End end, uint32_t seed) {
  std::mt19937 random(seed);
  OutputStream stream(options);
  Whole whole;
  const auto take = [&](OutputStep step) {
    whole.content += step.text.content;
    for (ToolDelta& delta : step.text.tools) {
      if (!delta.name.empty()) {
        EXPECT_EQ(delta.index, static_cast<int>(whole.calls.size()));
        whole.calls.push_back(std::move(delta));
      } else {
        EXPECT_EQ(delta.index + 1, static_cast<int>(whole.calls.size()));
        whole.calls.back().arguments += delta.arguments;
      }
    }
    whole.stop_index = step.stop_index;
    return step.finished;
  };
  bool finished = false;
  for (size_t i = 0; i < bytes.size() && !finished;) {
    const size_t piece = 1 + random() % 8;
    finished = take(stream.feed(bytes.substr(i, piece), End::kNo));
    i += piece;
  }
  if (!finished) EXPECT_TRUE(take(stream.feed({}, end)));
  whole.by_tools = stream.finished_by_tools();
  return whole;
}

TEST(OutputStream, TextPassesThrough) {
  const std::string text = "Gr\xc3\xbc\xc3\x9f Gott \xf0\x9f\x98\x80 <tool_call>";
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Whole whole = run({}, text, End::kModel, seed);
    EXPECT_EQ(whole.content, text);  // without tools the tag is text
    EXPECT_EQ(whole.stop_index, -1);
    EXPECT_FALSE(whole.by_tools);
  }
}

TEST(OutputStream, BrokenCharacterAtTheEndIsReplaced) {
  EXPECT_EQ(run({}, "a\xe2\x82", End::kTruncated, 1).content, "a\xef\xbf\xbd");
}

TEST(OutputStream, StopStringSpansTokens) {
  const OutputOptions options{.stops = {"\n\n", "END"}};
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Whole whole = run(options, "some text END more\n\n", End::kModel, seed);
    EXPECT_EQ(whole.content, "some text ");
    EXPECT_EQ(whole.stop_index, 1);
  }
  EXPECT_EQ(OutputStream(options).stop(1), "END");
}

TEST(OutputStream, StopInTheLastTokenOverrulesTheEnd) {
  OutputStream stream({.stops = {"END"}, .include_stop = true});
  stream.feed("x EN", End::kNo);
  const OutputStep step = stream.feed("D y", End::kTruncated);
  EXPECT_TRUE(step.finished);
  EXPECT_EQ(step.stop_index, 0);
  EXPECT_EQ(step.text.content, "END");
}

TEST(OutputStream, UnarmedStopsAreText) {
  OutputStream stream({.stops = {"a"}});
  EXPECT_EQ(stream.feed("banana", End::kNo, false).text.content, "banana");
  EXPECT_TRUE(stream.feed("a", End::kNo, true).finished);
}

TEST(OutputStream, CallsAfterText) {
  OutputOptions options{.tools = true, .tool_names = {"get_weather"}};
  const std::string text =
      "Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"location\": "
      "\"Z\xc3\xbcrich\"}}\n"
      "</tool_call>";
  for (const bool whole_calls : {false, true}) {
    options.whole_calls = whole_calls;
    for (uint32_t seed = 0; seed < 100; ++seed) {
      const Whole whole = run(options, text, End::kModel, seed);
      EXPECT_EQ(whole.content, "Let me see.\n");
      ASSERT_EQ(whole.calls.size(), 1u);
      EXPECT_EQ(whole.calls[0].name, "get_weather");
      EXPECT_EQ(whole.calls[0].arguments, "{\"location\": \"Z\xc3\xbcrich\"}");
      EXPECT_TRUE(whole.by_tools);
    }
  }
}

// parallel_tool_calls: false. The text ends where the second call begins, in the next block or in
// the same one; without a second one it ends as ever.
TEST(OutputStream, OnlySoManyCalls) {
  const std::string call = R"({"name": "f", "arguments": {"a": 1}})", open = "<tool_call>",
                    shut = "</tool_call>";
  for (const std::string& text :
       {open + call + shut, open + call + shut + "\n" + open + call + shut + " and more",
        open + call + "\n" + call + shut, open + call + open + call + shut + open + "noise" + shut,
        open + call + shut + open + "noise" + shut + open + call}) {
    for (const bool whole_calls : {false, true}) {
      const OutputOptions options{
          .tools = true, .tool_names = {"f"}, .calls_max = 1, .whole_calls = whole_calls};
      for (uint32_t seed = 0; seed < 50; ++seed) {
        const Whole whole = run(options, text, End::kModel, seed);
        EXPECT_EQ(whole.content, "");
        ASSERT_EQ(whole.calls.size(), 1u) << text;
        EXPECT_EQ(whole.calls[0].arguments, "{\"a\": 1}");
        EXPECT_TRUE(whole.by_tools);
      }
    }
  }
  OutputStream stream({.tools = true, .tool_names = {"f"}, .calls_max = 1});
  EXPECT_FALSE(stream.feed(open + call + shut, End::kNo).finished);
  EXPECT_FALSE(stream.full());
  EXPECT_TRUE(stream.feed("\n" + open, End::kNo).finished);
  EXPECT_TRUE(stream.full());
}

// 2,000 random answers, their bytes cut anywhere into tokens, also inside characters and tags: what
// is streamed adds up to what a whole answer has, which is what was meant, and no markup leaks.
TEST(OutputStream, TwoThousandRandomToolCallStreams) {
  std::mt19937 random(2000);
  int calls = 0;
  for (uint32_t round = 0; round < 2000; ++round) {
    std::string content = round % 3 == 0 ? "So: \xc3\xa9 < " : "", text = content;
    std::vector<std::pair<std::string, std::string>> meant;
    for (size_t i = random() % 4; i > 0; --i) {
      auto arguments = nlohmann::ordered_json::object();
      for (size_t k = random() % 4; k > 0; --k)
        arguments[random_text(random)] = random_json(random, 3);
      const std::string name = random() % 2 == 0 ? "get_weather" : "f";
      // Compact, with line breaks, or with escapes: one spelling comes out.
      const int style = static_cast<int>(random() % 3);
      const std::string spelled = arguments.dump(style == 1 ? 1 : -1, ' ', style == 2);
      text += "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + spelled +
              "}\n</tool_call>" + (random() % 2 == 0 ? "\n" : "");
      meant.emplace_back(name, python_dumps(arguments));
    }
    calls += static_cast<int>(meant.size());
    for (const bool whole_calls : {true, false}) {
      const OutputOptions options{
          .tools = true, .tool_names = {"get_weather", "f"}, .whole_calls = whole_calls};
      const Whole whole = run(options, text, End::kModel, round * 2 + whole_calls);
      ASSERT_EQ(whole.content, content) << text;
      ASSERT_EQ(whole.calls.size(), meant.size()) << text;
      for (size_t i = 0; i < meant.size(); ++i) {
        ASSERT_EQ(whole.calls[i].name, meant[i].first);
        ASSERT_EQ(whole.calls[i].arguments, meant[i].second) << text;
      }
      ASSERT_EQ(whole.by_tools, !meant.empty());
    }
  }
  EXPECT_GT(calls, 2000);
}

TEST(OutputStream, StopStringInsideACallCutsIt) {
  OutputOptions options{.stops = {"Lon"}, .tools = true, .tool_names = {"f"}, .whole_calls = true};
  const Whole whole =
      run(options, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"London\"}}</tool_call>",
          End::kModel, 3);
  EXPECT_EQ(whole.content, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"");
  EXPECT_TRUE(whole.calls.empty());
  EXPECT_FALSE(whole.by_tools);
  EXPECT_EQ(whole.stop_index, 0);
  // The end tag as a stop string is harmless: the call is complete.
  options.stops = {"</tool_call>"};
  EXPECT_TRUE(run(options, "<tool_call>{\"name\": \"f\"}</tool_call>", End::kModel, 3).by_tools);
}

}  // namespace
}  // namespace ocelli
