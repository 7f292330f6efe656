#include "sampler/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "sampler/exact_math.h"

namespace {
std::atomic<int> allocations = 0;
}

void* operator new(size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes)) return block;
  std::abort();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace ocelli {
namespace {

using Logits = std::vector<float>;

Logits random_logits(std::mt19937& random, int vocab, float spread) {
  Logits logits(static_cast<size_t>(vocab));
  for (float& logit : logits) {
    logit = spread * (static_cast<float>(random() >> 8) / 8388608.0f - 1.0f);
  }
  return logits;
}

// The rules of api.md 2.1 written down plainly in double: the probability of each id.
std::vector<double> reference(const SamplingParams& params, const std::vector<int32_t>& prompt,
                              const std::vector<int32_t>& output, const Logits& logits) {
  std::vector<double> x(logits.begin(), logits.end());
  const double masked = -std::numeric_limits<double>::infinity();
  for (auto [id, bias] : params.logit_bias) x[static_cast<size_t>(id)] += bias;
  if (static_cast<int>(output.size()) < params.min_tokens) {
    for (int32_t id : params.eos_ids) x[static_cast<size_t>(id)] = masked;
  }
  for (int32_t id : params.never_ids) x[static_cast<size_t>(id)] = masked;
  for (size_t i = 0; i < x.size(); ++i) {
    if (params.vocab_used > 0 && static_cast<int>(i) >= params.vocab_used) x[i] = masked;
    const auto times = std::ranges::count(output, static_cast<int32_t>(i));
    const bool seen = times > 0 || std::ranges::count(prompt, static_cast<int32_t>(i)) > 0;
    if (seen) x[i] = x[i] > 0 ? x[i] / params.repetition_penalty : x[i] * params.repetition_penalty;
    x[i] -= static_cast<double>(params.frequency_penalty) * static_cast<double>(times);
    if (times > 0) x[i] -= params.presence_penalty;
  }
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; });
  std::vector<double> p(x.size(), 0);
  if (params.temperature == 0) {
    p[order[0]] = 1;
    return p;
  }
  const double t = std::max(params.temperature, 0.01f), most = x[order[0]];
  size_t kept = 0;
  for (size_t i : order) {
    p[i] = std::exp((x[i] - most) / t);
    if (p[i] < params.min_p) p[i] = 0;
    if (params.top_k > 0 && kept >= static_cast<size_t>(params.top_k)) p[i] = 0;
    ++kept;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double above = 0;
  for (size_t i : order) {
    const double weight = p[i];
    if (above >= params.top_p * total && i != order[0]) p[i] = 0;
    above += weight;
  }
  const double left = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= left;
  return p;
}

// Draws n tokens from the same logits, each with another seed, and compares the counts with the
// reference. Pearson's statistic over the ids expected at least 5 times, the rest pooled; at most 5
// standard deviations above its mean. Ids of probability 0 must not come at all.
void expect_distribution(SamplingParams params, const Logits& logits, int n = 20000) {
  const int vocab = static_cast<int>(logits.size());
  const std::vector<double> expected = reference(params, {}, {}, logits);
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < n; ++i) {
    params.seed = static_cast<uint64_t>(i);
    Sampler sampler(params, {}, vocab);
    Logits copy = logits;
    ++counts[static_cast<size_t>(sampler.next(copy).id)];
  }
  double statistic = 0, pooled_expected = 0, pooled_count = 0;
  int cells = 0;
  const auto cell = [&](double count, double mean) {
    statistic += (count - mean) * (count - mean) / mean;
    ++cells;
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    if (expected[i] == 0) EXPECT_EQ(counts[i], 0) << i;
    if (expected[i] * n >= 5) {
      cell(counts[i], expected[i] * n);
    } else {
      pooled_expected += expected[i] * n;
      pooled_count += counts[i];
    }
  }
  if (pooled_expected > 0) cell(pooled_count, std::max(pooled_expected, 1e-3));
  const double freedom = std::max(cells - 1, 1);
  EXPECT_LT(statistic, freedom + 5 * std::sqrt(2 * freedom)) << cells << " cells";
}

