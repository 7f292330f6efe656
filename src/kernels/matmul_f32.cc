// matmul_f32: every weight format through one f32 micro-kernel. A panel of 8 rows x 128 inputs
// becomes f32 on the stack and serves up to 64 tokens; lanes are output rows, so nothing is summed
// across lanes. Surprise: the accumulators live in memory between panels, which keeps one order
// over k for every number of rows.
#include "kernels/matmul.h"
#include "kernels/tiles.h"
#include "kernels/vec.h"

namespace ocelli {
namespace {

constexpr int kPanelInputs = 128;
constexpr int kRowsAtOnce = 64;

// acc[t] += W panel * x[t] for T tokens.   panel  // [count, 8] f32   acc  // [T, 8] f32
template <int T>
OCELLI_INLINE void panel_rows(const float* panel, int count, const float* x, int64_t x_stride,
                              float* acc) {
  f32x4 low[T], high[T];
  for (int t = 0; t < T; ++t) {
    low[t] = load<f32x4>(acc + kTileRows * t);
    high[t] = load<f32x4>(acc + kTileRows * t + 4);
  }
  for (int k = 0; k < count; ++k) {
    const f32x4 w_low = load<f32x4>(panel + kTileRows * k);
    const f32x4 w_high = load<f32x4>(panel + kTileRows * k + 4);
#pragma clang loop unroll(full)
    for (int t = 0; t < T; ++t) {
      const f32x4 value = splat(x[t * x_stride + k]);
      low[t] += w_low * value;
      high[t] += w_high * value;
    }
  }
  for (int t = 0; t < T; ++t) {
    store(acc + kTileRows * t, low[t]);
    store(acc + kTileRows * t + 4, high[t]);
  }
}

OCELLI_NOINLINE void panel_kernel(const float* panel, int count, const float* x, int rows,
                                  int64_t x_stride, float* acc) {
  int t = 0;
  for (; t + 4 <= rows; t += 4) {
    panel_rows<4>(panel, count, x + t * x_stride, x_stride, acc + kTileRows * t);
  }
  const float* rest = x + t * x_stride;
  switch (rows - t) {
    case 3:
      panel_rows<3>(panel, count, rest, x_stride, acc + kTileRows * t);
      break;
    case 2:
      panel_rows<2>(panel, count, rest, x_stride, acc + kTileRows * t);
      break;
    case 1:
      panel_rows<1>(panel, count, rest, x_stride, acc + kTileRows * t);
      break;
    default:
      break;
  }
}

// finish(tile, row, low, high) gets the sums of 8 outputs.
template <class F>
OCELLI_INLINE void sum_tiles(const Linear& w, int tile_begin, int tile_end, const float* x,
                             int rows, int64_t x_stride, F&& finish) {
  alignas(16) float panel[kPanelInputs * kTileRows];
  alignas(16) float acc[kRowsAtOnce * kTileRows];
  for_each_tile(w, tile_begin, tile_end, [&](const LinearPart& part, int tile_in_part, int tile) {
    for (int row = 0; row < rows; row += kRowsAtOnce) {
      const int count = std::min(kRowsAtOnce, rows - row);
      const float* x_rows = x + row * x_stride;
      std::memset(acc, 0, sizeof(float) * size_t(count) * kTileRows);
      for (int k = 0; k < w.k; k += kPanelInputs) {
        const int inputs = std::min(kPanelInputs, w.k - k);
        const float* weights = panel;
        if (w.format == WeightFormat::kF32) {
          weights =
              static_cast<const float*>(part.codes) + (int64_t{tile_in_part} * w.k + k) * kTileRows;
        } else {
          dequantize_panel(w, part, tile_in_part, k, inputs, panel);
        }
        panel_kernel(weights, inputs, x_rows + k, count, x_stride, acc);
      }
      for (int t = 0; t < count; ++t)
        finish(tile, row + t, load<f32x4>(acc + kTileRows * t),
               load<f32x4>(acc + kTileRows * t + 4));
    }
  });
}

}  // namespace

OCELLI_NOINLINE void matmul_f32(const Linear& w, int tile_begin, int tile_end, const float* x,
                                int rows, int64_t x_stride, float* y, int64_t y_stride) {
  sum_tiles(w, tile_begin, tile_end, x, rows, x_stride,
            [&](int tile, int row, f32x4 low, f32x4 high) {
              store_tile(w, tile, low, high, y + row * y_stride);
            });
}

OCELLI_NOINLINE void matmul_f32_add(const Linear& w, int tile_begin, int tile_end, const float* x,
                                    int rows, int64_t x_stride, float scale, float* y,
                                    int64_t y_stride) {
  sum_tiles(w, tile_begin, tile_end, x, rows, x_stride,
            [&](int tile, int row, f32x4 low, f32x4 high) {
              float* out = y + row * y_stride + tile * kTileRows;
              const int count = std::min(kTileRows, w.n - tile * kTileRows);
              for (int r = 0; r < count; ++r) out[r] += scale * (r < 4 ? low[r] : high[r - 4]);
            });
}

}  // namespace ocelli
