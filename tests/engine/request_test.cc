// The rules of a request body, one by one: what parse_request refuses and with which words, what it
// ignores, and which value each field gets. No model is needed.
#include "engine/request.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/limits.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

ModelConfig model() {
  ModelConfig config;
  config.text.vocab = 1000;
  config.generation.eos = {7};
  return config;
}

ordered_json body_with(const std::string& name, ordered_json value) {
  ordered_json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  body[name] = std::move(value);
  return body;
}

Result<RequestSpec> parse(const ordered_json& body, const ModelConfig& config = model()) {
  return parse_request(body.dump(), config, 99);
}

Result<RequestSpec> parse_field(const std::string& name, ordered_json value) {
  return parse(body_with(name, std::move(value)));
}

// Expects a refusal that names the field, with this status; returns its message.
std::string refusal(const std::string& name, ordered_json value,
                    Status status = Status::kInvalidValue) {
  const std::string shown = name + " = " + value.dump();
  const auto spec = parse_field(name, std::move(value));
  if (spec) {
    ADD_FAILURE() << shown << " was accepted";
    return "";
  }
  EXPECT_EQ(spec.error().status, status) << shown << ": " << spec.error().message;
  EXPECT_EQ(spec.error().param, name) << shown;
  return spec.error().message;
}

TEST(Request, MessagesAreRequired) {
  const auto missing = parse({{"model", "x"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().status, Status::kMissingField);
  EXPECT_EQ(missing.error().param, "messages");
  EXPECT_EQ(parse({{"messages", nullptr}}).error().status, Status::kMissingField);
  EXPECT_EQ(refusal("messages", "hello"), "messages must be an array, got \"hello\"");
  for (const char* text : {"", "[]", "3", "null", "{", "{\"messages\":[]} x", "{\"a\":1e999}"}) {
    const auto spec = parse_request(text, model(), 0);
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().status, Status::kInvalidJson) << text;
  }
}

TEST(Request, NumbersStayInTheirRanges) {
  struct Row {
    const char* name;
    std::vector<double> good, bad;
    const char* rule;
  };
  const std::vector<Row> rows = {
      {"temperature", {0, 0.5, 2, 1e6}, {-0.001, -1, 1e300}, "temperature must be non-negative"},
      {"top_p", {1e-6, 0.5, 1}, {0, -1, 1.0001, 1e-300}, "top_p must be in (0, 1]"},
      {"min_p", {0, 0.5, 1}, {-0.1, 1.1}, "min_p must be in [0, 1]"},
      {"repetition_penalty",
       {0.1, 1, 3},
       {0, -1, 1e-300, 1e300},
       "repetition_penalty must be greater than zero"},
      {"presence_penalty", {-2, 0, 2}, {-2.1, 2.1}, "presence_penalty must be in [-2, 2]"},
      {"frequency_penalty", {-2, 0, 2}, {-2.1, 2.1}, "frequency_penalty must be in [-2, 2]"}};
  for (const Row& row : rows) {
    for (const double value : row.good) EXPECT_TRUE(parse_field(row.name, value)) << row.name;
    for (const double value : row.bad) {
      EXPECT_EQ(refusal(row.name, value).rfind(std::string(row.rule) + ", got ", 0), 0u) << value;
    }
    for (const ordered_json& wrong : ordered_json({"1", true, {1}, ordered_json::object()})) {
      EXPECT_EQ(refusal(row.name, wrong),
                std::string(row.name) + " must be a number, got " + wrong.dump());
    }
    EXPECT_TRUE(parse_field(row.name, nullptr)) << "null is as if the field were absent";
  }
  EXPECT_EQ(refusal("temperature", -1), "temperature must be non-negative, got -1.");
}

TEST(Request, IntegersStayInTheirRanges) {
  struct Row {
    const char* name;
    std::vector<int64_t> good, bad;
    std::string rule;
  };
  const std::vector<Row> rows = {{"top_k", {-1, 0, 1, 2147483647}, {-2, INT64_MIN}, "at least -1"},
                                 {"n", {1, kChoicesMax}, {0, -1, kChoicesMax + 1}, "in [1, 64]"},
                                 {"max_tokens", {1, 2147483647}, {0, -1}, "at least 1"},
                                 {"max_completion_tokens", {1, 77}, {0, -1}, "at least 1"},
                                 {"min_tokens", {0, 5}, {-1}, "at least 0"},
                                 {"seed", {0, -1, INT64_MIN, INT64_MAX}, {}, ""}};
  for (const Row& row : rows) {
    for (const int64_t value : row.good) EXPECT_TRUE(parse_field(row.name, value)) << row.name;
    for (const int64_t value : row.bad) {
      EXPECT_EQ(refusal(row.name, value), std::string(row.name) + " must be " + row.rule +
                                              ", got " + std::to_string(value) + ".");
    }
    for (const ordered_json& wrong : ordered_json({"1", true, 1.5, {1}, ordered_json::object()})) {
      EXPECT_EQ(refusal(row.name, wrong),
                std::string(row.name) + " must be an integer, got " + wrong.dump());
    }
  }
  refusal("seed", UINT64_MAX);
  for (const ordered_json& large : ordered_json::array({INT64_MAX, UINT64_MAX, int64_t{1} << 31})) {
    EXPECT_EQ(refusal("max_tokens", large),
              "max_tokens must be in [1, 2147483647], got " + large.dump() + ".");
  }
}

TEST(Request, AnIntegerOfAnySizeIsShownAsItCame) {
  const auto spec =
      parse_request(R"({"messages":[],"max_tokens":123456789012345678901234567890})", model(), 0);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().message,
            "max_tokens must be an integer, got 123456789012345678901234567890");
}

