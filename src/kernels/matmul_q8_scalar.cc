// The specification of matmul_q8: plain loops, one output at a time. Compiled into every build,
// because the self test compares the SIMD tiers with it bit for bit.
#include "kernels/matmul.h"
#include "kernels/tiles.h"

namespace ocelli {
namespace {

// Code of W[r][k] in a tile.
int code_at(const Linear& w, const uint8_t* tile, int r, int k) {
  if (w.format == WeightFormat::kU8) return tile[(k / 4) * 32 + 4 * r + k % 4];
  const uint8_t byte = tile[(k / 8) * 32 + 4 * r + k % 4];
  return k % 8 < 4 ? byte & 15 : byte >> 4;
}

// sum over 32 inputs of (code - zero) * x, exact.
int32_t dot_group(const Linear& w, const uint8_t* tile, int r, int k, int zero, const int8_t* x,
                  int32_t sum_x) {
  int32_t acc = 0;
  for (int i = 0; i < kGroupAct; ++i) acc += code_at(w, tile, r, k + i) * x[i];
  return acc - zero * sum_x;
}

}  // namespace

OCELLI_NOINLINE void matmul_q8_scalar(const Linear& w, int tile_begin, int tile_end,
                                      const QuantizedRows& x, int rows, float* y,
                                      int64_t y_stride) {
  const bool u4 = w.format == WeightFormat::kU4;
  OCELLI_CHECK(u4 || w.format == WeightFormat::kU8);
  OCELLI_CHECK(rows <= x.rows && x.k_padded >= w.k_padded());
  const int k_padded = w.k_padded();
  const int group_inputs = u4 ? kGroupU4 : kGroupU8;
  const int groups = k_padded / group_inputs;
  const int64_t x_groups = x.k_padded / kGroupAct;
  for_each_tile(w, tile_begin, tile_end, [&](const LinearPart& part, int tile_in_part, int tile) {
    const auto* codes =
        static_cast<const uint8_t*>(part.codes) + tile_in_part * tile_bytes(w.format, k_padded);
    for (int m = 0; m < rows; ++m) {
      f32x4 low = {}, high = {};
      for (int r = 0; r < kTileRows; ++r) {
        float total = 0.0f;
        for (int g = 0; g < groups; ++g) {
          const int64_t weight_group = (int64_t{tile_in_part} * groups + g) * kTileRows + r;
          const int zero = u4 ? part.zeros[weight_group] : kZeroU8;
          float group = 0.0f;
          for (int k = g * group_inputs; k < (g + 1) * group_inputs; k += kGroupAct) {
            const int64_t at = m * x_groups + k / kGroupAct;
            const int32_t acc =
                dot_group(w, codes, r, k, zero, x.codes + at * kGroupAct, x.sums[at]);
            float value = static_cast<float>(acc) * x.scales[at];
            if (x.has_fine[at]) {
              const int32_t fine =
                  dot_group(w, codes, r, k, zero, x.fine + at * kGroupAct, x.fine_sums[at]);
              value += static_cast<float>(fine) * x.fine_scales[at];
            }
            group += value;
          }
          total +=
              f16x4_to_f32(load<u16x4>(part.scales + (weight_group & ~int64_t{3})))[r & 3] * group;
        }
        (r < 4 ? low : high)[r & 3] = total;
      }
      store_tile(w, tile, low, high, y + m * y_stride);
    }
  });
}

}  // namespace ocelli
