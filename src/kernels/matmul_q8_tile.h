// The loops that the SIMD tiers of matmul_q8 share; a tier supplies only integer dot products.
// Lanes are output rows, so the float order is the scalar one. Surprise: everything is written as
// pairs of vectors on adjacent addresses (rows 0-3 and 4-7), in loops without branches, because V8
// then turns each pair into one 256-bit operation (README.md, "Revectorisation").
#pragma once

#include "kernels/matmul.h"
#include "kernels/tiles.h"

namespace ocelli {

// Lane i: a[2i] * b[2i] + a[2i+1] * b[2i+1].
OCELLI_INLINE i32x4 dot_i16x8(i16x8 a, i16x8 b) {
#if defined(__wasm_simd128__)
  return (i32x4)__builtin_wasm_dot_s_i32x4_i16x8(a, b);
#elif defined(__SSE2__)
  return (i32x4)__builtin_ia32_pmaddwd128(a, b);
#else
  i32x4 out;
  for (int i = 0; i < 4; ++i) out[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return out;
#endif
}

OCELLI_INLINE i32x4 splat_i32(int32_t value) { return i32x4{value, value, value, value}; }

// Eight of 0..255 as floats, without an integer conversion: 2^23 + value has the value in its low
// bits.
OCELLI_INLINE F32x8 u8x8_to_f32(const uint8_t* from) {
  typedef uint8_t u8x8 __attribute__((vector_size(8)));
  const U32x8 wide = widen(__builtin_convertvector(load<u8x8>(from), u16x8));
  return {(f32x4)(wide.low | 0x4b000000u) - 0x1p23f, (f32x4)(wide.high | 0x4b000000u) - 0x1p23f};
}

// Keeps the compiler from rewriting `pointer` as base + index: vector pairs are recognised by one
// base with constant offsets.
template <class T>
OCELLI_INLINE void keep_pointer(T*& pointer) {
  asm("" : "+r"(pointer));
}

inline constexpr int kPanelRows = 64;  // rows whose codes stay in the cache while tiles pass by
inline constexpr int kFineTokens = 4;

struct TileQ8 {
  const uint8_t* codes;
  const uint16_t* scales;  // [groups, 8] f16
  const uint8_t* zeros;    // [groups, 8], u4 only
  int groups;
  int groups_ahead;  // from here to what is needed next, the following tile; 0: none follows
};

// Brings the cache line at `from` nearer; WebAssembly has no other way to say so. Reading memory in
// order alone leaves a CPU waiting: README.md, "One row".
OCELLI_INLINE void touch(const void* from) { (void)*static_cast<const volatile uint8_t*>(from); }

template <bool kIsU4>
inline constexpr int kCellBytes = kGroupAct * (kIsU4 ? 4 : 8);  // codes of 32 inputs x 8 rows

// What add_u8 adds to: the tokens' offsets, or 0 where the tier takes code - 128 itself.
template <class Tier, int T>
OCELLI_INLINE void start_u8(const int32_t* offsets, i32x4 (*acc)[2]) {
  for (int t = 0; t < T; ++t) {
    acc[t][0] = acc[t][1] = Tier::kNeedsOffsets ? splat_i32(offsets[t]) : i32x4{};
  }
}

// acc[t][h], lane r: the exact sum over 32 inputs for row 4h + r and token t; tokens lie side by
// side. u4: code * x. u8: (code - 128) * x, from offsets, the tokens' -128 * sum(x).
template <class Tier, bool kIsU4, int T>
OCELLI_INLINE void dot_group(const uint8_t* cells, const int8_t* x, const int32_t* offsets,
                             i32x4 (*acc)[2]) {
  if constexpr (kIsU4) {
    Tier::template dot_u4<T>(cells, x, acc);
  } else {
    start_u8<Tier, T>(offsets, acc);
    Tier::template add_u8<T, kGroupAct / 4>(cells, x, acc);
  }
}

// T tokens from row m on against one tile, without fine passes and bias.   y  // T rows of 8
template <class Tier, bool kIsU4, int T>
OCELLI_NOINLINE void tile_rows(const TileQ8& tile, const QuantizedRows& x, int m, float* y,
                               int64_t y_stride) {
  constexpr int kSteps = (kIsU4 ? kGroupU4 : kGroupU8) / kGroupAct;
  const uint8_t *cells = tile.codes, *zeros = tile.zeros;
  const uint8_t* cells_ahead = cells + int64_t{tile.groups_ahead} * kSteps * kCellBytes<kIsU4>;
  const int64_t side_ahead = int64_t{tile.groups_ahead} * kTileRows;
  const uint16_t* scales = tile.scales;
  const int64_t rows = x.rows;
  const int8_t* codes = x.codes + int64_t{m} * kGroupAct;
  const float *x_scales = x.scales + m, *sums = x.sums + m;
  const int32_t* offsets = x.offsets + m;
  f32x4 total[T][2] = {};
  for (int g = 0; g < tile.groups; ++g) {
    f32x4 group[T][2] = {};
#pragma clang loop unroll(disable)
    for (int step = 0; step < kSteps; ++step) {
      keep_pointer(cells);
      if constexpr (T <= 2) {
        for (int line = 0; line < kCellBytes<kIsU4>; line += 64) touch(cells_ahead + line);
        cells_ahead += kCellBytes<kIsU4>;
      }
      i32x4 acc[T][2];
      dot_group<Tier, kIsU4, T>(cells, codes, offsets, acc);
      for (int t = 0; t < T; ++t) {
        const float scale = x_scales[t];
        group[t][0] += __builtin_convertvector(acc[t][0], f32x4) * scale;
        group[t][1] += __builtin_convertvector(acc[t][1], f32x4) * scale;
      }
      cells += kCellBytes<kIsU4>;
      codes += rows * kGroupAct;
      x_scales += rows;
      offsets += rows;
    }
    const F32x8 scale = scales_to_f32(scales);
    if constexpr (T <= 2) {
      touch(scales + side_ahead);
      if constexpr (kIsU4) touch(zeros + side_ahead);
    }
    scales += kTileRows;
    if constexpr (kIsU4) {
      const F32x8 zero = u8x8_to_f32(zeros);
      for (int t = 0; t < T; ++t) {
        const float sum = sums[t];
        group[t][0] -= zero.low * sum;
        group[t][1] -= zero.high * sum;
      }
      zeros += kTileRows;
      sums += rows;
    }
    for (int t = 0; t < T; ++t) {
      total[t][0] += scale.low * group[t][0];
      total[t][1] += scale.high * group[t][1];
    }
  }
  for (int t = 0; t < T; ++t) {
    store(y + t * y_stride, total[t][0]);
    store(y + t * y_stride + 4, total[t][1]);
  }
}

// y of T tokens += the fine passes of the dense groups.
template <class Tier, bool kIsU4, int T>
OCELLI_NOINLINE void dense_fine_rows(const TileQ8& tile, const QuantizedRows& x, int m, float* y,
                                     int64_t y_stride) {
  constexpr int kSteps = (kIsU4 ? kGroupU4 : kGroupU8) / kGroupAct;
  const uint8_t* cells = tile.codes;
  const uint16_t* scales = tile.scales;
  const int64_t rows = x.rows;
  const int8_t* codes = x.fine + int64_t{m} * kGroupAct;
  const float* x_scales = x.fine_scales + m;
  const int32_t* offsets = x.fine_offsets + m;
  // Activations are padded to 128 inputs, u8 weights to 64.
  const int groups = std::min(x.dense_groups, tile.groups * kSteps);
  f32x4 total[T][2];
  for (int t = 0; t < T; ++t) {
    total[t][0] = load<f32x4>(y + t * y_stride);
    total[t][1] = load<f32x4>(y + t * y_stride + 4);
  }
  for (int g = 0; g < groups; g += kSteps) {
    const F32x8 scale = scales_to_f32(scales);
    const int steps = std::min(kSteps, groups - g);
#pragma clang loop unroll(disable)
    for (int step = 0; step < steps; ++step) {
      keep_pointer(cells);
      i32x4 acc[T][2];
      dot_group<Tier, kIsU4, T>(cells, codes, offsets, acc);
      for (int t = 0; t < T; ++t) {
        const float x_scale = x_scales[t];
        total[t][0] += scale.low * (__builtin_convertvector(acc[t][0], f32x4) * x_scale);
        total[t][1] += scale.high * (__builtin_convertvector(acc[t][1], f32x4) * x_scale);
      }
      cells += kCellBytes<kIsU4>;
      codes += rows * kGroupAct;
      x_scales += rows;
      offsets += rows;
    }
    scales += kTileRows;
  }
  for (int t = 0; t < T; ++t) {
    store(y + t * y_stride, total[t][0]);
    store(y + t * y_stride + 4, total[t][1]);
  }
}

// y of T tokens += the fine passes of one group, entries from `entry` on.
template <class Tier, bool kIsU4, int T>
OCELLI_INLINE void add_fine(const uint8_t* cells, const uint16_t* scales, const QuantizedRows& x,
                            int32_t entry, int m, float* y, int64_t y_stride) {
  i32x4 acc[T][2];
  dot_group<Tier, kIsU4, T>(cells, x.fine + int64_t{entry} * kGroupAct, x.fine_offsets + entry,
                            acc);
  const F32x8 scale = scales_to_f32(scales);
  for (int t = 0; t < T; ++t) {
    const float x_scale = x.fine_scales[entry + t];
    float* to = y + (x.fine_row[entry + t] - m) * y_stride;
    const f32x4 before_low = load<f32x4>(to), before_high = load<f32x4>(to + 4);
    store(to, before_low + scale.low * (__builtin_convertvector(acc[t][0], f32x4) * x_scale));
    store(to + 4, before_high + scale.high * (__builtin_convertvector(acc[t][1], f32x4) * x_scale));
  }
}

// The fine passes of rows [m, m + count) against one tile, in the groups that are not dense.
template <class Tier, bool kIsU4>
OCELLI_NOINLINE void fine_rows(const TileQ8& tile, const QuantizedRows& x, int m, int count,
                               float* y, int64_t y_stride) {
  constexpr int kSteps = (kIsU4 ? kGroupU4 : kGroupU8) / kGroupAct;
  for (int g = x.dense_groups; g < tile.groups * kSteps; ++g) {
    int32_t entry = x.fine_begin[g], end = x.fine_begin[g + 1];
    while (entry < end && x.fine_row[entry] < m) ++entry;
    while (end > entry && x.fine_row[end - 1] >= m + count) --end;
    if (entry == end) continue;
    const uint8_t* cells = tile.codes + int64_t{g} * kCellBytes<kIsU4>;
    const uint16_t* scales = tile.scales + int64_t{g / kSteps} * kTileRows;
    for (; entry + kFineTokens <= end; entry += kFineTokens) {
      add_fine<Tier, kIsU4, kFineTokens>(cells, scales, x, entry, m, y, y_stride);
    }
    switch (end - entry) {
      case 3:
        add_fine<Tier, kIsU4, 3>(cells, scales, x, entry, m, y, y_stride);
        break;
      case 2:
        add_fine<Tier, kIsU4, 2>(cells, scales, x, entry, m, y, y_stride);
        break;
      case 1:
        add_fine<Tier, kIsU4, 1>(cells, scales, x, entry, m, y, y_stride);
        break;
      default:
        break;
    }
  }
}

// Calls visit.template operator()<T>(t) for tiles of T tokens that cover [0, count).
template <int kTokens, class F>
OCELLI_INLINE void for_each_token_tile(int count, F&& visit) {
  int t = 0;
  if constexpr (kTokens == 8) {
    for (; t + 8 <= count; t += 8) visit.template operator()<8>(t);
  }
  for (; t + 4 <= count; t += 4) visit.template operator()<4>(t);
  if (count - t == 3) visit.template operator()<3>(t);
  if (count - t == 2) visit.template operator()<2>(t);
  if (count - t == 1) visit.template operator()<1>(t);
}

// Rows [m, m + count) against one tile, without the bias.
template <class Tier, bool kIsU4>
OCELLI_INLINE void panel_rows(const TileQ8& tile, const QuantizedRows& x, int m, int count,
                              float* y, int64_t y_stride) {
  for_each_token_tile<Tier::kTokens>(count, [&]<int T>(int t) {
    tile_rows<Tier, kIsU4, T>(tile, x, m + t, y + t * y_stride, y_stride);
    if (x.dense_groups > 0)
      dense_fine_rows<Tier, kIsU4, T>(tile, x, m + t, y + t * y_stride, y_stride);
  });
  if (x.fine_begin[x.groups()] > x.fine_begin[x.dense_groups])
    fine_rows<Tier, kIsU4>(tile, x, m, count, y, y_stride);
}

template <class Tier, bool kIsU4>
void matmul_q8_loops(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                     int rows, float* y, int64_t y_stride) {
  OCELLI_CHECK(rows <= x.rows && x.k_padded >= w.k_padded());
  const int k_padded = w.k_padded();
  const int groups = k_padded / (kIsU4 ? kGroupU4 : kGroupU8);
  const int64_t bytes = tile_bytes(w.format, k_padded);
  alignas(16) float ragged[kPanelRows * kTileRows];
  for (int m = 0; m < rows; m += kPanelRows) {
    const int count = std::min(kPanelRows, rows - m);
    for_each_tile(w, tile_begin, tile_end, [&](const LinearPart& part, int tile_in_part, int tile) {
      const int64_t group = int64_t{tile_in_part} * groups * kTileRows;
      const uint8_t* at = static_cast<const uint8_t*>(part.codes) + tile_in_part * bytes;
      const TileQ8 tile_q8 = {at, part.scales + group, kIsU4 ? part.zeros + group : nullptr, groups,
                              tile_in_part + 1 < part.tiles ? groups : 0};
      const int n = tile * kTileRows;
      float* to = y + m * y_stride + n;
      const bool whole = n + kTileRows <= w.n;
      float* sums = whole ? to : ragged;
      const int64_t stride = whole ? y_stride : kTileRows;
      panel_rows<Tier, kIsU4>(tile_q8, x, m, count, sums, stride);
      if (whole && w.bias == nullptr) return;
      for (int t = 0; t < count; ++t) {
        const float* sum = sums + t * stride;
        store_tile(w, tile, load<f32x4>(sum), load<f32x4>(sum + 4), to + t * y_stride - n);
      }
    });
  }
}

}  // namespace ocelli
