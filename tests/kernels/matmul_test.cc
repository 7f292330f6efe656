// matmul_f32 and matmul_q8 against double references, and the promise that a row's bits depend on
// nothing but the row. Sizes include ragged outputs (n = 20) and inputs (k = 196, 3420).
#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/fingerprint.h"
#include "kernels/matmul_q8_tiers.h"
#include "kernels/matmul_q8_tile.h"
#include "kernels/self_test.h"
#include "weights.h"

namespace ocelli {
namespace {

using test::make_weights;
using test::random_floats;
using test::Weights;

struct Shape {
  int n, k, tiles_per_part;
};
constexpr Shape kShapes[] = {{8, 4, 0},    {20, 196, 0},  {20, 196, 2}, {64, 128, 3},
                             {33, 300, 1}, {12, 3420, 0}, {1, 1, 0},    {40, 640, 2}};

struct Quantized {
  std::vector<uint64_t> memory;
  QuantizedRows rows;
};

constexpr float kNever = 1e9f;

Quantized quantize(const std::vector<float>& x, int rows, int k, ActBits bits,
                   float ratio = kPeakRatio) {
  Quantized out;
  const int k_padded = round_up(k, 128);
  out.memory.resize(static_cast<size_t>(quantized_rows_bytes(rows, k_padded)) / 8 + 2, ~0ull);
  out.rows = quantized_rows_at(out.memory.data(), rows, k_padded, bits);
  out.rows.peak_ratio = ratio;
  for (int m = 0; m < rows; ++m) {
    quantize_row(x.data() + static_cast<size_t>(m) * k, k, out.rows, m);
  }
  gather_peaks(out.rows);
  return out;
}

// How a row may be quantised: 15 bits everywhere, in some blocks, in none.
struct How {
  ActBits bits;
  float ratio;
};
constexpr How kHows[] = {{ActBits::k8, kNever}, {ActBits::k8, 3.0f}, {ActBits::k15, 0.0f}};

int code(const QuantizedRows& x, int stream, int k) {
  return x.codes[(int64_t{k / kGroupAct} * x.streams() + stream) * kGroupAct + k % kGroupAct];
}

double scale_of(const QuantizedRows& x, int m, int k) {
  return x.scales[int64_t{k / kGroupAct} * x.rows + m];
}

// Entry of the peak that input k belongs to, or -1.
int peak_entry(const QuantizedRows& x, int m, int k) {
  const int block = k / kPeakBlock;
  for (int e = x.peak_begin[block]; e < x.peak_begin[block + 1]; ++e) {
    if (x.peak_row[e] == m) return e;
  }
  return -1;
}

int peak_code(const QuantizedRows& x, int m, int k) {
  const int entry = peak_entry(x, m, k);
  return entry < 0 ? 0 : x.peak_codes[int64_t{entry} * kPeakBlock + k % kPeakBlock];
}

int whole_code(const QuantizedRows& x, int m, int k) {
  if (x.wide) return code(x, 2 * m, k) + 256 * code(x, 2 * m + 1, k);
  return code(x, m, k) + 256 * peak_code(x, m, k);
}

// What the quantised row means, in double.
double value_of(const QuantizedRows& x, int m, int k) {
  return whole_code(x, m, k) * scale_of(x, m, k);
}

TEST(MatmulF32, EqualsDoubleWithinRounding) {
  for (WeightFormat format : test::kFormats) {
    for (const Shape& shape : kShapes) {
      for (bool with_bias : {false, true}) {
        const Weights w =
            make_weights(format, shape.n, shape.k, with_bias, 7u + shape.n, shape.tiles_per_part);
        const int rows = 5, x_stride = shape.k + 3, y_stride = shape.n + 5;
        const auto x = random_floats(static_cast<size_t>(rows) * x_stride, 11);
        std::vector<float> y(static_cast<size_t>(rows) * y_stride, -77.0f);
        matmul_f32(w.linear, 0, w.linear.tiles(), x.data(), rows, x_stride, y.data(), y_stride);
        for (int m = 0; m < rows; ++m) {
          for (int n = 0; n < shape.n; ++n) {
            double sum = with_bias ? w.bias[n] : 0.0, magnitude = std::fabs(sum);
            for (int k = 0; k < shape.k; ++k) {
              const double product = w.at(n, k) * x[static_cast<size_t>(m) * x_stride + k];
              sum += product;
              magnitude += std::fabs(product);
            }
            ASSERT_NEAR(y[static_cast<size_t>(m) * y_stride + n], sum,
                        magnitude * 1e-7 * (2 + std::sqrt(shape.k)) + 1e-12)
                << "format " << int(format) << " n " << n << " m " << m;
          }
          for (int n = shape.n; n < y_stride; ++n) {
            ASSERT_EQ(y[static_cast<size_t>(m) * y_stride + n], -77.0f) << "padding written";
          }
        }
      }
    }
  }
}

TEST(MatmulF32, RowBitsDoNotDependOnTheCall) {
  for (WeightFormat format : test::kFormats) {
    const Weights w = make_weights(format, 20, 196, true, 3, 2);
    const int all = 131;  // more than the rows that share a panel
    const auto x = random_floats(static_cast<size_t>(all) * 196, 5);
    std::vector<float> expected(static_cast<size_t>(all) * 20);
    matmul_f32(w.linear, 0, 3, x.data(), all, 196, expected.data(), 20);
    for (int rows = 1; rows <= 9; ++rows) {
      for (int first : {0, 1, 63, 100}) {
        std::vector<float> y(static_cast<size_t>(rows) * 20);
        // Tile by tile, as another thread count would do it.
        for (int tile = 0; tile < 3; ++tile) {
          matmul_f32(w.linear, tile, tile + 1, x.data() + first * 196, rows, 196, y.data(), 20);
        }
        ASSERT_EQ(std::memcmp(y.data(), expected.data() + first * 20, y.size() * 4), 0);
      }
    }
  }
}

TEST(MatmulQ8, EqualsDoubleOfTheQuantisedValues) {
  for (WeightFormat format : {WeightFormat::kU4, WeightFormat::kU8}) {
    for (const Shape& shape : kShapes) {
      for (const How& how : kHows) {
        const Weights w =
            make_weights(format, shape.n, shape.k, true, 19u + shape.n, shape.tiles_per_part);
        const int rows = 6, y_stride = shape.n + 2;
        auto x = random_floats(static_cast<size_t>(rows) * shape.k, 23);
        x[0] = 500.0f;
        const Quantized q = quantize(x, rows, shape.k, how.bits, how.ratio);
        std::vector<float> y(static_cast<size_t>(rows) * y_stride, -77.0f);
        matmul_q8(w.linear, 0, w.linear.tiles(), q.rows, rows, y.data(), y_stride);
        for (int m = 0; m < rows; ++m) {
          for (int n = 0; n < shape.n; ++n) {
            double sum = w.bias[n], magnitude = std::fabs(sum);
            for (int k = 0; k < shape.k; ++k) {
              const double product = w.at(n, k) * value_of(q.rows, m, k);
              sum += product;
              magnitude += std::fabs(product);
            }
            ASSERT_NEAR(y[static_cast<size_t>(m) * y_stride + n], sum, magnitude * 1e-6 + 1e-9)
                << "format " << int(format) << " k " << shape.k << " n " << n << " m " << m;
          }
          ASSERT_EQ(y[static_cast<size_t>(m) * y_stride + shape.n], -77.0f) << "padding written";
        }
      }
    }
  }
}

TEST(MatmulQ8, TiersAreEqualBitForBit) {
  for (WeightFormat format : {WeightFormat::kU4, WeightFormat::kU8}) {
    for (const Shape& shape : kShapes) {
      const Weights w = make_weights(format, shape.n, shape.k, true, 29, shape.tiles_per_part);
      for (int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 66, kPanelRowsMax + 5}) {
        auto x = random_floats(static_cast<size_t>(rows) * shape.k, 31);
        x[static_cast<size_t>(rows - 1) * shape.k] = -300.0f;
        for (const How& how : kHows) {
          const Quantized q = quantize(x, rows, shape.k, how.bits, how.ratio);
          const size_t size = static_cast<size_t>(rows) * shape.n;
          std::vector<float> expected(size), y(size);
          matmul_q8_scalar(w.linear, 0, w.linear.tiles(), q.rows, rows, expected.data(), shape.n);
          for (const MatmulQ8Tier& tier : matmul_q8_tiers()) {
            const MatmulQ8 matmul = format == WeightFormat::kU4 ? tier.u4 : tier.u8;
            matmul(w.linear, 0, w.linear.tiles(), q.rows, rows, y.data(), shape.n);
            ASSERT_EQ(std::memcmp(y.data(), expected.data(), size * 4), 0) << tier.name;
          }
        }
      }
    }
  }
}

// Counts how often the loops turn back to tiles that they had left.
struct CountingTier {
  static constexpr int kStreams = 8;
  static constexpr bool kNeedsOffsets = true, kTakesPairs = false;
  template <bool, int>
  static constexpr int cells_at_once() {
    return 2;
  }
  static inline const uint8_t* codes;  // of the whole matrix
  static inline int64_t tile_bytes, last_tile, passes;

