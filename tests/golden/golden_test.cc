// What the core computes against what Hugging Face computed in f32 (tests/golden/models, made by
// models/reference/goldens.py), and against itself: alone or in company, one thread or two.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "golden/engine_driver.h"

namespace ocelli::test {
namespace {

const std::string kFolder = std::string(OCELLI_ROOT) + "/tests/golden/models";

ordered_json golden_of(const std::string& profile) {
  return ordered_json::parse(read_file(kFolder + "/" + profile + ".json"), nullptr, false);
}

std::vector<float> decode_floats(const std::string& base64) {
  std::vector<uint8_t> bytes;
  uint32_t word = 0;
  int bits = 0;
  for (const char c : base64) {
    const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char* found = std::strchr(alphabet, c);
    if (c == '=' || !found) break;
    word = word << 6 | static_cast<uint32_t>(found - alphabet);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<uint8_t>(word >> bits));
    }
  }
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), values.size() * 4);
  return values;
}

ordered_json body_of(const ordered_json& golden) {
  return {{"messages", golden["messages"]},
          {"temperature", 0},
          {"repetition_penalty", 1.0},
          {"max_tokens", 12},
          {"logprobs", true},
          {"top_logprobs", 20},
          {"return_token_ids", true}};
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected,
                      size_t offset) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    difference += std::pow(double{actual[i]} - expected[offset + i], 2);
    norm += std::pow(double{expected[offset + i]}, 2);
  }
  return std::sqrt(difference / norm);
}

// Largest relative error over the images of a request.
double vision_error(EngineDriver& engine, const Reply& reply, const ordered_json& golden) {
  const std::vector<float> expected = decode_floats(golden["vision_f32"].get<std::string>());
  double worst = 0;
  size_t offset = 0;
  for (size_t i = 0; i < golden["image_grid_thw"].size(); ++i) {
    const std::vector<float> rows = engine.dump_vision(reply, static_cast<int>(i));
    EXPECT_LE(offset + rows.size(), expected.size());
    worst = std::max(worst, relative_error(rows, expected, offset));
    offset += rows.size();
  }
  EXPECT_EQ(offset, expected.size());
  return worst;
}

// Tokens, and log-probabilities of the 20 best, up to the first tie.
void expect_near_golden(const Choice& choice, const ordered_json& golden) {
  for (size_t step = 0; step < choice.token_ids.size(); ++step) {
    const ordered_json& top = choice.logprobs[step]["top_logprobs"];
    ASSERT_EQ(top.size(), 20u);
    for (size_t i = 0; i < top.size(); ++i) {
      EXPECT_NEAR(top[i]["logprob"].get<double>(), golden["top_logprobs"][step][i].get<double>(),
                  1e-3)
          << step;
    }
    if (golden["margins"][step].get<double>() <= 1e-3)
      break;  // a tie: nothing is promised from here on
    ASSERT_EQ(choice.token_ids[step], golden["tokens"][step].get<int>()) << step;
  }
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, ReferenceComputeEqualsHuggingFace) {
  EngineDriver engine(container_of(GetParam(), "exact"),
                      {{"compute", "reference"}, {"threads", 2}, {"prefix_cache", false}});
  const ordered_json goldens = golden_of(GetParam());
  ASSERT_GE(goldens["requests"].size(), 5u);
  for (const ordered_json& golden : goldens["requests"]) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    const Reply reply = engine.run(body_of(golden), kFolder);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    const ordered_json prompt = engine.dump_prompt(reply);
    EXPECT_EQ(prompt["prompt_token_ids"], golden["prompt_token_ids"]);
    EXPECT_EQ(prompt["positions"], golden["positions"]);
    EXPECT_EQ(prompt["rope_delta"], golden["rope_delta"]);
    EXPECT_EQ(prompt["image_grid_thw"], golden["image_grid_thw"]);
    if (!golden["image_grid_thw"].empty()) EXPECT_LT(vision_error(engine, reply, golden), 1e-3);
    expect_near_golden(reply.choices.at(0), golden);
    engine.close(reply);
  }
}

