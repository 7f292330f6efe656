#include "sampler/select.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

namespace ocelli {
namespace {

using Weights = std::vector<float>;
RadixScratch scratch;

std::vector<size_t> best_first(const Weights& weights) {
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  });
  return order;
}

// Weights with many equal ones, zeros, tiny ones and, every other time, hardly any spread.
Weights random_weights(std::mt19937& random, size_t size) {
  Weights weights(size);
  const bool flat = random() % 2 == 0;
  for (float& weight : weights) {
    const float x = static_cast<float>(random() >> 8) / 16777216.0f;
    weight = flat ? 0.5f + x * 1e-5f : std::exp(-30 * x);
    if (random() % 5 == 0) weight = 0.25f;
    if (random() % 7 == 0) weight = 0;
    if (random() % 50 == 0) weight = 1e-40f;  // subnormal
  }
  weights[random() % size] = 1;
  return weights;
}

TEST(KeepTopK, EqualsSorting) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const Weights weights = random_weights(random, 1 + random() % 400);
    const int k = 1 + static_cast<int>(random() % 420);
    Weights expected(weights.size(), 0), cut = weights;
    const std::vector<size_t> order = best_first(weights);
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(k)); ++i) {
      expected[order[i]] = weights[order[i]];
    }
    keep_top_k(cut, k, scratch);
    ASSERT_EQ(cut, expected) << "k " << k;
  }
}

TEST(KeepTopP, EqualsSorting) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    // Multiples of 2^-20: sums are exact in any order, so the border is sharp.
    Weights weights = random_weights(random, 1 + random() % 400);
    for (float& weight : weights) weight = std::round(weight * 1048576.0f) / 1048576.0f;
    const double top_p = std::round((1 + random() % 100) / 100.0 * 256) / 256;
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    Weights expected(weights.size(), 0), cut = weights;
    double sum = 0;
    for (const size_t id : best_first(weights)) {
      if (sum >= top_p * total && sum > 0) break;
      expected[id] = weights[id];
      sum += weights[id];
    }
    keep_top_p(cut, top_p, scratch);
    ASSERT_EQ(cut, expected) << "top_p " << top_p;
  }
}

TEST(KeepTopP, KeepsOneAtLeastAndAllAtMost) {
  Weights weights = {0.1f, 0.3f, 0.3f, 0.3f};
  keep_top_p(weights, 1e-9, scratch);
  EXPECT_EQ(weights, (Weights{0, 0.3f, 0, 0}));
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    const Weights before = random_weights(random, 300);
    Weights after = before;
    keep_top_p(after, 1.0, scratch);
    // Only weights too small to count in the sum may fall away.
    for (size_t i = 0; i < before.size(); ++i) {
      if (before[i] > 1e-12f) ASSERT_EQ(after[i], before[i]);
    }
  }
}

TEST(KeepTopP, AllZeroStays) {
  Weights weights = {0, 0};
  keep_top_p(weights, 0.5, scratch);
  keep_top_k(weights, 1, scratch);
  EXPECT_EQ(weights, (Weights{0, 0}));
}

TEST(KeepMinP, IsRelativeToTheLargest) {
  Weights weights = {0.5f, 0.05f, 0.049f, 0};
  keep_min_p(weights, 0.1f);
  EXPECT_EQ(weights, (Weights{0.5f, 0.05f, 0, 0}));
}

}  // namespace
}  // namespace ocelli
