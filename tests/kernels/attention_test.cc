// Attention against a naive double softmax, in both forms, and its independence of the call's
// shape.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/half.h"
#include "kernels/matmul_q8_tiers.h"
#include "weights.h"

namespace ocelli {
namespace {

using test::random_floats;

struct Expected {
  std::vector<double> out;  // [C]
  double bound;             // error that f32 scores may cause
};

// softmax(scale q k^T) v in double; key(j) and value(j) point at [C].
template <class Key, class Value>
Expected naive(const float* q, int head_dim, int length, double scale, Key&& key, Value&& value) {
  std::vector<double> scores(length), out(head_dim, 0.0);
  double best = -1e300, sum = 0, magnitude = 0, largest = 0;
  for (int j = 0; j < length; ++j) {
    double products = 0;
    for (int c = 0; c < head_dim; ++c) {
      scores[j] += double{q[c]} * key(j)[c];
      products += std::fabs(double{q[c]} * key(j)[c]);
      largest = std::fmax(largest, std::fabs(value(j)[c]));
    }
    magnitude = std::fmax(magnitude, products * scale);
    scores[j] *= scale;
    best = std::fmax(best, scores[j]);
  }
  for (double& score : scores) sum += score = std::exp(score - best);
  for (int j = 0; j < length; ++j) {
    for (int c = 0; c < head_dim; ++c) out[c] += scores[j] / sum * value(j)[c];
  }
  // A score is a sum of C rounded products; its error acts on the weights as a factor.
  return {out, largest * (4e-7 + 6e-8 * std::sqrt(head_dim) * magnitude)};
}

struct Cache {
  std::vector<uint32_t> k, v;  // storage of any format
  KvLayer layer;
  std::vector<int32_t> blocks;
};

// A cache of `tokens` tokens in scattered blocks; every unused slot is NaN. k and v get the values
// as stored, [tokens, kv_heads * C].
Cache fill_cache(KvFormat format, int kv_heads, int head_dim, int tokens, std::vector<float>& k,
                 std::vector<float>& v) {
  Cache cache;
  const int count = (tokens + kKvBlock - 1) / kKvBlock, total = 2 * count + 3;
  const size_t bytes = static_cast<size_t>(kv_block_bytes(format, kv_heads, head_dim)) * total;
  cache.k.assign(bytes / 4, 0x7fff7fffu);  // NaN as f32 and as f16
  cache.v.assign(bytes / 4, 0x7fff7fffu);
  cache.layer = {cache.k.data(), cache.v.data(), format, kv_heads, head_dim};
  for (int i = 0; i < count; ++i) cache.blocks.push_back((i * 2 + 1) % total);
  const size_t width = static_cast<size_t>(kv_heads) * head_dim;
  k = random_floats(width * tokens, 97);
  v = random_floats(width * tokens, 101);
  for (int t = 0; t < tokens; ++t) {
    kv_store(cache.layer, cache.blocks[t / kKvBlock], t % kKvBlock, &k[t * width], &v[t * width]);
  }
  if (format == KvFormat::kF16) {
    for (float& value : k) value = f16_to_f32(f32_to_f16(value));
    for (float& value : v) value = f16_to_f32(f32_to_f16(value));
  }
  return cache;
}

// `rows` rows for all heads: q and out have the same stride.
void attend(const Cache& cache, const std::vector<float>& q, int q_begin, int rows,
            int first_length, int heads, float scale, std::vector<float>& out,
            void (*attention)(const KvLayer&, const AttentionCall&) = attention_paged,
            bool causal = true) {
  AttentionCall call;
  call.blocks = cache.blocks.data();
  call.q = q.data() + q_begin;
  call.out = out.data();
  call.q_stride = call.out_stride = int64_t{heads} * cache.layer.head_dim;
  call.rows = rows;
  call.first_length = first_length;
  call.causal = causal;
  call.heads = heads;
  call.scale = scale;
  for (call.kv_head = 0; call.kv_head < cache.layer.kv_heads; ++call.kv_head)
    attention(cache.layer, call);
}

TEST(AttentionPaged, EqualsNaive) {
  for (KvFormat format : {KvFormat::kF32, KvFormat::kF16}) {
    for (int head_dim : {4, 20, 64, 80, 128, 256}) {
      const int kv_heads = 2, heads = 6, tokens = 53, rows = 9, first = tokens - rows + 1;
      std::vector<float> k, v;
      const Cache cache = fill_cache(format, kv_heads, head_dim, tokens, k, v);
      const int width = heads * head_dim, kv_width = kv_heads * head_dim;
      const int q_stride = width + 4, out_stride = width + 8;
      const auto q = random_floats(static_cast<size_t>(rows) * q_stride, 103, 3.0f);
      std::vector<float> out(static_cast<size_t>(rows) * out_stride, -77.0f);
      const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
      AttentionCall call;
      call.blocks = cache.blocks.data();
      call.q = q.data();
      call.out = out.data();
      call.q_stride = q_stride;
      call.out_stride = out_stride;
      call.rows = rows;
      call.first_length = first;
      call.heads = heads;
      call.scale = scale;
      for (call.kv_head = 0; call.kv_head < kv_heads; ++call.kv_head)
        attention_paged(cache.layer, call);
      for (int row = 0; row < rows; ++row) {
        for (int head = 0; head < heads; ++head) {
          const int at = head / 3 * head_dim;
          const auto expected = naive(
              &q[row * q_stride + head * head_dim], head_dim, first + row, scale,
              [&](int j) { return &k[j * kv_width + at]; },
              [&](int j) { return &v[j * kv_width + at]; });
          for (int c = 0; c < head_dim; ++c) {
            ASSERT_NEAR(out[row * out_stride + head * head_dim + c], expected.out[c],
                        expected.bound);
          }
        }
        ASSERT_EQ(out[row * out_stride + width], -77.0f);
      }
    }
  }
}

class AttentionFormats : public testing::TestWithParam<KvFormat> {};

INSTANTIATE_TEST_SUITE_P(, AttentionFormats,
                         testing::Values(KvFormat::kF16, KvFormat::kF32, KvFormat::kInt8));

TEST_P(AttentionFormats, RowBitsDoNotDependOnTheCall) {
  const int kv_heads = 2, heads = 16, head_dim = 64, tokens = 150, rows = 40, first = 111;
  std::vector<float> k, v;
  const Cache cache = fill_cache(GetParam(), kv_heads, head_dim, tokens, k, v);
  const int width = heads * head_dim;
  const auto q = random_floats(static_cast<size_t>(rows) * width, 107);
  std::vector<float> all(static_cast<size_t>(rows) * width);
  attend(cache, q, 0, rows, first, heads, 0.125f, all);
  for (int count = 1; count <= 9; ++count) {
    for (int row = 0; row + count <= rows; row += count) {
      std::vector<float> out(static_cast<size_t>(count) * width);
      attend(cache, q, row * width, count, first + row, heads, 0.125f, out);
      ASSERT_EQ(std::memcmp(out.data(), &all[row * width], out.size() * 4), 0) << row;
    }
  }
}

// int8: keys and values within half a step of theirs, weights within half a 127th of the block's
// largest. The scores' error acts on the weights as a factor.
TEST(AttentionInt8, StaysWithinItsSteps) {
  for (int head_dim : {8, 24, 64, 80, 128, 256}) {
    const int kv_heads = 2, heads = 6, tokens = 153, rows = 9, first = tokens - rows + 1;
    std::vector<float> k, v;
    const Cache cache = fill_cache(KvFormat::kInt8, kv_heads, head_dim, tokens, k, v);
    const int width = heads * head_dim, kv_width = kv_heads * head_dim;
    const auto q = random_floats(static_cast<size_t>(rows) * width, 103);
    std::vector<float> out(static_cast<size_t>(rows) * width, -77.0f);
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    attend(cache, q, 0, rows, first, heads, scale, out);
    double error = 0, power = 0;
    for (int row = 0; row < rows; ++row) {
      for (int head = 0; head < heads; ++head) {
        const int at = head / 3 * head_dim;
        const auto expected = naive(
            &q[row * width + head * head_dim], head_dim, first + row, scale,
            [&](int j) { return &k[j * kv_width + at]; },
            [&](int j) { return &v[j * kv_width + at]; });
        for (int c = 0; c < head_dim; ++c) {
          const double off = out[row * width + head * head_dim + c] - expected.out[c];
          error += off * off;
          power += expected.out[c] * expected.out[c];
        }
      }
    }
    EXPECT_LT(std::sqrt(error / power), 0.013) << head_dim;
  }
}

TEST(AttentionInt8, TiersAreEqualBitForBit) {
  for (int head_dim : {8, 24, 64, 80, 128, 256}) {
    const int kv_heads = 2, heads = 16, tokens = 150, rows = 99, first = tokens - rows + 1;
    std::vector<float> k, v;
    const Cache cache = fill_cache(KvFormat::kInt8, kv_heads, head_dim, tokens, k, v);
    const int width = heads * head_dim;
    auto q = random_floats(static_cast<size_t>(rows) * width, 131, 20.0f);
    for (int c = 0; c < head_dim; ++c) q[width + c] = 0.0f;
    std::vector<float> expected(q.size()), out(q.size());
    attend(cache, q, 0, rows, first, heads, 0.1f, expected, attention_q8_scalar);
    for (const MatmulQ8Tier& tier : matmul_q8_tiers()) {
      attend(cache, q, 0, rows, first, heads, 0.1f, out, tier.attention);
      ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * 4), 0) << tier.name;
    }
  }
}

