// Walks the tiles of a Linear over its parts, and turns stretches of a tile into f32. Shared by the
// kernels that read weights; the byte layouts are those of models/FORMAT.md section 4.
#pragma once

#include <algorithm>

#include "base/check.h"
#include "kernels/vec.h"
#include "tensor/linear.h"

namespace ocelli {

// Calls visit(part, tile_in_part, tile, count) for runs of at most `most` tiles that cover
// [tile_begin, tile_end), in order. The tiles of a run follow each other in memory.
template <class F>
OCELLI_INLINE void for_each_run(const Linear& w, int tile_begin, int tile_end, int most,
                                F&& visit) {
  OCELLI_CHECK(tile_begin >= 0 && tile_end <= w.tiles());
  int tile = tile_begin;
  for (const LinearPart& part : w.parts) {
    const int end = std::min(part.tile_begin + part.tiles, tile_end);
    while (tile >= part.tile_begin && tile < end) {
      const int count = std::min(most, end - tile);
      visit(part, tile - part.tile_begin, tile, count);
      tile += count;
    }
  }
  OCELLI_CHECK(tile >= tile_end);
}

// Calls visit(part, tile_in_part, tile) for each tile in [tile_begin, tile_end), in order.
template <class F>
OCELLI_INLINE void for_each_tile(const Linear& w, int tile_begin, int tile_end, F&& visit) {
  for_each_run(w, tile_begin, tile_end, 1,
               [&](const LinearPart& part, int tile_in_part, int tile, int) {
                 visit(part, tile_in_part, tile);
               });
}

// A tile's eight weight scales, f16 -> f32. Exact for scales that are finite and not negative, as
// in every container (src/model/weights.cc checks); a third of the work of f16x8_to_f32.
OCELLI_INLINE F32x8 scales_to_f32(const uint16_t* from) {
  const U32x8 bits = load_u16x8(from);
  static constexpr float kFactor = 0x1p112f;
  const f32x4 factor = constant(kFactor);
  return {(f32x4)(bits.low << 13) * factor, (f32x4)(bits.high << 13) * factor};
}

// Writes y[8 * tile + r] = sum[r] + bias for the outputs that exist.
OCELLI_INLINE void store_tile(const Linear& w, int tile, f32x4 low, f32x4 high, float* y) {
  const int n = tile * kTileRows;
  if (w.bias != nullptr) {
    low += load<f32x4>(w.bias + n);
    high += load<f32x4>(w.bias + n + 4);
  }
  if (n + kTileRows <= w.n) {
    store(y + n, low);
    store(y + n + 4, high);
    return;
  }
  for (int r = 0; n + r < w.n; ++r) y[n + r] = r < 4 ? low[r] : high[r - 4];
}

// Inputs [k_begin, k_begin + count) of one tile as f32.   out  // [count rounded up to 8, 8] f32
// k_begin is a multiple of 128. Exact: every format's value fits in f32.
void dequantize_panel(const Linear& w, const LinearPart& part, int tile_in_part, int k_begin,
                      int count, float* out);

}  // namespace ocelli