  template <int R, int S, int kCells, int kStride>
  static void add_u4(const uint8_t* const* cells, const int8_t*, const U32x8&, i32x4 (*)[S][2]) {
    const int64_t tile = (cells[0] - codes) / tile_bytes;
    passes += tile < last_tile - 4;  // within a run of tiles it may go back: they are in the cache
    last_tile = tile;
  }
  template <int R, int S, int kCells, int kStride>
  static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8& masks,
                     i32x4 (*acc)[S][2]) {
    add_u4<R, S, kCells, kStride>(cells, x, masks, acc);
  }
};

// Weights are read from memory once for a batch, however many rows and peaks it has.
TEST(MatmulQ8, WeightsAreReadOnceForUpTo32Rows) {
  const Shape shape = {64, 640, 1 << 20};
  for (WeightFormat format : {WeightFormat::kU4, WeightFormat::kU8}) {
    const Weights w = make_weights(format, shape.n, shape.k, true, 41, shape.tiles_per_part);
    CountingTier::codes = static_cast<const uint8_t*>(w.linear.parts[0].codes);
    CountingTier::tile_bytes = tile_bytes(format, w.linear.k_padded());
    const auto matmul = format == WeightFormat::kU4 ? matmul_q8_loops<CountingTier, true>
                                                    : matmul_q8_loops<CountingTier, false>;
    for (int rows : {1, 2, 3, 4, 7, 8, 33, 64, 65, 128, 300}) {
      for (const How& how : kHows) {
        const auto x = random_floats(static_cast<size_t>(rows) * shape.k, 43);
        const Quantized q = quantize(x, rows, shape.k, how.bits, how.ratio);
        std::vector<float> y(static_cast<size_t>(rows) * shape.n);
        CountingTier::last_tile = 0;
        CountingTier::passes = 1;
        matmul(w.linear, 0, w.linear.tiles(), q.rows, rows, y.data(), shape.n);
        const int panel = panel_rows_of(q.rows);
        EXPECT_EQ(CountingTier::passes, (rows + panel - 1) / panel) << rows;
        if (rows <= 32) EXPECT_EQ(CountingTier::passes, 1);
        EXPECT_GE(CountingTier::last_tile, w.linear.tiles() - 4) << rows;
      }
    }
  }
}