TEST(Sampler, DrawsFromTheDistribution) {
  std::mt19937 random(1);
  const Logits logits = random_logits(random, 50, 3);
  expect_distribution({}, logits);
  expect_distribution({.temperature = 0.5f}, logits);
  expect_distribution({.temperature = 2.0f}, logits);
  expect_distribution({.top_p = 0.8f}, logits);
  expect_distribution({.min_p = 0.1f}, logits);
  expect_distribution({.top_k = 7}, logits);
  expect_distribution({.temperature = 1.3f, .top_p = 0.9f, .min_p = 0.02f, .top_k = 20}, logits);
  expect_distribution({.logit_bias = {{3, 4.0f}, {5, -100.0f}}}, logits);
  expect_distribution({.vocab_used = 20, .never_ids = {1, 2}}, logits);
}

// One sampler over many steps: the draws of one stream are independent, too.
TEST(Sampler, OneStreamDrawsFromTheDistribution) {
  const Logits logits = {0, std::log(2.0f), std::log(3.0f), std::log(4.0f)};
  Sampler sampler({.seed = 7}, {}, 4);
  double counts[4] = {}, pairs[4][4] = {};
  const int n = 40000;
  int32_t last = 0;
  for (int i = 0; i < n; ++i) {
    Logits copy = logits;
    const int32_t id = sampler.next(copy).id;
    ++counts[id];
    if (i > 0) ++pairs[last][id];
    last = id;
  }
  double statistic = 0, pair_statistic = 0;
  for (int a = 0; a < 4; ++a) {
    const double p = (a + 1) / 10.0;
    statistic += std::pow(counts[a] - n * p, 2) / (n * p);
    for (int b = 0; b < 4; ++b) {
      const double mean = n * p * (b + 1) / 10.0;
      pair_statistic += std::pow(pairs[a][b] - mean, 2) / mean;
    }
  }
  EXPECT_LT(statistic, 16.3);       // chi-square, 3 degrees of freedom, p = 0.001
  EXPECT_LT(pair_statistic, 37.7);  // 15 degrees
}

// The ids that can come at all equal the reference's, on random parameters and a larger vocabulary.
TEST(Sampler, CutsEqualTheReference) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    SamplingParams params;
    params.temperature = 0.3f + static_cast<float>(random() % 20) / 10;
    if (random() % 2) params.top_k = 1 + static_cast<int>(random() % 60);
    if (random() % 2) params.top_p = 0.05f + static_cast<float>(random() % 95) / 100;
    if (random() % 2) params.min_p = static_cast<float>(random() % 30) / 100;
    const Logits logits = random_logits(random, 1000, 6);
    const std::vector<double> expected = reference(params, {}, {}, logits);
    for (int i = 0; i < 20; ++i) {
      params.seed = random();
      Logits weights = logits;
      Sampler sampler(params, {}, 1000);
      const int32_t id = sampler.next(weights).id;
      // After the call the buffer holds the weights that were drawn from.
      const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (size_t k = 0; k < weights.size(); ++k) {
        ASSERT_NEAR(weights[k] / total, expected[k], 1e-6) << "id " << k;
        ASSERT_EQ(weights[k] == 0, expected[k] == 0) << "id " << k;
      }
      ASSERT_GT(expected[static_cast<size_t>(id)], 0);
    }
  }
}

TEST(Sampler, PenaltiesEqualTheReference) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    SamplingParams params;
    params.temperature = 0;
    params.repetition_penalty = 0.8f + static_cast<float>(random() % 8) / 10;
    params.presence_penalty = static_cast<float>(random() % 5) - 2;
    params.frequency_penalty = static_cast<float>(random() % 9) / 4 - 1;
    params.logit_bias = {{4, 1.5f}, {9, -3.0f}};
    params.eos_ids = {0, 1};
    params.min_tokens = 5;
    std::vector<int32_t> prompt, output;
    for (int i = 0; i < 6; ++i) prompt.push_back(static_cast<int32_t>(random() % 30));
    Sampler sampler(params, prompt, 30);
    for (int step = 0; step < 20; ++step) {
      const Logits logits = random_logits(random, 30, 4);
      const std::vector<double> expected = reference(params, prompt, output, logits);
      Logits copy = logits;
      const int32_t id = sampler.next(copy).id;
      ASSERT_EQ(expected[static_cast<size_t>(id)], 1.0);
      output.push_back(id);
    }
    EXPECT_EQ(sampler.taken(), 20);
  }
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  Sampler sampler({.temperature = 0}, {}, 6);
  Logits logits = {1, 3, 2, 3, 3, 0};
  EXPECT_EQ(sampler.next(logits).id, 1);
}