TEST(Request, MaxCompletionTokensWinsAndBoundsMinTokens) {
  ordered_json body = body_with("max_tokens", 5);
  body["max_completion_tokens"] = 9;
  EXPECT_EQ(parse(body)->max_tokens, 9);
  body["min_tokens"] = 10;
  const auto spec = parse(body);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().message, "min_tokens must be less than or equal to max_tokens=9, got 10.");
}

TEST(Request, GenerationDefaultsComeFromTheModel) {
  ModelConfig config = model();
  config.generation.temperature = 0.25;
  config.generation.top_p = 0.5;
  config.generation.min_p = 0.125;
  config.generation.top_k = 3;
  config.generation.repetition_penalty = 1.5;
  config.generation.max_new_tokens = 17;
  auto spec = parse(body_with("model", "x"), config);
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->sampling.temperature, 0.25f);
  EXPECT_EQ(spec->sampling.top_p, 0.5f);
  EXPECT_EQ(spec->sampling.min_p, 0.125f);
  EXPECT_EQ(spec->sampling.top_k, 3);
  EXPECT_EQ(spec->sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(spec->max_tokens, 17);
  spec = parse(body_with("temperature", 1.5), config);
  EXPECT_EQ(spec->sampling.temperature, 1.5f);
  EXPECT_EQ(parse(body_with("model", "x"))->sampling.temperature, 1.0f);
}

TEST(Request, SeedMinusOneIsNone) {
  EXPECT_EQ(parse_field("seed", -1)->sampling.seed, 99u);
  EXPECT_EQ(parse_field("model", "x")->sampling.seed, 99u);
  EXPECT_EQ(parse_field("seed", 5)->sampling.seed, 5u);
  EXPECT_EQ(parse_field("seed", -5)->sampling.seed, static_cast<uint64_t>(-5));
}

