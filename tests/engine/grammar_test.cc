// Answers that follow a grammar, from the body to the events, on a small checkpoint whose weights
// mean nothing: whatever comes out has its form from the grammar alone.
#include "engine/constraint.h"
#include "engine/fixture.h"

namespace ocelli::test {
namespace {

const ordered_json kSchema = {{"type", "object"},
                              {"properties",
                               {{"name", {{"type", "string"}, {"maxLength", 12}}},
                                {"size", {{"type", "integer"}, {"minimum", 3}, {"maximum", 99}}},
                                {"kind", {{"enum", {"cat", "ocelot"}}}}}},
                              {"required", {"name", "size", "kind"}}};
const ordered_json kTools = ordered_json::array(
    {{{"type", "function"},
      {"function", {{"name", "look"}, {"strict", true}, {"parameters", kSchema}}}},
     {{"type", "function"}, {"function", {{"name", "wait"}}}}});

ordered_json format_of(const ordered_json& schema) {
  return {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}}}};
}

class GrammarRequests : public testing::Test {
 protected:
  EngineDriver engine_{container(), {{"compute", "reference"}}};
  Reply answer(const ordered_json& fields, int tokens = 120) {
    ordered_json body = ask("hi", fields);
    body["max_tokens"] = tokens;
    return run(engine_, body);
  }
  void expect_refused(const ordered_json& fields, const std::string& param, const std::string& word,
                      const std::string& code = "invalid_value") {
    const Reply reply = answer(fields);
    ASSERT_FALSE(reply.error.is_null()) << fields.dump();
    EXPECT_EQ(reply.error["code"], code) << reply.error.dump();
    EXPECT_EQ(reply.error["param"], param) << reply.error.dump();
    EXPECT_NE(reply.error["message"].get<std::string>().find(word), std::string::npos)
        << reply.error.dump();
  }
  static void expect_ocelot(const std::string& text) {
    const auto json = ordered_json::parse(text, nullptr, false);
    ASSERT_TRUE(json.is_object()) << text;
    EXPECT_EQ(json.size(), 3u) << text;
    EXPECT_TRUE(json["name"].is_string()) << text;
    EXPECT_GE(json["size"].get<int>(), 3) << text;
    EXPECT_LE(json["size"].get<int>(), 99) << text;
    EXPECT_TRUE(json["kind"] == "cat" || json["kind"] == "ocelot") << text;
  }
};

TEST_F(GrammarRequests, SchemasHoldHoweverTheTokensAreDrawn) {
  for (const ordered_json& fields : ordered_json::array(
           {{{"temperature", 0}},
            {{"temperature", 1.5}, {"seed", 7}},
            {{"temperature", 1}, {"seed", 2}, {"top_k", 3}, {"min_p", 0.2}, {"top_p", 0.5}},
            {{"temperature", 2}, {"seed", 1}, {"repetition_penalty", 1.7}, {"min_tokens", 90}},
            {{"temperature", 0}, {"logit_bias", {{"0", 100}, {"40", 100}}}}})) {
    ordered_json body = fields;
    body["response_format"] = format_of(kSchema);
    const Reply reply = answer(body);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    EXPECT_EQ(reply.choices.at(0).finish_reason, "stop") << body.dump();
    expect_ocelot(reply.choices.at(0).text);
    EXPECT_EQ(answer(body).choices.at(0).token_ids, reply.choices.at(0).token_ids);
  }
}

TEST_F(GrammarRequests, EveryFieldIsFollowed) {
  const std::pair<ordered_json, std::vector<std::string>> cases[] = {
      {{{"guided_choice", {"red", "green"}}}, {"red", "green"}},
      {{{"guided_regex", "[ab]{3}"}}, {"aaa", "aab", "aba", "abb", "baa", "bab", "bba", "bbb"}},
      {{{"guided_grammar", "root ::= \"x\" [01]"}}, {"x0", "x1"}},
      {{{"guided_grammar", "start: \"x\" /[01]/"}}, {"x0", "x1"}},
      {{{"guided_json", {{"enum", {1, "a"}}}}}, {"1", "\"a\""}},
      {{{"guided_json", "{\"const\":null}"}}, {"null"}},
      {{{"structured_outputs", {{"choice", {"yes"}}}}}, {"yes"}},
      {{{"structured_outputs", {{"regex", "q"}}}}, {"q"}},
  };
  for (const auto& [fields, allowed] : cases) {
    const Reply reply = answer(fields);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    const Choice& choice = reply.choices.at(0);
    EXPECT_NE(std::ranges::find(allowed, choice.text), allowed.end()) << choice.text;
    EXPECT_EQ(choice.finish_reason, "stop");
    EXPECT_TRUE(choice.stop_reason.is_null());
  }
}

TEST_F(GrammarRequests, JsonObjectIsOne) {
  const Reply reply = answer({{"response_format", {{"type", "json_object"}}}}, 40);
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  EXPECT_EQ(reply.choices.at(0).text[0], '{');
}

TEST_F(GrammarRequests, JsonObjectTakesASchemaBesideIt) {
  const ordered_json format = {{"type", "json_object"}, {"schema", kSchema}};
  const Reply reply = answer({{"response_format", format}});
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  expect_ocelot(reply.choices.at(0).text);
}

