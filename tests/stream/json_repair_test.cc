#include "stream/json_repair.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "python_json.h"

namespace ocelli {
namespace {

std::string repair(std::string_view text, bool* repaired = nullptr) {
  JsonRepair scanner;
  std::string out;
  JsonRepair::Step step = JsonRepair::Step::kMore;
  for (size_t i = 0; i < text.size() && step == JsonRepair::Step::kMore; ++i) {
    step = scanner.feed(text[i], out);
  }
  if (step == JsonRepair::Step::kMore) scanner.close(out);
  if (repaired != nullptr) *repaired = scanner.repaired();
  return out;
}

TEST(JsonRepair, WritesAsPythonDoes) {
  // Left: input. Right: json.dumps(json.loads(input), ensure_ascii=False).
  const struct {
    std::string_view input, output;
  } cases[] = {
      {R"({"location":"London"})", R"({"location": "London"})"},
      {"{ }", "{}"},
      {"[ ]", "[]"},
      {"{\n  \"a\" : [ 1 ,2,\t3 ] , \"b\":{ } }", R"({"a": [1, 2, 3], "b": {}})"},
      {R"(["caf\u00e9", "\ud83d\ude00", "\u4e2d"])",
       "[\"caf\xc3\xa9\", \"\xf0\x9f\x98\x80\", \"\xe4\xb8\xad\"]"},
      {R"("\/ \b\f\n\r\t \" \\ \u0041 \u000a \u001F \u0022 \u005c \u007f")",
       "\"/ \\b\\f\\n\\r\\t \\\" \\\\ A \\n \\u001f \\\" \\\\ \x7f\""},
      {R"([true,false,null,-0,1.50,1E+5,-2e-3])", "[true, false, null, -0, 1.50, 1E+5, -2e-3]"},
      {R"({"a": "x, y: {z}"})", R"({"a": "x, y: {z}"})"},
  };
  for (const auto& [input, output] : cases) {
    bool repaired = true;
    EXPECT_EQ(repair(input, &repaired), output);
    EXPECT_FALSE(repaired) << input;
  }
}

TEST(JsonRepair, HalfSurrogatesStayEscapes) {
  EXPECT_EQ(repair(R"(["\ud83d", "\ud83dx", "\ud83d\n", "\ude00", "\uD83D\u0041"])"),
            R"(["\ud83d", "\ud83dx", "\ud83d\n", "\ude00", "\ud83dA"])");
}

TEST(JsonRepair, MendsWhatModelsGetWrong) {
  const struct {
    std::string_view input, output;
  } cases[] = {
      {"{'a': 'it\"s', 'b': 'it\\'s'}", R"({"a": "it\"s", "b": "it's"})"},
      {R"({"a": 1,})", R"({"a": 1})"},
      {R"([1, 2, ])", R"([1, 2])"},
      {R"({"a": True, "b": None, "c": False})", R"({"a": true, "b": null, "c": false})"},
      {R"({"a": 1 "b": 2})", R"({"a": 1, "b": 2})"},
      {R"({"a" 1})", R"({"a": 1})"},
      {R"({"a": })", R"({"a": null})"},
      {R"({"a"})", R"({"a": null})"},
      {R"({a: b})", R"({"a": "b"})"},
      {R"({"a": 007})", R"({"a": "007"})"},
      {R"({"a": [1, {"b": 2)", R"({"a": [1, {"b": 2}]})"},
      {R"({"a": [1, 2})", R"({"a": [1, 2]})"},
      {R"({"a": "x)", R"({"a": "x"})"},
      {"{\"a\": \"one\ntwo\"}", R"({"a": "one\ntwo"})"},
      {R"({"a": "\d \x41 \u12 z"})", R"({"a": "\\d \\x41 \\u12 z"})"},
      {R"({"a": "\u12)", R"({"a": "\\u12"})"},
      {R"({"a": 1,,"b": 2})", R"({"a": 1, "b": 2})"},
      {R"({{"a": 1}})", R"({"": {"a": 1}})"},
      {"", "null"},
  };
  for (const auto& [input, output] : cases) {
    bool repaired = false;
    EXPECT_EQ(repair(input, &repaired), output);
    EXPECT_TRUE(repaired) << input;
    EXPECT_TRUE(nlohmann::json::accept(output));
  }
}

TEST(JsonRepair, LeavesTheParentsCharactersAlone) {
  const struct {
    std::string_view input, output;
  } cases[] = {{"12}", "12"}, {"true,", "true"}, {"}", "null"}, {"[1, 2}", "[1, 2]"}, {"5 }", "5"}};
  for (const auto& [input, output] : cases) {
    JsonRepair scanner;
    std::string out;
    JsonRepair::Step step = JsonRepair::Step::kMore;
    for (const char c : input) {
      if (step == JsonRepair::Step::kMore) step = scanner.feed(c, out);
    }
    EXPECT_EQ(step, JsonRepair::Step::kDoneBefore) << input;
    EXPECT_EQ(out, output);
  }
}

TEST(JsonRepair, RandomValuesEqualTheReference) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const nlohmann::ordered_json value = random_json(random, 4);
    bool repaired = true;
    const std::string expected = python_dumps(value);
    // Any spelling of the same value: compact, indented, with \u escapes.
    ASSERT_EQ(repair(value.dump(), &repaired), expected);
    ASSERT_FALSE(repaired);
    ASSERT_EQ(repair(value.dump(2)), expected);
    ASSERT_EQ(repair(value.dump(-1, ' ', true), &repaired), expected);
    ASSERT_FALSE(repaired);
  }
}

TEST(JsonRepair, WhateverComesInValidJsonComesOut) {
  std::mt19937 random(4);
  constexpr std::string_view kAlphabet = "{}[]:,\"'\\u0d8 \nt-1.a<";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 30; i > 0; --i)
      text.push_back(kAlphabet[random() % kAlphabet.size()]);
    const std::string out = repair(text);
    // Half surrogates are legal for json.dumps but not for nlohmann.
    if (out.find("\\ud") != std::string::npos) continue;
    ASSERT_TRUE(nlohmann::json::accept(out)) << text << " -> " << out;
  }
}

TEST(JsonObject, OnlyToTheLetter) {
  std::string normal;
  EXPECT_TRUE(json_object(" {\"a\":1} \n", normal));
  EXPECT_EQ(normal, "{\"a\": 1}");
  for (const std::string_view text : {"", " ", "{", "{}}", "{} {}", "[]", "{'a': 1}", "{\"a\": 1,}",
                                      "1", "{} x", "{\"a\" 1}", "{\"a\": 01}"}) {
    EXPECT_FALSE(json_object(text, normal)) << text;
  }
}

}  // namespace
}  // namespace ocelli