TEST(Request, StopIsAStringOrSeveral) {
  EXPECT_EQ(parse_field("stop", "a")->stops, std::vector<std::string>{"a"});
  EXPECT_EQ(parse_field("stop", {"a", "bc"})->stops, (std::vector<std::string>{"a", "bc"}));
  EXPECT_TRUE(parse_field("stop", ordered_json::array())->stops.empty());
  EXPECT_EQ(refusal("stop", ""), "stop cannot contain an empty string.");
  EXPECT_EQ(refusal("stop", {"a", ""}), "stop cannot contain an empty string.");
  for (const ordered_json& wrong : ordered_json({3, true, {{"a", 1}}, {1}, {{"a"}}})) {
    EXPECT_EQ(refusal("stop", wrong),
              "stop must be a string or an array of strings, got " + wrong.dump());
  }
  refusal("stop", std::vector<std::string>(kStopStringsMax + 1, "x"));
  EXPECT_TRUE(parse_field("stop", std::vector<std::string>(kStopStringsMax, "x")));
}

TEST(Request, TokenIdsLieInTheVocabulary) {
  for (const char* name : {"stop_token_ids", "forced_token_ids"}) {
    EXPECT_TRUE(parse_field(name, {0, 999})) << name;
    EXPECT_TRUE(parse_field(name, ordered_json::array())) << name;
    refusal(name, 3);
    refusal(name, "3");
    for (const ordered_json& wrong :
         ordered_json({-1, 1000, 1.5, "1", nullptr, UINT64_MAX, INT64_MIN})) {
      EXPECT_EQ(refusal(name, ordered_json::array({wrong}), Status::kInvalidTokenId),
                std::string(name) + " must hold token ids in [0, 1000), got " + wrong.dump());
    }
  }
  const auto forced = parse_field("forced_token_ids", {4, 5, 6});
  EXPECT_EQ(forced->max_tokens, 3);
  EXPECT_EQ(forced->sampling.top_logprobs, 0);  // forcing is asked for to see log-probabilities
}

TEST(Request, LogitBiasMapsTokenIdsToNumbers) {
  const auto spec = parse_field("logit_bias", {{"3", 1.5}, {"999", -1000}, {"0", 1000}});
  ASSERT_TRUE(spec);
  const std::vector<std::pair<int32_t, float>> expected = {{3, 1.5f}, {999, -100}, {0, 100}};
  EXPECT_EQ(spec->sampling.logit_bias, expected);
  EXPECT_EQ(parse_field("logit_bias", {{"3", 1e300}})->sampling.logit_bias[0].second, 100.0f);
  refusal("logit_bias", 3);
  refusal("logit_bias", {1, 2});
  for (const char* key : {"", "-1", "1000", "1.0", " 1", "x", "99999999999999999999"}) {
    EXPECT_NE(refusal("logit_bias", {{key, 1}}).find("[0, 1000)"), std::string::npos);
  }
  for (const ordered_json& bias : ordered_json({"1", nullptr, true, {1}})) {
    refusal("logit_bias", {{"3", bias}});
  }
}

TEST(Request, TopLogprobsNeedsLogprobs) {
  EXPECT_EQ(refusal("top_logprobs", 2),
            "when using `top_logprobs`, `logprobs` must be set to true.");
  ordered_json body = body_with("top_logprobs", kLogprobsMax);
  body["logprobs"] = true;
  EXPECT_EQ(parse(body)->sampling.top_logprobs, kLogprobsMax);
  body["top_logprobs"] = kLogprobsMax + 1;
  EXPECT_EQ(parse(body).error().message, "top_logprobs must be in [0, 20], got 21.");
  body["top_logprobs"] = -1;
  EXPECT_FALSE(parse(body));
  EXPECT_EQ(parse_field("logprobs", true)->sampling.top_logprobs, 0);
  EXPECT_EQ(parse_field("logprobs", false)->sampling.top_logprobs, -1);
  EXPECT_EQ(parse_field("top_logprobs", 0)->sampling.top_logprobs, -1);
}

