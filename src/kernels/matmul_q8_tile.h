// The loops that the SIMD tiers of matmul_q8 share; a tier supplies only the integer dot products.
// Included by matmul_q8_simd128.cc and matmul_q8_relaxed.cc. Lanes are output rows, so the float
// order is the scalar one. Surprise: a fine pass runs for all tokens of the tile when one needs it;
// the others add an exact zero.
#pragma once

#include "kernels/matmul.h"
#include "kernels/tiles.h"

namespace ocelli {

typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));

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

struct TileQ8 {
  const uint8_t* codes;
  const uint16_t* scales;  // [groups, 8] f16
  const uint8_t* zeros;    // [groups, 8], u4 only
  int groups;
};

// Lane r of out[t][h] = sum over 32 inputs of (code - zero) * x for row 4h + r and token t.
template <class Tier, bool kIsU4, int T>
OCELLI_INLINE void dot_group(const uint8_t* cells, const i32x4* zero, const int8_t* x,
                             int64_t x_stride, const int32_t* sums, int64_t sums_stride,
                             i32x4 (*out)[2]) {
  if constexpr (kIsU4) {
    Tier::template dot_u4<T>(cells, x, x_stride, out);
  } else {
    Tier::template dot_u8<T>(cells, x, x_stride, out);
  }
  for (int t = 0; t < T; ++t) {
    // zero <= 128 and |sum| <= 4064: the upper 16 bits of a zero lane are 0, so this is zero * sum,
    // cheaper than a 32-bit multiplication.
    const i16x8 sum = (i16x8)splat_i32(sums[t * sums_stride]);
    out[t][0] -= dot_i16x8((i16x8)zero[0], sum);
    out[t][1] -= dot_i16x8((i16x8)zero[1], sum);
  }
}

// part[t] += the fine pass of one group. Out of line: rare, and it would cost the hot loop
// registers.
template <class Tier, bool kIsU4, int T>
OCELLI_NOINLINE void add_fine(const uint8_t* cells, const i32x4* zero, const QuantizedRows& x,
                              int64_t at, int64_t x_groups, f32x4 (*part)[2]) {
  i32x4 acc[T][2];
  dot_group<Tier, kIsU4, T>(cells, zero, x.fine + at * kGroupAct, x.k_padded, x.fine_sums + at,
                            x_groups, acc);
  for (int t = 0; t < T; ++t) {
    const float scale = x.fine_scales[at + t * x_groups];
    part[t][0] += __builtin_convertvector(acc[t][0], f32x4) * scale;
    part[t][1] += __builtin_convertvector(acc[t][1], f32x4) * scale;
  }
}

// T tokens from row m on against one tile.
template <class Tier, bool kIsU4, int T>
OCELLI_NOINLINE void tile_rows(const Linear& w, const TileQ8& tile_q8, int tile,
                               const QuantizedRows& x, int m, float* y, int64_t y_stride) {
  constexpr int kSteps = (kIsU4 ? kGroupU4 : kGroupU8) / kGroupAct;
  constexpr int kCellBytes = kGroupAct * (kIsU4 ? 4 : 8);  // codes of 32 inputs x 8 rows
  const int64_t x_groups = x.k_padded / kGroupAct;
  const uint8_t* cells = tile_q8.codes;
  int64_t at = m * x_groups;  // index of (row m, activation group)
  i32x4 zero[2] = {splat_i32(kZeroU8), splat_i32(kZeroU8)};
  f32x4 total[T][2] = {};
  for (int g = 0; g < tile_q8.groups; ++g) {
    if constexpr (kIsU4) {
      zero[0] = __builtin_convertvector(load<u8x4>(tile_q8.zeros + g * kTileRows), i32x4);
      zero[1] = __builtin_convertvector(load<u8x4>(tile_q8.zeros + g * kTileRows + 4), i32x4);
    }
    f32x4 group[T][2] = {};
    for (int step = 0; step < kSteps; ++step, ++at, cells += kCellBytes) {
      i32x4 acc[T][2];
      dot_group<Tier, kIsU4, T>(cells, zero, x.codes + at * kGroupAct, x.k_padded, x.sums + at,
                                x_groups, acc);
      f32x4 part[T][2];
      uint8_t fine = 0;
      for (int t = 0; t < T; ++t) {
        const float scale = x.scales[at + t * x_groups];
        part[t][0] = __builtin_convertvector(acc[t][0], f32x4) * scale;
        part[t][1] = __builtin_convertvector(acc[t][1], f32x4) * scale;
        fine |= x.has_fine[at + t * x_groups];
      }
      if (fine) [[unlikely]]
        add_fine<Tier, kIsU4, T>(cells, zero, x, at, x_groups, part);
      for (int t = 0; t < T; ++t) {
        group[t][0] += part[t][0];
        group[t][1] += part[t][1];
      }
    }
    const f32x4 low = f16x4_to_f32(load<u16x4>(tile_q8.scales + g * kTileRows));
    const f32x4 high = f16x4_to_f32(load<u16x4>(tile_q8.scales + g * kTileRows + 4));
    for (int t = 0; t < T; ++t) {
      total[t][0] += low * group[t][0];
      total[t][1] += high * group[t][1];
    }
  }
  for (int t = 0; t < T; ++t) {
    store_tile(w, tile, total[t][0], total[t][1], y + (m + t) * y_stride);
  }
}

template <class Tier, bool kIsU4>
OCELLI_INLINE void all_rows(const Linear& w, const TileQ8& tile_q8, int tile,
                            const QuantizedRows& x, int rows, float* y, int64_t y_stride) {
  int m = 0;
  for (; m + 4 <= rows; m += 4) {
    tile_rows<Tier, kIsU4, 4>(w, tile_q8, tile, x, m, y, y_stride);
  }
  switch (rows - m) {
    case 3:
      return tile_rows<Tier, kIsU4, 3>(w, tile_q8, tile, x, m, y, y_stride);
    case 2:
      return tile_rows<Tier, kIsU4, 2>(w, tile_q8, tile, x, m, y, y_stride);
    case 1:
      return tile_rows<Tier, kIsU4, 1>(w, tile_q8, tile, x, m, y, y_stride);
    default:
      return;
  }
}

template <class Tier>
OCELLI_INLINE void matmul_q8_tier(const Linear& w, int tile_begin, int tile_end,
                                  const QuantizedRows& x, int rows, float* y, int64_t y_stride) {
  const bool u4 = w.format == WeightFormat::kU4;
  OCELLI_CHECK(u4 || w.format == WeightFormat::kU8);
  OCELLI_CHECK(rows <= x.rows && x.k_padded >= w.k_padded());
  const int k_padded = w.k_padded();
  const int groups = k_padded / (u4 ? kGroupU4 : kGroupU8);
  const int64_t bytes = tile_bytes(w.format, k_padded);
  for_each_tile(w, tile_begin, tile_end, [&](const LinearPart& part, int tile_in_part, int tile) {
    const int64_t group = int64_t{tile_in_part} * groups * kTileRows;
    const TileQ8 tile_q8 = {static_cast<const uint8_t*>(part.codes) + tile_in_part * bytes,
                            part.scales + group, u4 ? part.zeros + group : nullptr, groups};
    if (u4) {
      all_rows<Tier, true>(w, tile_q8, tile, x, rows, y, y_stride);
    } else {
      all_rows<Tier, false>(w, tile_q8, tile, x, rows, y, y_stride);
    }
  });
}

}  // namespace ocelli