TEST(Sampler, TemperatureRule) {
  EXPECT_EQ(effective_temperature(0), 0);
  EXPECT_EQ(effective_temperature(1e-6f), 0.01f);
  EXPECT_EQ(effective_temperature(0.009f), 0.01f);
  EXPECT_EQ(effective_temperature(0.01f), 0.01f);
  EXPECT_EQ(effective_temperature(0.7f), 0.7f);
  // 1e-6 samples at 0.01: two logits 0.01 apart come in the proportion e : 1.
  int lower = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    Sampler sampler({.temperature = 1e-6f, .seed = seed}, {}, 2);
    Logits logits = {0.0f, 0.01f};
    lower += sampler.next(logits).id == 0;
  }
  EXPECT_NEAR(lower / 4000.0, 1 / (1 + std::exp(1.0)), 0.03);
}

TEST(Sampler, SameSeedSameTokens) {
  std::mt19937 random(4);
  std::vector<Logits> steps;
  for (int i = 0; i < 50; ++i) steps.push_back(random_logits(random, 500, 2));
  const auto tokens = [&](uint64_t seed) {
    Sampler sampler({.top_p = 0.95f, .repetition_penalty = 1.05f, .has_seed = true, .seed = seed},
                    {}, 500);
    std::vector<int32_t> ids;
    for (Logits logits : steps) ids.push_back(sampler.next(logits).id);
    return ids;
  };
  EXPECT_EQ(tokens(42), tokens(42));
  EXPECT_NE(tokens(42), tokens(43));
  EXPECT_NE(tokens(0), tokens(~0ull));
}

// The same on all platforms; a Python program with its own walk gave these ids.
TEST(Sampler, PinnedDraws) {
  EXPECT_EQ(scramble(1), 0x5692161d100b05e5u);  // as in the published splitmix64 generator
  Logits logits(1000);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>((i * 7919) % 1000) / 200;
  Sampler sampler({.seed = 1234}, {}, 1000);
  std::vector<int32_t> ids;
  for (int i = 0; i < 8; ++i) {
    Logits copy = logits;
    ids.push_back(sampler.next(copy).id);
  }
  EXPECT_EQ(ids, (std::vector<int32_t>{852, 549, 214, 752, 334, 210, 945, 989}));
}

TEST(Sampler, UniformIsUniform) {
  double sum = 0;
  int bins[16] = {};
  for (uint64_t i = 0; i < 16000; ++i) {
    const double u = uniform_at(5, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    ++bins[static_cast<int>(u * 16)];
  }
  EXPECT_NEAR(sum / 16000, 0.5, 0.01);
  double statistic = 0;
  for (int count : bins) statistic += std::pow(count - 1000, 2) / 1000;
  EXPECT_LT(statistic, 37.7);
}

TEST(ExactExp, MatchesTheLibrary) {
  for (int i = 0; i <= 700000; i += 7) {
    const double x = -i / 1000.0, expected = std::exp(x);
    ASSERT_NEAR(exact_exp(x) / expected, 1, 5e-16) << x;
  }
  EXPECT_EQ(exact_exp(0), 1);
  EXPECT_EQ(exact_exp(-1e9), 0);
  EXPECT_EQ(exact_exp(-std::numeric_limits<double>::infinity()), 0);
  EXPECT_EQ(exact_exp(std::numeric_limits<double>::quiet_NaN()), 0);
}

TEST(Logprobs, AreThoseOfTheRawLogits) {
  std::mt19937 random(6);
  const Logits logits = random_logits(random, 400, 10);
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int32_t a, int32_t b) {
    const float first = logits[static_cast<size_t>(a)], second = logits[static_cast<size_t>(b)];
    return first != second ? first > second : a < b;
  });
  // Bias, penalties, masks and temperature choose another token but change no log-probability.
  SamplingParams params{
      .temperature = 0.7f, .repetition_penalty = 1.3f, .top_logprobs = 20, .vocab_used = 300};
  params.logit_bias = {{order[399], 100.0f}};
  params.vocab_used = 400;
  params.never_ids = {order[0]};
  Logits copy = logits;
  const Sampled sampled = Sampler(params, order, 400).next(copy);
  EXPECT_EQ(sampled.id, order[399]);
  EXPECT_EQ(sampled.rank, 400);
  EXPECT_NEAR(sampled.logprob, logits[static_cast<size_t>(sampled.id)] - std::log(sum), 1e-5);
  ASSERT_EQ(sampled.top.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(sampled.top[i].id, order[i]);
    EXPECT_NEAR(sampled.top[i].logprob, logits[static_cast<size_t>(order[i])] - std::log(sum),
                1e-5);
  }
}

