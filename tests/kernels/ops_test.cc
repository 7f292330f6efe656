// The small operations against double references.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/half.h"
#include "kernels/vec.h"
#include "weights.h"

namespace ocelli {
namespace {

using test::random_floats;

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Exp, WithinTwoRoundingsOfLibm) {
  for (double x = -87.2; x < 88.2; x += 0.00137) {
    const float in = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(in));
    ASSERT_NEAR(exp_f32x4(splat(in))[0], expected, expected * 1.5e-7) << in;
  }
  EXPECT_EQ(exp_f32x4(splat(0.0f))[0], 1.0f);
  EXPECT_EQ(exp_f32x4(splat(-kInf))[0], 0.0f);
  EXPECT_EQ(exp_f32x4(splat(-200.0f))[0], 0.0f);
  EXPECT_TRUE(std::isfinite(exp_f32x4(splat(1e30f))[0]));
  EXPECT_TRUE(std::isnan(exp_f32x4(splat(kNan))[0]));
}

TEST(Half, VectorsEqualTheScalarConversions) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float wide = f16_to_f32(half);
    const f32x4 vector = f16x4_to_f32(u16x4{half, half, half, half});
    const float got = vector[2];
    ASSERT_EQ(std::memcmp(&wide, &got, 4), 0) << bits;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    uint32_t bits = random();
    if (i % 2) bits = (bits & 0x80ffffffu) | (0x33000000u + (random() % 0x15) * 0x1000000u);
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(f32_to_f16x4(splat(value))[1], f32_to_f16(value)) << bits;
  }
}

TEST(RmsNorm, EqualsDouble) {
  for (int width : {1, 3, 8, 80, 1280, 2048}) {
    auto x = random_floats(width, 61);
    x[0] = 800.0f;  // a massive channel
    const auto weight = random_floats(width, 67);
    std::vector<float> y(width);
    rms_norm(x.data(), weight.data(), width, 1e-6f, y.data());
    double sum = 0;
    for (float value : x) sum += double{value} * value;
    const double factor = 1 / std::sqrt(sum / width + double{1e-6f});
    for (int i = 0; i < width; ++i) {
      const double expected = x[i] * factor * weight[i];
      ASSERT_NEAR(y[i], expected, std::fabs(expected) * 3e-7);
    }
  }
}

TEST(ElementWise, EqualDouble) {
  for (int64_t count : {1, 4, 7, 3420}) {
    auto gate = random_floats(count, 71, 8.0f);
    const auto up = random_floats(count, 73);
    gate[0] = -120.0f;
    std::vector<float> out(count), sum = gate, gelued = gate, product = gate;
    silu_mul(gate.data(), up.data(), count, out.data());
    add(sum.data(), up.data(), count);
    multiply(product.data(), up.data(), count);
    gelu(gelued.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      const double g = gate[i], silu = g / (1 + std::exp(-g)) * up[i];
      ASSERT_NEAR(out[i], silu, std::fabs(silu) * 5e-7 + 1e-30);
      ASSERT_EQ(sum[i], gate[i] + up[i]);
      ASSERT_EQ(product[i], gate[i] * up[i]);
      ASSERT_NEAR(gelued[i], g / 2 * (1 + std::erf(g / std::sqrt(2.0))), 1e-6 * (1 + std::fabs(g)));
    }
  }
  float extremes[] = {-1e4f, -6.0f, -0.0f, 0.0f, 1e4f};
  gelu(extremes, 5);
  EXPECT_NEAR(extremes[0], 0.0f, 1e-3f);
  EXPECT_NEAR(extremes[1], -6 * 9.87e-10, 1e-6);
  EXPECT_EQ(extremes[3], 0.0f);
  EXPECT_EQ(extremes[4], 1e4f);
}

TEST(Gelu, ErfWithinTheStatedBound) {
  for (double x = -5; x < 5; x += 0.0009) {
    float value = static_cast<float>(x);
    const double in = value;
    gelu(&value, 1);
    ASSERT_NEAR(value, in / 2 * (1 + std::erf(in / std::sqrt(2.0))), 1e-6) << x;
  }
}

TEST(RopeHalf, RotatesHalves) {
  for (int head_dim : {2, 12, 64, 80, 128}) {
    const int half = head_dim / 2, heads = 3;
    auto x = random_floats(heads * head_dim, 79);
    const auto before = x;
    std::vector<float> cos(half), sin(half);
    for (int i = 0; i < half; ++i) {
      cos[i] = std::cos(0.1f * i);
      sin[i] = std::sin(0.1f * i);
    }
    rope_half(x.data(), heads, head_dim, cos.data(), sin.data());
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < half; ++i) {
        const double a = before[h * head_dim + i], b = before[h * head_dim + half + i];
        ASSERT_NEAR(x[h * head_dim + i], a * cos[i] - b * sin[i], 1e-6);
        ASSERT_NEAR(x[h * head_dim + half + i], b * cos[i] + a * sin[i], 1e-6);
      }
    }
  }
}

TEST(LogSumExp, EqualsDouble) {
  for (int count : {1, 3, 4, 1001, 151936}) {
    auto x = random_floats(count, 83, 5.0f);
    if (count > 2) x[1] = -kInf;
    float top = 0;
    const float got = log_sum_exp(x.data(), count, &top);
    double best = -kInf, sum = 0;
    for (float value : x) best = std::fmax(best, value);
    for (float value : x) sum += std::exp(value - best);
    EXPECT_NEAR(got, best + std::log(sum), 1e-6 * std::fabs(best + std::log(sum)) + 1e-7);
    EXPECT_EQ(top, static_cast<float>(best));
  }
  const float hidden[] = {-kInf, -kInf};
  EXPECT_EQ(log_sum_exp(hidden, 2, nullptr), -kInf);
  const float bad[] = {1.0f, kNan};
  EXPECT_TRUE(std::isnan(log_sum_exp(bad, 2, nullptr)));
}

TEST(Argmax, LowestIndexOnTies) {
  std::vector<float> x(37, -1.0f);
  EXPECT_EQ(argmax(x.data(), 37), 0);
  x[11] = x[12] = x[36] = 2.0f;
  EXPECT_EQ(argmax(x.data(), 37), 11);
  x[36] = 3.0f;
  EXPECT_EQ(argmax(x.data(), 37), 36);
  x[3] = kNan;
  EXPECT_EQ(argmax(x.data(), 37), 36);
  const float low[] = {-kInf, -kInf, -1e30f};
  EXPECT_EQ(argmax(low, 3), 2);
}

TEST(DequantizeRow, IsExactInEveryFormat) {
  for (WeightFormat format : test::kFormats) {
    const test::Weights w = test::make_weights(format, 20, 196, false, 89, 1);
    std::vector<float> row(197, 5.0f);
    for (int n = 0; n < 20; ++n) {
      dequantize_row(w.linear, n, row.data());
      for (int k = 0; k < 196; ++k) ASSERT_EQ(double{row[k]}, w.at(n, k)) << int(format);
      ASSERT_EQ(row[196], 5.0f);
    }
  }
}

}  // namespace
}  // namespace ocelli