TEST_F(GrammarRequests, ChoicesAndLogprobsGoTogether) {
  const Reply reply = answer({{"response_format", format_of(kSchema)},
                              {"n", 3},
                              {"temperature", 1.5},
                              {"seed", 5},
                              {"logprobs", true},
                              {"top_logprobs", 2}});
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  ASSERT_EQ(reply.choices.size(), 3u);
  for (const auto& [index, choice] : reply.choices) {
    expect_ocelot(choice.text);
    EXPECT_EQ(choice.logprobs.size(), choice.token_ids.size());
  }
  EXPECT_NE(reply.choices.at(0).token_ids, reply.choices.at(1).token_ids);
  expect_all_blocks_free(engine_);
}

TEST_F(GrammarRequests, LimitsAndStopsStillEnd) {
  const Reply cut = answer({{"guided_regex", "a{50}"}}, 5);
  EXPECT_EQ(cut.choices.at(0).finish_reason, "length");
  const Reply stopped = answer({{"guided_regex", "ab{1,50}c"}, {"stop", "bb"}});
  EXPECT_EQ(stopped.choices.at(0).finish_reason, "stop");
  // A pattern that may end or go on: the end is a token of the model's, or the limit.
  const Reply open = answer({{"guided_regex", "a*"}}, 6);
  EXPECT_EQ(open.choices.at(0).text.find_first_not_of('a'), std::string::npos);
  const Reply endless = answer({{"guided_regex", "a*"}, {"ignore_eos", true}}, 6);
  EXPECT_EQ(endless.choices.at(0).finish_reason, "length");
}

TEST_F(GrammarRequests, RequiredCallsFollowTheirParameters) {
  const ordered_json named = {{"type", "function"}, {"function", {{"name", "look"}}}};
  const ordered_json wait = {{"type", "function"}, {"function", {{"name", "wait"}}}};
  for (const ordered_json& choice : ordered_json::array({"required", named, wait})) {
    const Reply reply = answer({{"tools", kTools},
                                {"tool_choice", choice},
                                {"parallel_tool_calls", false},
                                {"temperature", 1.5},
                                {"seed", 3}});
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    const Choice& made = reply.choices.at(0);
    EXPECT_EQ(made.text, "") << choice.dump();
    std::string name, arguments;
    for (const ordered_json& delta : made.tool_calls) {
      name += delta.value("name", "");
      arguments += delta.value("arguments", "");
    }
    EXPECT_EQ(made.finish_reason, choice == "required" ? "tool_calls" : "stop");
    if (choice == named) EXPECT_EQ(name, "look");
    if (name == "look") {
      expect_ocelot(arguments);
    } else {
      EXPECT_EQ(name, "wait");
      EXPECT_EQ(arguments, "{}");
    }
  }
}

TEST_F(GrammarRequests, AnAnswerOrACall) {
  const Reply reply = answer({{"tools", kTools},
                              {"response_format", format_of({{"enum", {"done"}}})},
                              {"parallel_tool_calls", false}});
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  const Choice& made = reply.choices.at(0);
  EXPECT_TRUE(made.text == "\"done\"" || !made.tool_calls.empty()) << made.text;
}

TEST_F(GrammarRequests, RefusalsNameTheField) {
  const auto with = [](const ordered_json& schema) -> ordered_json {
    return {{"response_format", format_of(schema)}};
  };
  expect_refused(with({{"not", {{"type", "null"}}}}), "response_format", "not (at #)",
                 "unsupported_feature");
  expect_refused(
      {{"tools",
        ordered_json::array(
            {{{"type", "function"},
              {"function", {{"name", "f"}, {"strict", true}, {"parameters", {{"if", true}}}}}}})}},
      "tools", "if (at #)", "unsupported_feature");
  expect_refused({{"guided_regex", "("}}, "guided_regex", "unmatched");
  expect_refused({{"guided_grammar", "root ::= root"}}, "guided_grammar", "text");
  expect_refused({{"guided_choice", ordered_json::array()}}, "guided_choice", "at least one");
  expect_refused({{"guided_json", "{"}}, "guided_json", "JSON");
  expect_refused({{"structured_outputs", {{"regex", "["}}}}, "structured_outputs.regex", "class");
  for (const ordered_json& none : ordered_json::array({ordered_json::object(), {{"jsn", {}}}}))
    expect_refused({{"structured_outputs", none}}, "structured_outputs", "must have json, regex");
  for (const char* name : {"guided_regex", "guided_choice", "guided_grammar", "guided_json"})
    expect_refused({{name, 3}}, name, "must be");
  for (const ordered_json& format :
       ordered_json::array({{{"type", "json_schema"}, {"json_schema", {{"name", "x"}}}},
                            {{"type", "json_object"}, {"schema", 3}},
                            "json",
                            3,
                            ordered_json::object(),
                            {{"type", "xml"}}}))
    expect_refused({{"response_format", format}}, "response_format", "response_format");
  expect_refused({{"guided_regex", "a"}, {"guided_choice", {"b"}}}, "guided_regex", "only use one");
  expect_refused({{"guided_regex", "a"}, {"response_format", {{"type", "json_object"}}}},
                 "guided_regex", "response_format");
  expect_refused({{"guided_regex", "a"}, {"tools", kTools}, {"tool_choice", "required"}},
                 "guided_regex", "tool_choice");
  expect_refused({{"guided_whitespace_pattern", " *"}}, "guided_whitespace_pattern", "white space",
                 "unsupported_feature");
  expect_refused({{"guided_regex", "a"}, {"forced_token_ids", {1}}}, "forced_token_ids",
                 "guided_regex");
}

TEST_F(GrammarRequests, NoGrammarChangesNothing) {
  const Reply plain = answer({}, 8), text = answer({{"response_format", {{"type", "text"}}}}, 8);
  EXPECT_EQ(plain.choices.at(0).token_ids, text.choices.at(0).token_ids);
}

}  // namespace
}  // namespace ocelli::test