class GoldenKv : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(GoldenKv, FastComputeStaysWithinTheReferencesOwnRounding) {
  const auto& [profile, kv] = GetParam();
  EngineDriver engine(container_of(profile, "default"), {{"threads", 2}, {"kv", kv}});
  double kl_sum = 0, kl_bf16_sum = 0;
  int clear = 0, agreed = 0, requests = 0;
  const ordered_json goldens = golden_of(profile);
  for (const ordered_json& golden : goldens["requests"]) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    ordered_json body = body_of(golden);
    body["forced_token_ids"] = golden["tokens"];
    const Reply reply = engine.run(body, kFolder);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    EXPECT_EQ(engine.dump_prompt(reply)["prompt_token_ids"], golden["prompt_token_ids"]);
    const Choice& choice = reply.choices.at(0);
    ASSERT_EQ(choice.token_ids.size(), golden["tokens"].size());
    double kl = 0;
    for (size_t step = 0; step < choice.token_ids.size(); ++step) {
      // KL over the reference's 20 best tokens; the rest of the vocabulary counts as one.
      double p_rest = 1, q_rest = 1;
      const ordered_json& top = choice.logprobs[step]["top_logprobs"];
      for (size_t i = 0; i < 20; ++i) {
        const double p = golden["top_logprobs"][step][i].get<double>();
        double q = top[19]["logprob"].get<double>();
        if (i < top.size()) q = top[i]["logprob"].get<double>();
        kl += std::exp(p) * (p - q);
        p_rest -= std::exp(p);
        q_rest -= std::exp(q);
      }
      if (p_rest > 1e-9) kl += p_rest * std::log(p_rest / std::max(q_rest, 1e-9));
      if (golden["margins"][step].get<double>() <= 0.5) continue;
      ++clear;
      agreed += std::abs(top[0]["logprob"].get<double>() -
                         choice.logprobs[step]["logprob"].get<double>()) < 1e-9;
    }
    kl_sum += kl / static_cast<double>(choice.token_ids.size());
    kl_bf16_sum += golden["kl_bf16"].get<double>();
    ++requests;
    engine.close(reply);
  }
  std::printf("KL to f32: %s cache %.5f, Hugging Face bf16 %.5f\n", kv.c_str(), kl_sum / requests,
              kl_bf16_sum / requests);
  EXPECT_LE(kl_sum, kl_bf16_sum);
  EXPECT_GT(clear, 10);
  EXPECT_GE(agreed, 0.99 * clear) << agreed << " of " << clear;
}

TEST_P(Golden, EightBitVisionStaysWithinThreePercent) {
  EngineDriver engine(container_of(GetParam(), "vision8"),
                      {{"threads", 2}, {"prefix_cache", false}});
  double worst = 0;
  const ordered_json goldens = golden_of(GetParam());
  for (const ordered_json& golden : goldens["requests"]) {
    if (golden["image_grid_thw"].empty()) continue;
    const Reply reply = engine.run(body_of(golden), kFolder);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    worst = std::max(worst, vision_error(engine, reply, golden));
    engine.close(reply);
  }
  std::printf("merged vision rows, 8-bit: relative rms error %.2f %%\n", worst * 100);
  EXPECT_GT(worst, 0.0);
  EXPECT_LT(worst, 0.03);
}

TEST_P(Golden, CompanyAndThreadsChangeNothing) {
  const std::string container = container_of(GetParam(), "small");
  const ordered_json goldens = golden_of(GetParam());
  std::vector<Choice> alone;
  {
    EngineDriver engine(container, {{"threads", 1}});
    for (const ordered_json& golden : goldens["requests"]) {
      const Reply reply = engine.run(body_of(golden), kFolder);
      alone.push_back(reply.choices.at(0));
      engine.close(reply);
    }
  }
  // Everything at once, in another order of arrival, with a KV pool so small that sequences must
  // take turns.
  for (const int context : {1024, 224}) {
    EngineDriver engine(container, {{"threads", 2}, {"context", context}, {"sequences_max", 3}});
    std::vector<Reply> replies;
    for (const ordered_json& golden : goldens["requests"])
      replies.push_back(engine.open(body_of(golden), kFolder));
    engine.finish(replies);
    for (size_t i = 0; i < replies.size(); ++i) {
      SCOPED_TRACE(goldens["requests"][i]["name"].get<std::string>() + " context " +
                   std::to_string(context));
      ASSERT_TRUE(replies[i].error.is_null()) << replies[i].error.dump();
      EXPECT_EQ(replies[i].choices.at(0).token_ids, alone[i].token_ids);
      EXPECT_EQ(replies[i].choices.at(0).logprobs, alone[i].logprobs);  // bit for bit
    }
  }
}

class GoldenAdapters : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

// tests/golden/adapters: what PEFT computes (models/reference/adapter_goldens.py).
TEST_P(GoldenAdapters, EqualPeft) {
  const auto& [profile, name] = GetParam();
  EngineDriver engine(container_of(profile, "exact"), {{"compute", "reference"}, {"threads", 2}});
  const AdapterFiles files = adapter_of(profile, name);
  ASSERT_EQ(engine.add_adapter(name, files.config, files.tensors), 0)
      << EngineDriver::last_error().dump();
  const ordered_json goldens = ordered_json::parse(
      read_file(std::string(OCELLI_ROOT) + "/tests/golden/adapters/" + profile + ".json"), nullptr,
      false)[name];
  ASSERT_EQ(goldens.size(), 2u);
  for (const ordered_json& golden : goldens) {
    SCOPED_TRACE(golden["name"].get<std::string>());
    ordered_json body = body_of(golden);
    body["adapter"] = name;
    body["max_tokens"] = golden["tokens"].size();
    const Reply reply = engine.run(body, kFolder);
    ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
    expect_near_golden(reply.choices.at(0), golden);
    engine.close(reply);
  }
}

INSTANTIATE_TEST_SUITE_P(Adapters, GoldenAdapters,
                         testing::Combine(testing::Values("awq", "tied_bf16"),
                                          testing::Values("all", "some")));
INSTANTIATE_TEST_SUITE_P(Profiles, Golden,
                         testing::Values("tied_bf16", "untied_f32", "awq", "awq_outliers"));
INSTANTIATE_TEST_SUITE_P(Profiles, GoldenKv,
                         testing::Combine(testing::Values("tied_bf16", "untied_f32", "awq",
                                                          "awq_outliers"),
                                          testing::Values("f16", "int8")));

}  // namespace
}  // namespace ocelli::test