TEST(Request, SwitchesAreTrueOrFalse) {
  for (const char* name :
       {"include_stop_str_in_output", "ignore_eos", "stream", "logprobs", "skip_special_tokens",
        "return_token_ids", "return_tokens_as_token_ids", "continue_final_message",
        "add_generation_prompt", "parallel_tool_calls"}) {
    EXPECT_TRUE(parse_field(name, true)) << name;
    EXPECT_TRUE(parse_field(name, false)) << name;
    EXPECT_TRUE(parse_field(name, nullptr)) << name;
    for (const ordered_json& wrong : ordered_json({0, 1.5, "true", {true}})) {
      EXPECT_EQ(refusal(name, wrong),
                std::string(name) + " must be true or false, got " + wrong.dump());
    }
  }
}

TEST(Request, WholeNumbersMayBeWrittenAsFloats) {
  EXPECT_EQ(parse_field("max_tokens", 10.0)->max_tokens, 10);
  EXPECT_EQ(parse_field("seed", -3.0)->sampling.seed, static_cast<uint64_t>(-3));
  for (const double wrong : {1.5, 1e300, 1e17}) refusal("max_tokens", wrong);
}

TEST(Request, StreamOptionsAreSwitches) {
  for (const bool stream : {false, true}) {
    ordered_json body = body_with("stream", stream);
    for (const ordered_json& options :
         ordered_json::array({nullptr,
                              ordered_json::object(),
                              {{"include_usage", nullptr}},
                              {{"include_usage", true}, {"continuous_usage_stats", false}},
                              {{"other", 3}}})) {
      body["stream_options"] = options;
      EXPECT_TRUE(parse(body)) << options.dump();
    }
  }
  EXPECT_EQ(refusal("stream_options", true), "stream_options must be an object, got true");
  for (const char* name : {"include_usage", "continuous_usage_stats"}) {
    const auto spec = parse_field("stream_options", {{name, 1}});
    ASSERT_FALSE(spec);
    EXPECT_EQ(spec.error().message, std::string(name) + " must be true or false, got 1");
  }
}

// What would change the answer is not ignored.
TEST(Request, UnsupportedWishesAreRefusedByName) {
  EXPECT_EQ(refusal("best_of", 3, Status::kUnsupportedFeature),
            "best_of must equal n: choices are not ranked, got 3");
  EXPECT_TRUE(parse_field("best_of", 1));
  refusal("best_of", 0);
  EXPECT_EQ(refusal("use_beam_search", true, Status::kUnsupportedFeature),
            "use_beam_search must be false: there is no beam search, got true");
  EXPECT_TRUE(parse_field("use_beam_search", false));
  EXPECT_EQ(refusal("priority", -2, Status::kUnsupportedFeature),
            "priority must be 0: requests are served in their order, got -2");
  EXPECT_TRUE(parse_field("priority", 0));
  EXPECT_EQ(refusal("logits_processors", {"x"}, Status::kUnsupportedFeature),
            "logits_processors must be absent or empty: requests bring no code, got [\"x\"]");
  EXPECT_TRUE(parse_field("logits_processors", nullptr));
  EXPECT_TRUE(parse_field("logits_processors", ordered_json::array()));
}

TEST(Request, ACacheSaltIsATextThatIsNotEmpty) {
  EXPECT_TRUE(parse_field("cache_salt", "tenant-7"));
  EXPECT_TRUE(parse_field("cache_salt", nullptr));
  EXPECT_EQ(refusal("cache_salt", ""), "cache_salt must not be empty, got \"\".");
  EXPECT_EQ(refusal("cache_salt", 7), "cache_salt must be a string, got 7");
}

TEST(Request, UnknownFieldsAreIgnored) {
  ordered_json body = body_with("model", "anything");
  body["user"] = 3;
  body["stream_options"] = {{"include_usage", true}};
  body["no_such_field"] = {{"a", {1, 2}}};
  EXPECT_TRUE(parse(body));
}

TEST(Request, RequestsBeyondTheByteLimitAreRefused) {
  const auto spec = parse_request(std::string(kRequestBytesMax + 1, ' '), model(), 0);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().status, Status::kInvalidJson);
  EXPECT_NE(spec.error().message.find(std::to_string(kRequestBytesMax)), std::string::npos);
}

}  // namespace
}  // namespace ocelli
