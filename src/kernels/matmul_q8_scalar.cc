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
    const auto at = [&](int g, int r) {
      return (int64_t{tile_in_part} * groups + g) * kTileRows + r;
    };
    for (int m = 0; m < rows; ++m) {
      for (int r = 0; r < std::min(kTileRows, w.n - tile * kTileRows); ++r) {
        // Exact sum of (code - zero) * x[i] over `count` inputs from k on.
        const auto dot = [&](int k, int count, const int8_t* from) {
          const int zero = u4 ? part.zeros[at(k / group_inputs, r)] : kZeroU8;
          int32_t acc = 0;
          for (int i = 0; i < count; ++i) acc += (code_at(w, codes, r, k + i) - zero) * from[i];
          return acc;
        };
        const auto scale_of = [&](int k) {
          return f16_to_f32(part.scales[at(k / group_inputs, r)]);
        };
        float total = w.bias != nullptr ? w.bias[tile * kTileRows + r] : 0.0f;
        for (int k = 0; k < k_padded; k += group_inputs) {
          const int64_t g = k / kGroupAct;
          const auto stream = [&](int64_t s) {
            return dot(k, group_inputs,
                       x.codes + (g * x.streams() + s) * kGroupAct + k % kGroupAct);
          };
          const int32_t acc = x.wide ? stream(2 * m) + stream(2 * m + 1) * 256 : stream(m);
          total += (scale_of(k) * x.scales[g * x.rows + m]) * static_cast<float>(acc);
        }
        for (int block = 0; !x.wide && block < k_padded / kPeakBlock; ++block) {
          for (int32_t e = x.peak_begin[block]; e < x.peak_begin[block + 1]; ++e) {
            if (x.peak_row[e] != m) continue;
            const int k = block * kPeakBlock;
            const int32_t acc = dot(k, kPeakBlock, x.peak_codes + int64_t{e} * kPeakBlock);
            total += (scale_of(k) * x.peak_scales[e]) * static_cast<float>(acc);
          }
        }
        y[m * y_stride + tile * kTileRows + r] = total;
      }
    }
  });
}

}  // namespace ocelli