// A damaged key or value shows in the rows that see it and in no other.
TEST(AttentionInt8, NotFiniteShowsInTheResult) {
  const int head_dim = 32, tokens = 20;
  std::vector<float> k, v;
  Cache cache = fill_cache(KvFormat::kInt8, 1, head_dim, tokens, k, v);
  const auto q = random_floats(2 * head_dim, 137);
  for (bool in_key : {true, false}) {
    std::vector<float> bad(head_dim, 1.0f), good(head_dim, 1.0f), out(2 * head_dim);
    bad[7] = std::numeric_limits<float>::quiet_NaN();
    kv_store(cache.layer, cache.blocks[1], 3, in_key ? bad.data() : good.data(),
             in_key ? good.data() : bad.data());
    attend(cache, q, 0, 2, 19, 1, 0.2f, out);
    for (int c = 0; c < head_dim; ++c) {
      EXPECT_TRUE(std::isfinite(out[c]));
      EXPECT_TRUE(std::isnan(out[head_dim + c]));
    }
  }
}

// The vision tower's segments: all rows see the same keys.
TEST(AttentionPaged, NotCausalEqualsNaive) {
  for (int head_dim : {4, 64, 80}) {
    const int heads = 3, tokens = 37, rows = 70;
    std::vector<float> k, v;
    const Cache cache = fill_cache(KvFormat::kF32, heads, head_dim, tokens, k, v);
    const int width = heads * head_dim;
    const auto q = random_floats(static_cast<size_t>(rows) * width, 109, 2.0f);
    std::vector<float> out(q.size(), -77.0f);
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    attend(cache, q, 0, rows, tokens, heads, scale, out, attention_paged, false);
    for (int row = 0; row < rows; ++row) {
      for (int at = 0; at < width; at += head_dim) {
        const auto expected = naive(
            &q[row * width + at], head_dim, tokens, scale,
            [&](int j) { return &k[j * width + at]; }, [&](int j) { return &v[j * width + at]; });
        for (int c = 0; c < head_dim; ++c)
          ASSERT_NEAR(out[row * width + at + c], expected.out[c], expected.bound);
      }
    }
  }
}

// Scores of +-3e4 as massive channels give them: no overflow, all weight on the largest.
TEST_P(AttentionFormats, SurvivesLargeScores) {
  const int head_dim = 8, tokens = 140;
  std::vector<float> k, v;
  Cache cache = fill_cache(GetParam(), 1, head_dim, tokens, k, v);
  const std::vector<float> q(tokens * head_dim, 100.0f);
  for (int t = 0; t < tokens; ++t) {
    const std::vector<float> key(head_dim, t == 79 ? 150.0f : -150.0f), value(head_dim, float(t));
    kv_store(cache.layer, cache.blocks[t / kKvBlock], t % kKvBlock, key.data(), value.data());
  }
  std::vector<float> out(q.size());
  attend(cache, q, 0, tokens, tokens, 1, 0.5f, out, attention_paged, false);
  for (float value : out) EXPECT_NEAR(value, 79.0f, 0.05f);
}

}  // namespace
}  // namespace ocelli