TEST(Logprobs, TiesByLowerId) {
  Sampler sampler({.temperature = 0, .top_logprobs = 3}, {}, 6);
  Logits logits = {1, 3, 2, 3, 3, 0};
  const Sampled sampled = sampler.next(logits, 4);
  EXPECT_EQ(sampled.rank, 3);
  ASSERT_EQ(sampled.top.size(), 3u);
  EXPECT_EQ(sampled.top[0].id, 1);
  EXPECT_EQ(sampled.top[1].id, 3);
  EXPECT_EQ(sampled.top[2].id, 4);
}

TEST(Logprobs, ForcedTokensCountAndAreReported) {
  // Forced through token 2: the penalty then moves the greedy choice away from it.
  Sampler sampler({.temperature = 0, .presence_penalty = 2}, {}, 3);
  const Logits logits = {0, 1, 2};
  Logits copy = logits;
  const Sampled forced = sampler.next(copy, 2);
  EXPECT_EQ(forced.id, 2);
  EXPECT_EQ(forced.rank, 1);
  EXPECT_TRUE(forced.top.empty());
  EXPECT_NEAR(forced.logprob, 2 - std::log(1 + std::exp(1.0) + std::exp(2.0)), 1e-6);
  copy = logits;
  EXPECT_EQ(sampler.next(copy).id, 1);
  copy = logits;
  EXPECT_EQ(sampler.next(copy, 0).rank, 3);
}

TEST(Logprobs, FloorAndEmptyLists) {
  const float masked = -std::numeric_limits<float>::infinity();
  Sampler sampler({.temperature = 0, .top_logprobs = 0}, {}, 3);
  Logits logits = {masked, 0, 1};
  const Sampled sampled = sampler.next(logits, 0);
  EXPECT_EQ(sampled.logprob, -9999.0f);
  EXPECT_EQ(sampled.rank, 3);
  EXPECT_TRUE(sampled.top.empty());
}

TEST(Sampler, MinTokensAndMasks) {
  SamplingParams params{
      .temperature = 0, .min_tokens = 2, .eos_ids = {4}, .vocab_used = 5, .never_ids = {3}};
  Sampler sampler(params, {}, 6);
  std::vector<int32_t> ids;
  for (int i = 0; i < 4; ++i) {
    Logits logits = {0, 1, 2, 3, 4, 5};
    ids.push_back(sampler.next(logits).id);
  }
  EXPECT_EQ(ids, (std::vector<int32_t>{2, 2, 4, 4}));
}

TEST(Sampler, NothingLeftToChooseFrom) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              inf = std::numeric_limits<float>::infinity();
  for (const float temperature : {0.0f, 1.0f}) {
    Sampler sampler({.temperature = temperature, .top_logprobs = 2, .never_ids = {0}}, {}, 3);
    Logits logits = {nan, nan, nan};
    EXPECT_EQ(sampler.next(logits).id, 1);  // the lowest that is not masked
    logits = {-inf, -inf, -inf};
    EXPECT_EQ(sampler.next(logits).id, 0);
    logits = {nan, -1, nan};
    EXPECT_EQ(sampler.next(logits).id, 1);
    logits = {0, 1, inf};
    EXPECT_EQ(sampler.next(logits).id, 2);
  }
}

#if GTEST_HAS_DEATH_TEST
TEST(Sampler, ContractsAreChecked) {
  Sampler sampler({}, {}, 3);
  Logits logits = {0, 1, 2};
  EXPECT_DEATH(sampler.next(logits, 3), "");
  logits.pop_back();
  EXPECT_DEATH(sampler.next(logits), "");
}
#endif

TEST(Sampler, StepsDoNotAllocate) {
  std::mt19937 random(8);
  const Logits logits = random_logits(random, 151936, 8);
  Logits copy = logits;
  const std::vector<int32_t> prompt = {1, 2, 3};
  Sampler sampler({.temperature = 0.8f,
                   .top_p = 0.9f,
                   .min_p = 0.001f,
                   .top_k = 100,
                   .repetition_penalty = 1.05f,
                   .frequency_penalty = 0.1f,
                   .vocab_used = 151665},
                  prompt, 151936);
  const int before = allocations;
  for (int i = 0; i < 10; ++i) {
    std::ranges::copy(logits, copy.begin());
    sampler.next(copy);
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace ocelli
