// matmul_q8 on i32x4.relaxed_dot_i8x16_i7x16_add_s. The weights are the i7 operand: 0..15 is the
// same number however an engine reads it, and pair sums stay below 2 * 128 * 15, so every engine
// and CPU gives the same integers. Surprise: 8-bit codes go as two nibble planes for the same
// reason.
#include "kernels/matmul_q8_tiers.h"

#if defined(OCELLI_TIER_RELAXED)

#include <wasm_simd128.h>

#include "kernels/matmul_q8_tile.h"

namespace ocelli {
namespace {

OCELLI_INLINE i32x4 relaxed_dot(i32x4 x, u32x4 weights, i32x4 acc) {
  return (i32x4)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)x, (v128_t)weights, (v128_t)acc);
}

struct Relaxed {
  template <int T>
  OCELLI_INLINE static void dot_u4(const uint8_t* cells, const int8_t* x, int64_t x_stride,
                                   i32x4 (*out)[2]) {
    // Few tokens: two chains per output, or the dot's latency rules.
    constexpr int kChains = T <= 2 ? 2 : 1;
    i32x4 acc[T][2][kChains] = {};
    for (int cell = 0; cell < kGroupAct / 8; ++cell) {
      const u32x4 low = load<u32x4>(cells + 32 * cell), high = load<u32x4>(cells + 32 * cell + 16);
      const uint32_t nibble = 0x0f0f0f0fu;
      const u32x4 low_a = low & nibble, low_b = (low >> 4) & nibble;
      const u32x4 high_a = high & nibble, high_b = (high >> 4) & nibble;
      for (int t = 0; t < T; ++t) {
        const int8_t* at = x + t * x_stride + 8 * cell;
        const i32x4 a = splat_i32(load<int32_t>(at)), b = splat_i32(load<int32_t>(at + 4));
        acc[t][0][0] = relaxed_dot(a, low_a, acc[t][0][0]);
        acc[t][1][0] = relaxed_dot(a, high_a, acc[t][1][0]);
        acc[t][0][kChains - 1] = relaxed_dot(b, low_b, acc[t][0][kChains - 1]);
        acc[t][1][kChains - 1] = relaxed_dot(b, high_b, acc[t][1][kChains - 1]);
      }
    }
    for (int t = 0; t < T; ++t) {
      for (int h = 0; h < 2; ++h) {
        out[t][h] = kChains == 1 ? acc[t][h][0] : acc[t][h][0] + acc[t][h][kChains - 1];
      }
    }
  }

  // Two planes of two halves: 4 accumulators a token, so more than two tokens at a time would
  // spill.
  template <int T>
  OCELLI_INLINE static void dot_u8(const uint8_t* cells, const int8_t* x, int64_t x_stride,
                                   i32x4 (*out)[2]) {
    if constexpr (T > 2) {
      dot_u8<2>(cells, x, x_stride, out);
      dot_u8<T - 2>(cells, x + 2 * x_stride, x_stride, out + 2);
    } else {
      i32x4 planes[T][2][2] = {};
      for (int cell = 0; cell < kGroupAct / 4; ++cell) {
        const u32x4 low = load<u32x4>(cells + 32 * cell);
        const u32x4 high = load<u32x4>(cells + 32 * cell + 16);
        const uint32_t nibble = 0x0f0f0f0fu;
        const u32x4 low_a = low & nibble, low_b = (low >> 4) & nibble;
        const u32x4 high_a = high & nibble, high_b = (high >> 4) & nibble;
        for (int t = 0; t < T; ++t) {
          const i32x4 a = splat_i32(load<int32_t>(x + t * x_stride + 4 * cell));
          planes[t][0][0] = relaxed_dot(a, low_a, planes[t][0][0]);
          planes[t][1][0] = relaxed_dot(a, high_a, planes[t][1][0]);
          planes[t][0][1] = relaxed_dot(a, low_b, planes[t][0][1]);
          planes[t][1][1] = relaxed_dot(a, high_b, planes[t][1][1]);
        }
      }
      for (int t = 0; t < T; ++t) {
        for (int h = 0; h < 2; ++h) out[t][h] = planes[t][h][0] + (planes[t][h][1] << 4);
      }
    }
  }
};

}  // namespace

void matmul_q8_relaxed(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                       int rows, float* y, int64_t y_stride) {
  matmul_q8_tier<Relaxed>(w, tile_begin, tile_end, x, rows, y, y_stride);
}

}  // namespace ocelli

#endif
