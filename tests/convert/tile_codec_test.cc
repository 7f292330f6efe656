// Packing of single tiles: AWQ's word order by hand-checked examples, quantisers by their error
// bounds.
#include "convert/tile_codec.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "base/half.h"

namespace ocelli {
namespace {

std::array<int, 8> columns(uint32_t word) {
  std::array<int, 8> out;
  for (int i = 0; i < 8; ++i) out[static_cast<size_t>(i)] = static_cast<int>(awq_nibble(word, i));
  return out;
}

TEST(AwqWord, HandCheckedExamples) {
  EXPECT_EQ(columns(0x86427531u), (std::array<int, 8>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(columns(0x88778877u), (std::array<int, 8>{7, 7, 7, 7, 8, 8, 8, 8}));
  EXPECT_EQ(columns(0x75316420u), (std::array<int, 8>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(columns(0xAC90137Fu), (std::array<int, 8>{15, 0, 7, 9, 3, 12, 1, 10}));
}

TEST(AwqWord, TheWorkedRowOfTheSpecification) {
  std::vector<uint32_t> qweight(128, 0x86427531u);
  const uint32_t qzeros = 0x88778877u;
  std::array<uint16_t, 8> scales;
  const float values[8] = {0.5f, 0.25f, 1, 2, 0.5f, 0.25f, 1, 2};
  for (size_t i = 0; i < 8; ++i) scales[i] = f32_to_f16(values[i]);
  const AwqMatrix matrix{8, 128, qweight.data(), &qzeros, scales.data()};
  const float expected[8] = {-3, -1.25f, -4, -6, -1.5f, -0.5f, -1, 0};
  for (int row = 0; row < 8; ++row) {
    std::vector<float> out(128);
    dequantize_awq_row(matrix, row, out.data());
    EXPECT_EQ(out[0], expected[row]);
    EXPECT_EQ(out[127], expected[row]);
  }
}

// Negative scales, which the format has not, become positive ones of mirrored codes.
TEST(RepackAwq, KeepsEveryCodeZeroAndScaleInAnyTileRange) {
  std::mt19937 random(3);
  constexpr int kN = 8 * 37, kK = 256;
  std::vector<uint32_t> qweight(kK * kN / 8), qzeros(kK / 128 * kN / 8);
  std::vector<uint16_t> scales(kK / 128 * kN);
  for (uint32_t& word : qweight) word = static_cast<uint32_t>(random());
  for (uint32_t& word : qzeros) word = static_cast<uint32_t>(random());
  for (uint16_t& scale : scales) scale = static_cast<uint16_t>(random());
  const AwqMatrix matrix{kN, kK, qweight.data(), qzeros.data(), scales.data()};
  for (const auto& [begin, tiles] : {std::pair{0, 37}, std::pair{5, 17}, std::pair{36, 1}}) {
    std::vector<uint8_t> codes(static_cast<size_t>(tiles) * kK / 8 * 32),
        zeros(static_cast<size_t>(tiles) * 16);
    std::vector<uint16_t> out_scales(static_cast<size_t>(tiles) * 16);
    repack_awq(matrix, begin, tiles, codes.data(), out_scales.data(), zeros.data());
    for (int n = 0; n < tiles * 8; ++n) {
      for (int k = 0; k < kK; ++k) {
        const int column = begin * 8 + n;
        const uint8_t byte =
            codes[static_cast<size_t>((n / 8 * (kK / 8) + k / 8) * 32 + n % 8 * 4 + k % 4)];
        const uint16_t scale = scales[static_cast<size_t>(k / 128 * kN + column)];
        const unsigned mirror = scale & 0x8000u ? 15u : 0u;
        const unsigned code = (k % 8 < 4 ? byte & 15u : byte >> 4u) ^ mirror;
        ASSERT_EQ(code, static_cast<unsigned>(awq_nibble(
                            qweight[static_cast<size_t>(k * kN / 8 + column / 8)], column % 8)))
            << n << " " << k;
        const auto group = static_cast<size_t>((n / 8 * 2 + k / 128) * 8 + n % 8);
        ASSERT_EQ(
            zeros[group] ^ mirror,
            awq_nibble(qzeros[static_cast<size_t>(k / 128 * kN / 8 + column / 8)], column % 8));
        ASSERT_EQ(out_scales[group], scale & 0x7fffu);
      }
    }
  }
}

std::array<const float*, 8> one_row(const std::vector<float>& row) { return {row.data()}; }

TEST(QuantizeU4, TheExampleOfTheSpecification) {
  std::vector<float> row(128, 0.0f);
  row[0] = -0.9f;
  row[1] = 0.6f;
  row[2] = 0.25f;
  std::vector<uint8_t> codes(16 * 32), zeros(8);
  std::vector<uint16_t> scales(8);
  ASSERT_TRUE(quantize_u4(one_row(row).data(), 128, codes.data(), scales.data(), zeros.data()));
  EXPECT_EQ(scales[0], f32_to_f16(0.1f));
  EXPECT_EQ(zeros[0], 9);
  EXPECT_EQ(codes[0] & 15, 0);   // -0.9
  EXPECT_EQ(codes[1] & 15, 15);  // 0.6
  EXPECT_EQ(codes[3] & 15, 9);   // 0
  const int code = codes[2] & 15;
  EXPECT_TRUE(code == 11 || code == 12) << code;  // 0.25 is the middle; the f16 scale decides
}

// Largest error of a quantised row in units of the group's range.
double error_u4(const std::vector<float>& row, int k) {
  const int padded = round_up(k, kGroupU4);
  std::vector<uint8_t> codes(static_cast<size_t>(padded) * 4),
      zeros(static_cast<size_t>(padded) / 16);
  std::vector<uint16_t> scales(static_cast<size_t>(padded) / 16);
  EXPECT_TRUE(quantize_u4(one_row(row).data(), k, codes.data(), scales.data(), zeros.data()));
  double worst = 0.0;
  for (int i = 0; i < k; ++i) {
    const uint8_t byte = codes[static_cast<size_t>(i / 8 * 32 + i % 4)];
    const int code = i % 8 < 4 ? byte & 15 : byte >> 4;
    const auto g = static_cast<size_t>(i / kGroupU4 * 8);
    const double value = (code - zeros[g]) * static_cast<double>(f16_to_f32(scales[g]));
    worst = std::max(worst, std::fabs(value - row[static_cast<size_t>(i)]) / f16_to_f32(scales[g]));
  }
  return worst;
}

TEST(QuantizeU4, StaysWithinOneStep) {
  std::mt19937 random(5);
  for (const float offset : {0.0f, 0.7f, -0.7f}) {  // groups of one sign as well
    for (const int k : {1, 100, 128, 300}) {
      std::vector<float> row(static_cast<size_t>(k));
      for (float& value : row) value = static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f + offset;
      // Half a step, plus half a step because the zero point is an integer.
      EXPECT_LE(error_u4(row, k), 1.01) << k << " " << offset;
    }
  }
  EXPECT_LE(error_u4(std::vector<float>(128, 1e-9f), 128), 0.5);
  EXPECT_LE(error_u4(std::vector<float>(128, 3.0f), 128), 0.5);
}

TEST(QuantizeU8, NeverClipsAndStaysWithinHalfAStep) {
  std::mt19937 random(6);
  for (const float size : {1.0f, 1e-3f, 1e-6f, 3e4f}) {
    for (const int k : {3, 64, 130}) {
      std::vector<float> row(static_cast<size_t>(k));
      for (float& value : row) value = (static_cast<float>(random() >> 8) * 0x1p-24f - 0.5f) * size;
      const int padded = round_up(k, kGroupU8);
      std::vector<uint8_t> codes(static_cast<size_t>(padded) * 8);
      std::vector<uint16_t> scales(static_cast<size_t>(padded) / 8);
      ASSERT_TRUE(quantize_u8(one_row(row).data(), k, codes.data(), scales.data()));
      for (int i = 0; i < padded; ++i) {
        const int code = codes[static_cast<size_t>(i / 4 * 32 + i % 4)];
        ASSERT_GE(code, 1);
        const double scale = f16_to_f32(scales[static_cast<size_t>(i / kGroupU8 * 8)]);
        if (i < k)
          ASSERT_LE(std::fabs((code - 128) * scale - row[static_cast<size_t>(i)]), scale * 0.5001);
        else
          ASSERT_EQ(code, 128);
      }
      EXPECT_EQ(codes[4], 128) << "a missing row is zero";
      EXPECT_EQ(scales[1], 0);
    }
  }
}

TEST(Quantize, RefusesWhatNoScaleReaches) {
  const std::vector<float> huge(64, 3e38f);
  std::vector<uint8_t> codes(2048), zeros(64);
  std::vector<uint16_t> scales(64);
  EXPECT_FALSE(quantize_u8(one_row(huge).data(), 64, codes.data(), scales.data()));
  EXPECT_FALSE(quantize_u4(one_row(huge).data(), 64, codes.data(), scales.data(), zeros.data()));
  std::vector<float> both(64, 3e38f);
  both[0] = -3e38f;
  EXPECT_FALSE(quantize_u4(one_row(both).data(), 64, codes.data(), scales.data(), zeros.data()));
}

}  // namespace
}  // namespace ocelli