TEST(MatmulQ8, RowBitsDoNotDependOnTheCall) {
  const int k = 384, all = 13;
  auto x = random_floats(static_cast<size_t>(all) * k, 37);
  for (int m : {2, 7}) x[static_cast<size_t>(m) * k + 40] = 900.0f;  // neighbours of outlier rows
  for (int m = 0; m < all; ++m) x[static_cast<size_t>(m) * k + 200] = 900.0f;
  for (WeightFormat format : {WeightFormat::kU4, WeightFormat::kU8}) {
    const Weights w = make_weights(format, 20, k, true, 41, 1);
    std::vector<float> expected(static_cast<size_t>(all) * 20);
    const Quantized q = quantize(x, all, k, ActBits::k8, 8.0f);
    ASSERT_GE(peak_entry(q.rows, 2, 40), 0);
    ASSERT_EQ(peak_entry(q.rows, 3, 40), -1);
    matmul_q8(w.linear, 0, 3, q.rows, all, expected.data(), 20);
    for (int rows = 1; rows <= 9; ++rows) {
      for (int first = 0; first + rows <= all; ++first) {
        const std::vector<float> part(x.begin() + first * k, x.begin() + (first + rows) * k);
        const Quantized some = quantize(part, rows, k, ActBits::k8, 8.0f);
        std::vector<float> y(static_cast<size_t>(rows) * 20);
        for (int tile = 0; tile < 3; ++tile) {
          matmul_q8(w.linear, tile, tile + 1, some.rows, rows, y.data(), 20);
        }
        ASSERT_EQ(std::memcmp(y.data(), expected.data() + first * 20, y.size() * 4), 0);
      }
    }
  }
}

