// How an answer ends and what is told about it: stop rules, limits, biases, log-probabilities.
// Where a test needs a certain text it forces tokens or biases all others away.
#include <algorithm>
#include <cmath>

#include "engine/fixture.h"

namespace ocelli::test {
namespace {

class Generation : public testing::Test {
 protected:
  Choice choice_of(const ordered_json& fields, const std::string& text = "hi") {
    const Reply reply = run(engine_, ask(text, fields));
    EXPECT_TRUE(reply.error.is_null()) << reply.error.dump();
    EXPECT_EQ(reply.choices.size(), 1u);
    return reply.choices.count(0) ? reply.choices.at(0) : Choice{};
  }
  // The answer is `text` if nothing stops it before its end.
  Choice say(const std::string& text, ordered_json fields = ordered_json::object()) {
    fields["forced_token_ids"] = tokens_of(engine_, text);
    return choice_of(fields);
  }

  EngineDriver engine_{container(), {{"context", 512}}};
};

TEST_F(Generation, MaxTokensEndsWithLength) {
  for (const int tokens : {1, 2, 7}) {
    const Choice choice = choice_of({{"max_tokens", tokens}, {"ignore_eos", true}});
    EXPECT_EQ(choice.token_ids.size(), static_cast<size_t>(tokens));
    EXPECT_EQ(choice.finish_reason, "length");
    EXPECT_TRUE(choice.stop_reason.is_null());
  }
}

TEST_F(Generation, WithoutMaxTokensTheContextIsTheLimit) {
  ordered_json body = ask("hi", {{"ignore_eos", true}});
  body.erase("max_tokens");
  const Reply reply = run(engine_, body);
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  EXPECT_EQ(reply.choices.at(0).finish_reason, "length");
  EXPECT_EQ(reply.usage["prompt_tokens"].get<int>() + reply.usage["completion_tokens"].get<int>(),
            512);
  EXPECT_EQ(reply.usage["completion_tokens"], reply.choices.at(0).token_ids.size());
}

TEST_F(Generation, TheContextIsNamedInBothRefusals) {
  ordered_json body = ask("hi", {{"max_tokens", 500}});
  const int prompt =
      static_cast<int>(engine_.dump_prompt(engine_.open(ask("hi"), ""))["prompt_token_ids"].size());
  const std::string start = "This model's maximum context length is 512 tokens. However, you ";
  EXPECT_EQ(run(engine_, body).error["message"],
            start + "requested " + std::to_string(prompt + 500) + " tokens (" +
                std::to_string(prompt) +
                " in the messages, 500 in the completion). Please reduce the length of the "
                "messages or completion.");
  body = ask(std::string(600, '7'));
  body.erase("max_tokens");
  EXPECT_EQ(run(engine_, body).error["message"],
            start + "requested " + std::to_string(prompt - 2 + 600) +
                " tokens in the messages, Please reduce the length of the messages.");
  EXPECT_EQ(EngineDriver::last_error()["param"], "messages");
}

TEST_F(Generation, AStopStringCutsTheText) {
  const std::string text = "the weather in London is what";
  EXPECT_EQ(say(text).text, text);
  EXPECT_EQ(say(text).finish_reason, "length");
  for (const std::string stop : {"er in Lon", "t", "what", "London"}) {
    const Choice cut = say(text, {{"stop", {"never", stop}}});
    EXPECT_EQ(cut.text, text.substr(0, text.find(stop))) << stop;
    EXPECT_EQ(cut.finish_reason, "stop");
    EXPECT_EQ(cut.stop_reason, stop);
    const Choice kept = say(text, {{"stop", stop}, {"include_stop_str_in_output", true}});
    EXPECT_EQ(kept.text, text.substr(0, text.find(stop) + stop.size())) << stop;
    EXPECT_EQ(kept.stop_reason, stop);
  }
  const Choice near_miss = say(text, {{"stop", "what?"}});
  EXPECT_EQ(near_miss.text, text);  // what was held back comes at the end
  EXPECT_TRUE(near_miss.stop_reason.is_null());
}

TEST_F(Generation, AStopTokenIsNamedAndSilent) {
  const int32_t x = token_of(engine_, "x");
  const Choice cut = choice_of({{"logit_bias", only(x)}, {"stop_token_ids", {x}}});
  EXPECT_EQ(cut.token_ids, std::vector<int32_t>{x});
  EXPECT_EQ(cut.text, "");
  EXPECT_EQ(cut.finish_reason, "stop");
  EXPECT_EQ(cut.stop_reason, x);
  const Choice kept = choice_of(
      {{"logit_bias", only(x)}, {"stop_token_ids", {x}}, {"include_stop_str_in_output", true}});
  EXPECT_EQ(kept.text, "x");
  EXPECT_EQ(kept.stop_reason, x);
}

TEST_F(Generation, TheModelsOwnEndHasNoStopReason) {
  const int32_t end = token_of(engine_, "<|im_end|>");
  const Choice choice = choice_of({{"logit_bias", only(end)}});
  EXPECT_EQ(choice.token_ids, std::vector<int32_t>{end});
  EXPECT_EQ(choice.text, "");
  EXPECT_EQ(choice.finish_reason, "stop");
  EXPECT_TRUE(choice.stop_reason.is_null());

  const Choice ignored = choice_of({{"logit_bias", only(end)}, {"ignore_eos", true}});
  EXPECT_EQ(ignored.token_ids, std::vector<int32_t>(8, end));
  EXPECT_EQ(ignored.finish_reason, "length");
  EXPECT_EQ(ignored.text, "");
  const Choice shown = choice_of({{"logit_bias", only(end)},
                                  {"ignore_eos", true},
                                  {"max_tokens", 2},
                                  {"skip_special_tokens", false}});
  EXPECT_EQ(shown.text, "<|im_end|><|im_end|>");
}

// Cut off by the limit, a call is text where the answer is whole, and stays what it was in a
// stream.
TEST_F(Generation, ACallCutOffEndsWithLength) {
  const std::string start = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": ";
  ordered_json fields;
  fields["tools"] = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  const Choice whole = say(start, fields);
  EXPECT_EQ(whole.text, start);
  EXPECT_TRUE(whole.tool_calls.empty());
  EXPECT_EQ(whole.finish_reason, "length");
  fields["stream"] = true;
  const Choice streamed = say(start, fields);
  EXPECT_EQ(streamed.text, "");
  EXPECT_FALSE(streamed.tool_calls.empty());
  EXPECT_EQ(streamed.finish_reason, "length");
}

TEST_F(Generation, MinTokensMasksEveryEnd) {
  const int32_t end = token_of(engine_, "<|im_end|>"), x = token_of(engine_, "x");
  const Choice choice = choice_of({{"logit_bias", only(end)}, {"min_tokens", 3}});
  ASSERT_EQ(choice.token_ids.size(), 4u);
  EXPECT_EQ(choice.token_ids[3], end);
  EXPECT_EQ(std::count(choice.token_ids.begin(), choice.token_ids.end(), end), 1);
  const Choice stopped =
      choice_of({{"logit_bias", only(x)}, {"min_tokens", 2}, {"stop_token_ids", {x}}});
  ASSERT_EQ(stopped.token_ids.size(), 3u);
  EXPECT_EQ(stopped.stop_reason, x);
  // Stop strings do not count before either.
  const Choice text = choice_of({{"logit_bias", only(x)}, {"min_tokens", 4}, {"stop", "x"}});
  EXPECT_GE(text.token_ids.size(), 4u);
  EXPECT_LE(text.token_ids.size(), 5u);
  EXPECT_EQ(text.stop_reason, "x");
}

TEST_F(Generation, LogitBiasForcesAndForbids) {
  const int32_t x = token_of(engine_, "x");
  EXPECT_EQ(choice_of({{"logit_bias", only(x)}}).text, "xxxxxxxx");
  const int32_t favourite = choice_of({}).token_ids.at(0);
  const Choice other = choice_of({{"logit_bias", {{std::to_string(favourite), -100}}}});
  EXPECT_EQ(std::count(other.token_ids.begin(), other.token_ids.end(), favourite), 0);
  // Random draws too.
  EXPECT_EQ(choice_of({{"logit_bias", only(x)}, {"temperature", 1}}).text, "xxxxxxxx");
}

TEST_F(Generation, LogprobsDescribeEachToken) {
  const Choice choice = choice_of({{"logprobs", true}, {"top_logprobs", 4}});
  ASSERT_EQ(choice.logprobs.size(), choice.token_ids.size());
  for (const ordered_json& entry : choice.logprobs) {
    EXPECT_LE(entry["logprob"].get<double>(), 0.0);
    ASSERT_EQ(entry["top_logprobs"].size(), 4u);
    EXPECT_EQ(entry["top_logprobs"][0]["logprob"], entry["logprob"]);  // greedy takes the best
    EXPECT_EQ(entry["top_logprobs"][0]["bytes"], entry["bytes"]);
    double sum = 0, last = 0;
    for (const ordered_json& top : entry["top_logprobs"]) {
      EXPECT_LE(top["logprob"].get<double>(), last);
      last = top["logprob"].get<double>();
      sum += std::exp(last);
      EXPECT_TRUE(top["bytes"].is_array());
      EXPECT_TRUE(top["token"].is_string());
    }
    EXPECT_LE(sum, 1.0 + 1e-6);
  }
  const Choice bare = choice_of({{"logprobs", true}});
  ASSERT_EQ(bare.logprobs.size(), bare.token_ids.size());
  EXPECT_TRUE(bare.logprobs[0]["top_logprobs"].empty());
  EXPECT_EQ(bare.token_ids, choice.token_ids);
  EXPECT_TRUE(choice_of({}).logprobs.empty());
  // A token that ends the answer has log-probabilities as well.
  const ordered_json end = only(token_of(engine_, "<|im_end|>"));
  EXPECT_EQ(choice_of({{"logprobs", true}, {"logit_bias", end}}).logprobs.size(), 1u);
}

TEST_F(Generation, LogprobsCanNameTokensById) {
  const Choice choice =
      choice_of({{"logprobs", true}, {"top_logprobs", 2}, {"return_tokens_as_token_ids", true}});
  for (size_t i = 0; i < choice.token_ids.size(); ++i) {
    const std::string name = "token_id:" + std::to_string(choice.token_ids[i]);
    EXPECT_EQ(choice.logprobs[i]["token"], name);
    EXPECT_EQ(choice.logprobs[i]["top_logprobs"][0]["token"], name);
  }
}

TEST_F(Generation, TokenIdsComeWhenAskedFor) {
  const Reply with = run(engine_, ask("hi"));
  EXPECT_EQ(with.prompt["prompt_token_ids"].size(), with.prompt["prompt_tokens"]);
  EXPECT_EQ(with.usage["prompt_tokens"], with.prompt["prompt_tokens"]);
  EXPECT_EQ(with.usage["completion_tokens"], with.choices.at(0).token_ids.size());
  const Reply without = run(engine_, ask("hi", {{"return_token_ids", false}}));
  EXPECT_FALSE(without.prompt.contains("prompt_token_ids"));
  EXPECT_TRUE(without.choices.at(0).token_ids.empty());
  EXPECT_EQ(without.choices.at(0).text, with.choices.at(0).text);
}

TEST_F(Generation, ForcingTheGreedyAnswerGivesItsLogprobs) {
  const ordered_json fields = {{"logprobs", true}, {"top_logprobs", 3}};
  const Choice greedy = choice_of(fields);
  ordered_json forced = fields;
  forced["forced_token_ids"] = greedy.token_ids;
  const Choice again = choice_of(forced);
  EXPECT_EQ(again.token_ids, greedy.token_ids);
  EXPECT_EQ(again.logprobs, greedy.logprobs);
  EXPECT_EQ(again.text, greedy.text);
}

}  // namespace
}  // namespace ocelli::test
