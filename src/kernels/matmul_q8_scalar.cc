// The specification of matmul_q8: plain loops, one output at a time. Compiled into every build,
// because the self test compares the SIMD tiers with it bit for bit.
#include "base/half.h"
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

// Exact sum over 32 inputs: code * x for u4, (code - 128) * x for u8.
int32_t dot_group(const Linear& w, const uint8_t* tile, int r, int k, const int8_t* x,
                  int32_t offset) {
  int32_t acc = w.format == WeightFormat::kU8 ? offset : 0;
  for (int i = 0; i < kGroupAct; ++i) acc += code_at(w, tile, r, k + i) * x[i];
  return acc;
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
  for_each_tile(w, tile_begin, tile_end, [&](const LinearPart& part, int tile_in_part, int tile) {
    const auto* codes =
        static_cast<const uint8_t*>(part.codes) + tile_in_part * tile_bytes(w.format, k_padded);
    const auto scale_of = [&](int g, int r) {
      return f16_to_f32(part.scales[(int64_t{tile_in_part} * groups + g) * kTileRows + r]);
    };
    for (int m = 0; m < rows; ++m) {
      f32x4 low = {}, high = {};
      for (int r = 0; r < kTileRows; ++r) {
        float total = 0.0f;
        for (int g = 0; g < groups; ++g) {
          float group = 0.0f;
          for (int k = g * group_inputs; k < (g + 1) * group_inputs; k += kGroupAct) {
            const int64_t at = int64_t{k / kGroupAct} * x.rows + m;
            const int32_t acc = dot_group(w, codes, r, k, x.codes + at * kGroupAct, x.offsets[at]);
            group += static_cast<float>(acc) * x.scales[at];
          }
          if (u4) {
            const int64_t zero_at = (int64_t{tile_in_part} * groups + g) * kTileRows + r;
            group -= static_cast<float>(part.zeros[zero_at]) * x.sums[int64_t{g} * x.rows + m];
          }
          total += scale_of(g, r) * group;
        }
        for (int g = 0; g < k_padded / kGroupAct; ++g) {
          for (int32_t e = x.fine_begin[g]; e < x.fine_begin[g + 1]; ++e) {
            if (x.fine_row[e] != m) continue;
            const int32_t acc = dot_group(w, codes, r, g * kGroupAct,
                                          x.fine + int64_t{e} * kGroupAct, x.fine_offsets[e]);
            total += scale_of(g * kGroupAct / group_inputs, r) *
                     (static_cast<float>(acc) * x.fine_scales[e]);
          }
        }
        (r < 4 ? low : high)[r & 3] = total;
      }
      store_tile(w, tile, low, high, y + m * y_stride);
    }
  });
}

}  // namespace ocelli