TEST(QuantizeRow, ErrorIsHalfAStep) {
  const int k = 300, k_padded = 384;
  auto x = random_floats(k, 43);
  x[33] = 400.0f;
  for (int i = 64; i < 96; ++i) x[i] = 0.0f;
  for (ActBits bits : {ActBits::k8, ActBits::k15}) {
    const Quantized q = quantize(x, 1, k, bits);
    const QuantizedRows& rows = q.rows;
    if (!rows.wide) {
      EXPECT_EQ(peak_entry(rows, 0, 0), -1);
      EXPECT_GE(peak_entry(rows, 0, 32), 0);
    }
    for (int g = 0; g < k_padded / 128; ++g) {
      int32_t low = 0, high = 0;
      float smooth = 0.0f, peak = 0.0f;
      for (int b = g * 4; b < g * 4 + 4; ++b) {
        int32_t block_low = 0, block_high = 0;
        float block_peak = 0.0f;
        for (int i = b * 32; i < b * 32 + 32; ++i) {
          const float value = i < k ? x[i] : 0.0f;
          block_peak = std::fmax(block_peak, std::fabs(value));
          block_low += code(rows, 0, i);
          block_high += rows.wide ? code(rows, 1, i) : peak_code(rows, 0, i);
          EXPECT_NEAR(value_of(rows, 0, i), value,
                      0.5001 * scale_of(rows, 0, i) + 1e-6 * std::fabs(value));
        }
        EXPECT_EQ(rows.block_sums[b * rows.streams()], -block_low);
        if (rows.wide)
          EXPECT_EQ(rows.block_sums[b * 2 + 1], -block_high);
        else if (const int entry = peak_entry(rows, 0, b * 32); entry >= 0)
          EXPECT_EQ(rows.peak_sums[entry], -block_high);
        else
          smooth = std::fmax(smooth, block_peak);
        peak = std::fmax(peak, block_peak);
        low += block_low;
        high += block_high;
      }
      EXPECT_EQ(rows.sums[g * rows.streams()], -low);
      if (rows.wide) EXPECT_EQ(rows.sums[g * 2 + 1], -high);
      // The largest value takes the largest code: of 15 bits, or of 8 where nothing peaks.
      const double step = rows.wide ? peak / 32639.0 : std::fmax(smooth / 127.0, peak / 32639.0);
      EXPECT_NEAR(rows.scales[g], step, 1e-6 * step);
    }
  }
}

TEST(QuantizeRow, ExtremesStayInRange) {
  for (float magnitude : {0.0f, 1e-38f, 1e-31f, 1e-20f, 1.0f, 1e20f, 1e35f}) {
    const auto x = random_floats(128, 47, magnitude);
    for (const How& how : kHows) {
      const Quantized q = quantize(x, 1, 128, how.bits, how.ratio);
      for (int i = 0; i < 128; ++i) {
        ASSERT_NEAR(value_of(q.rows, 0, i), x[i],
                    0.5001 * scale_of(q.rows, 0, i) + 1e-30 + 1e-6 * std::fabs(x[i]));
        ASSERT_LE(std::abs(whole_code(q.rows, 0, i)), 32639);
      }
    }
  }
}

TEST(QuantizeRow, NotFiniteShowsInTheResult) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    auto x = random_floats(2 * 128, 53);
    x[40] = bad;
    for (const How& how : kHows) {
      const Quantized q = quantize(x, 2, 128, how.bits, how.ratio);
      const Weights w = make_weights(WeightFormat::kU4, 8, 128, false, 59);
      float y[16];
      matmul_q8(w.linear, 0, 1, q.rows, 2, y, 8);
      for (int n = 0; n < 8; ++n) {
        EXPECT_TRUE(std::isnan(y[n]));
        EXPECT_TRUE(std::isfinite(y[8 + n]));
      }
    }
  }
}

TEST(SelfTest, Passes) { EXPECT_TRUE(kernels_self_test()); }

// The same constant is checked in every WebAssembly variant: equal bits across targets.
TEST(Fingerprint, IsTheOneOfEveryTarget) { EXPECT_EQ(kernels_fingerprint(), kKernelsFingerprint); }

}  // namespace
}  // namespace ocelli
