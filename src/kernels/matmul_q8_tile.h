// The loops that the SIMD tiers of matmul_q8 share; a tier supplies only integer dot products.
// Lanes are output rows, so the float order is the scalar one. Surprise: everything is written as
// pairs of vectors on adjacent addresses (rows 0-3 and 4-7), in loops without branches, because V8
// then turns each pair into one 256-bit operation (README.md, "Revectorisation").
#pragma once

#include <bit>

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

// Rows whose codes stay in the cache while tiles pass by: as many as have so many bytes, and a
// whole batch of decoding rows at least.
inline constexpr int kPanelBytes = 512 << 10, kPanelRowsMin = 32, kPanelRowsMax = 256;
inline int panel_rows_of(const QuantizedRows& x) {
  const int bytes = x.k_padded * (x.wide ? 2 : 1);
  return std::clamp(kPanelBytes / bytes / 8 * 8, kPanelRowsMin, kPanelRowsMax);
}

// Tiles that follow each other in memory.
struct TilesQ8 {
  const uint8_t* codes;
  const uint16_t* scales;  // [tiles, groups, 8] f16
  const uint8_t* zeros;    // [tiles, groups, 8], u4 only
  int groups;
  const float* bias;  // [tiles, 8] or null
};

template <bool kIsU4>
inline constexpr int kGroup = kIsU4 ? kGroupU4 : kGroupU8;
inline constexpr int kCellBytes = 32;  // one cell: 8 rows x 8 inputs of u4 or 4 of u8
template <bool kIsU4>
inline constexpr int kCellInputs = kIsU4 ? 8 : 4;
// Codes of a tile's group.
template <bool kIsU4>
inline constexpr int64_t kGroupBytes =
    tile_bytes(kIsU4 ? WeightFormat::kU4 : WeightFormat::kU8, kGroup<kIsU4>);

// The `index`-th of the tiles, alone.
template <bool kIsU4>
OCELLI_INLINE TilesQ8 tile_of(const TilesQ8& tiles, int index) {
  const int64_t groups = int64_t{index} * tiles.groups, side = groups * kTileRows;
  return {tiles.codes + groups * kGroupBytes<kIsU4>, tiles.scales + side,
          kIsU4 ? tiles.zeros + side : nullptr, tiles.groups,
          tiles.bias != nullptr ? tiles.bias + index * kTileRows : nullptr};
}

// 15 in every byte. From memory, because V8 would make the constant anew in each iteration.
OCELLI_INLINE U32x8 nibble_masks() {
  alignas(16) static const uint32_t kMasks[8] = {0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f,
                                                 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f};
  const uint32_t* from = kMasks;
  keep_pointer(from);
  return {load<u32x4>(from), load<u32x4>(from + 4)};
}

// acc of S streams = -zero * sum of their codes, in the 8 rows that `zeros` belong to.
template <int S>
OCELLI_INLINE void start_u4(const uint8_t* zeros, const int32_t* sums, i32x4 (*acc)[2]) {
  typedef uint8_t u8x8 __attribute__((vector_size(8)));
  const U32x8 zero = widen(__builtin_convertvector(load<u8x8>(zeros), u16x8));
  for (int s = 0; s < S; ++s) {
    // The upper halves of the sums meet zeros; the lower ones hold them: |sum| <= 128 * 128.
    const i16x8 sum = (i16x8)splat_i32(sums[s]);
    acc[s][0] = dot_i16x8((i16x8)zero.low, sum);
    acc[s][1] = dot_i16x8((i16x8)zero.high, sum);
  }
}

// acc of S streams = -128 * sum of their codes, or 0 where the tier takes code - 128 itself.
template <class Tier, int S>
OCELLI_INLINE void start_u8(const int32_t* sums, i32x4 (*acc)[2]) {
  for (int s = 0; s < S; ++s)
    acc[s][0] = acc[s][1] = Tier::kNeedsOffsets ? splat_i32(sums[s]) << 7 : i32x4{};
}

// Whether a tier multiplies rows of 15 bits in one pass, low and high stream together.
template <class Tier, bool kWide>
inline constexpr bool kOnePass = kWide && Tier::kTakesPairs;

// What an output takes from its streams' sums: 256 * high + low where they are two.
template <bool kWide>
OCELLI_INLINE f32x4 joined(const i32x4 (*acc)[2], int n, int h) {
  if constexpr (kWide)
    return __builtin_convertvector(acc[2 * n][h] + (acc[2 * n + 1][h] << 8), f32x4);
  else
    return __builtin_convertvector(acc[n][h], f32x4);
}

// Rows from m on, as many as S streams are, against R tiles, without peaks. R * S is at
// most 8, with streams that are joined 16: what the registers hold.   y  // rows of 8 * R
template <class Tier, bool kIsU4, bool kWide, int S, int R>
OCELLI_NOINLINE void tile_rows(const TilesQ8& tiles, const QuantizedRows& x, int m, float* y,
                               int64_t y_stride) {
  constexpr bool kJoined = kOnePass<Tier, kWide>, kTwoSums = kWide && !kJoined;
  constexpr int kRows = kWide ? S / 2 : S, kSums = kJoined ? kRows : S;
  constexpr int kCells = Tier::template cells_at_once<kIsU4, kSums * R>();
  constexpr int kSteps = kGroup<kIsU4> / kCellInputs<kIsU4> / kCells;
  const int groups = tiles.groups, side = groups * kTileRows;
  const int64_t streams = x.streams(), rows = x.rows;
  const int64_t first = kWide ? 2 * m : m;
  const uint8_t* cells[R];
  for (int r = 0; r < R; ++r) cells[r] = tile_of<kIsU4>(tiles, r).codes;
  const uint8_t* zeros = tiles.zeros;
  const uint16_t* scales = tiles.scales;
  const int8_t* codes = x.codes + first * kGroupAct;
  const int16_t* pairs = Tier::kTakesPairs ? x.pairs + int64_t{m} * kGroupAct : nullptr;
  const float* x_scales = x.scales + m;
  const int32_t* sums = (kIsU4 ? x.sums : x.block_sums) + first;
  const U32x8 masks = nibble_masks();
  alignas(16) static constexpr float kNoBias[kTileRows] = {};
  f32x4 total[R][kRows][2];
  for (int r = 0; r < R; ++r) {
    const float* bias = tiles.bias != nullptr ? tiles.bias + kTileRows * r : kNoBias;
    for (int n = 0; n < kRows; ++n) {
      total[r][n][0] = load<f32x4>(bias);
      total[r][n][1] = load<f32x4>(bias + 4);
    }
  }
  for (int g = 0; g < groups;) {
    const int end = std::min(g + kGroupAct / kGroup<kIsU4>, groups);
    for (; g < end; ++g) {
      i32x4 first_sums[R][S][2];
      if constexpr (kIsU4) {
        for (int r = 0; r < R; ++r) start_u4<S>(zeros + r * side, sums, first_sums[r]);
        zeros += kTileRows;
        sums += streams;
      } else {
        int32_t both[S];
        for (int s = 0; s < S; ++s) both[s] = sums[s] + sums[streams + s];
        for (int r = 0; r < R; ++r) start_u8<Tier, S>(both, first_sums[r]);
        sums += 2 * streams;
      }
      i32x4 acc[R][kSums][2];
      for (int r = 0; r < R; ++r) {
        for (int s = 0; s < kSums; ++s) {
          for (int h = 0; h < 2; ++h) {
            if constexpr (kJoined)
              acc[r][s][h] = first_sums[r][2 * s][h] + (first_sums[r][2 * s + 1][h] << 8);
            else
              acc[r][s][h] = first_sums[r][s][h];
          }
        }
      }
#pragma clang loop unroll(disable)
      for (int step = 0; step < kSteps; ++step) {
        for (int r = 0; r < R; ++r) keep_pointer(cells[r]);
        if constexpr (Tier::kTakesPairs)
          Tier::template add_pairs<kIsU4, R, kSums, kCells>(cells, pairs, acc);
        else if constexpr (kIsU4)
          Tier::template add_u4<R, S, kCells, kGroupAct>(cells, codes, masks, acc);
        else
          Tier::template add_u8<R, S, kCells, kGroupAct>(cells, codes, masks, acc);
        for (int r = 0; r < R; ++r) cells[r] += kCells * kCellBytes;
        if constexpr (Tier::kTakesPairs)
          pairs += kCells * kCellInputs<kIsU4>;
        else
          codes += kCells * kCellInputs<kIsU4>;
      }
      for (int r = 0; r < R; ++r) {
        const F32x8 scale = scales_to_f32(scales + r * side);
        for (int n = 0; n < kRows; ++n) {
          const float x_scale = x_scales[n];
          total[r][n][0] += (scale.low * x_scale) * joined<kTwoSums>(acc[r], n, 0);
          total[r][n][1] += (scale.high * x_scale) * joined<kTwoSums>(acc[r], n, 1);
        }
      }
      scales += kTileRows;
    }
    if constexpr (Tier::kTakesPairs)
      pairs += (rows - 1) * kGroupAct;
    else
      codes += (streams - 1) * kGroupAct;
    x_scales += rows;
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < kRows; ++n) {
      store(y + n * y_stride + kTileRows * r, total[r][n][0]);
      store(y + n * y_stride + kTileRows * r + 4, total[r][n][1]);
    }
  }
}

// y of S rows += their peaks in one block, entries from `entry` on: from the first eight inputs
// with high bytes to the last.
template <class Tier, bool kIsU4, int S>
OCELLI_INLINE void add_peaks(const uint8_t* cells, const F32x8& scale, const uint8_t* zeros,
                             const U32x8& masks, const QuantizedRows& x, int32_t entry, int m,
                             float* y, int64_t y_stride) {
  constexpr int kCells = Tier::template cells_at_once<kIsU4, Tier::kStreams>();
  constexpr int kInputs = kCells * kCellInputs<kIsU4>;
  uint32_t parts = 0;
  for (int s = 0; s < S; ++s) parts |= x.peak_parts[entry + s];
  const int begin = std::countr_zero(parts) * 8 / kInputs;
  const int end = (std::bit_width(parts) * 8 + kInputs - 1) / kInputs;
  i32x4 acc[1][S][2];
  const int8_t* codes = x.peak_codes + int64_t{entry} * kPeakBlock;
  if constexpr (kIsU4)
    start_u4<S>(zeros, x.peak_sums + entry, acc[0]);
  else
    start_u8<Tier, S>(x.peak_sums + entry, acc[0]);
  cells += begin * kCells * kCellBytes;
  codes += begin * kInputs;
#pragma clang loop unroll(disable)
  for (int step = begin; step < end; ++step) {
    keep_pointer(cells);
    if constexpr (kIsU4)
      Tier::template add_u4<1, S, kCells, kPeakBlock>(&cells, codes, masks, acc);
    else
      Tier::template add_u8<1, S, kCells, kPeakBlock>(&cells, codes, masks, acc);
    cells += kCells * kCellBytes;
    codes += kInputs;
  }
  for (int s = 0; s < S; ++s) {
    float* to = y + (x.peak_row[entry + s] - m) * y_stride;
    const float x_scale = x.peak_scales[entry + s];
    const f32x4 low = load<f32x4>(to), high = load<f32x4>(to + 4);
    store(to, low + (scale.low * x_scale) * joined<false>(acc[0], s, 0));
    store(to + 4, high + (scale.high * x_scale) * joined<false>(acc[0], s, 1));
  }
}

// Calls visit.template operator()<T>(t) for tiles of kMost, 4, 2 and 1 that cover [0, count).
template <int kMost, class F>
OCELLI_INLINE void for_each_part(int count, F&& visit) {
  int t = 0;
  for (; t + kMost <= count; t += kMost) visit.template operator()<kMost>(t);
  if constexpr (kMost > 4) {
    if (count - t >= 4) visit.template operator()<4>(t), t += 4;
  }
  if constexpr (kMost > 2) {
    if (count - t >= 2) visit.template operator()<2>(t), t += 2;
  }
  if constexpr (kMost > 1) {
    if (count - t >= 1) visit.template operator()<1>(t);
  }
}

// The peaks of rows [m, m + count) against one tile.
template <class Tier, bool kIsU4>
OCELLI_NOINLINE void peak_rows(const TilesQ8& tile, const QuantizedRows& x, int m, int count,
                               float* y, int64_t y_stride) {
  constexpr int kMany = Tier::kStreams, kBlocks = kGroup<kIsU4> / kPeakBlock;
  constexpr int kBytes = kPeakBlock / kCellInputs<kIsU4> * kCellBytes;
  const U32x8 masks = nibble_masks();
  for (const int32_t* at = x.peak_blocks; *at >= 0; ++at) {
    const int block = *at;
    int32_t entry = x.peak_begin[block];
    const int32_t end = x.peak_begin[block + 1];
    while (entry < end && x.peak_row[entry] < m) ++entry;
    const uint8_t* cells = tile.codes + int64_t{block} * kBytes;
    const int side = block / kBlocks * kTileRows;
    const uint8_t* zeros = kIsU4 ? tile.zeros + side : nullptr;
    const F32x8 scale = scales_to_f32(tile.scales + side);
    int32_t last = count == x.rows ? end : entry;
    while (last < end && x.peak_row[last] < m + count) ++last;
    // Where a channel stands out in all rows, as few do in every model, they go together.
    for (; last - entry >= kMany; entry += kMany)
      add_peaks<Tier, kIsU4, kMany>(cells, scale, zeros, masks, x, entry, m, y, y_stride);
    for (; entry < last; ++entry)
      add_peaks<Tier, kIsU4, 1>(cells, scale, zeros, masks, x, entry, m, y, y_stride);
  }
}

// Reads one byte of each cache line of a tile, all at once: a CPU then waits for many of them
// together, where the products would have it wait for few: README.md, "Memory".
template <bool kIsU4>
OCELLI_NOINLINE void fetch(const TilesQ8& tile) {
  const int64_t bytes = tile.groups * kGroupBytes<kIsU4>;
  const auto* from = static_cast<const volatile uint8_t*>(tile.codes);
#pragma clang loop unroll_count(4)
  for (int64_t at = 0; at < bytes; at += 64) (void)from[at];
}

// Rows [m, m + count) against R tiles, without peaks.
template <class Tier, bool kIsU4, bool kWide, int R>
OCELLI_INLINE void panel_rows(const TilesQ8& tiles, const QuantizedRows& x, int m, int count,
                              float* y, int64_t y_stride) {
  constexpr int kSums = kWide && !kOnePass<Tier, kWide> ? 2 : 1;  // of a row
  constexpr int kRows = std::max(1, Tier::kStreams / R / kSums);
  for_each_part<kRows>(count, [&]<int T>(int t) {
    tile_rows<Tier, kIsU4, kWide, kWide ? 2 * T : T, R>(tiles, x, m + t, y + t * y_stride,
                                                        y_stride);
  });
}

// The same for a run of tiles, `at_once` of them where there are as many.
template <class Tier, bool kIsU4, bool kWide>
void run_rows(const TilesQ8& tiles, int tiles_count, int at_once, const QuantizedRows& x, int m,
              int count, float* y, int64_t y_stride) {
  if (tiles_count == at_once) {
    if (at_once == 4) return panel_rows<Tier, kIsU4, kWide, 4>(tiles, x, m, count, y, y_stride);
    if (at_once == 2) return panel_rows<Tier, kIsU4, kWide, 2>(tiles, x, m, count, y, y_stride);
  }
  for (int r = 0; r < tiles_count; ++r) {
    const TilesQ8 one = tile_of<kIsU4>(tiles, r);
    if (count > 1) fetch<kIsU4>(one);
    panel_rows<Tier, kIsU4, kWide, 1>(one, x, m, count, y + r * kTileRows, y_stride);
  }
}

template <class Tier, bool kIsU4>
void matmul_q8_loops(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                     int rows, float* y, int64_t y_stride) {
  OCELLI_CHECK(rows <= x.rows && x.k_padded >= w.k_padded());
  const int groups = w.k_padded() / kGroup<kIsU4>;
  const bool has_peaks = !x.wide && x.peak_begin[x.blocks()] > 0;
  alignas(16) float ragged[kPanelRowsMax * kTileRows];
  const int panel = panel_rows_of(x);
  for (int m = 0; m < rows; m += panel) {
    const int count = std::min(panel, rows - m);
    const int streams = x.wide ? 2 * count : count;
    const int at_once = streams > 4 ? 1 : streams > 2 ? 2 : 4;
    const auto run = [&](const LinearPart& part, int tile_in_part, int tile, int tiles_count) {
      const float* bias = w.bias != nullptr ? w.bias + part.tile_begin * kTileRows : nullptr;
      const TilesQ8 all = {static_cast<const uint8_t*>(part.codes), part.scales, part.zeros, groups,
                           bias};
      const TilesQ8 tiles = tile_of<kIsU4>(all, tile_in_part);
      const int n = tile * kTileRows;
      float* to = y + m * y_stride + n;
      const bool whole = n + tiles_count * kTileRows <= w.n;
      float* sums = whole ? to : ragged;
      const int64_t stride = whole ? y_stride : kTileRows;
      if (x.wide)
        run_rows<Tier, kIsU4, true>(tiles, tiles_count, at_once, x, m, count, sums, stride);
      else
        run_rows<Tier, kIsU4, false>(tiles, tiles_count, at_once, x, m, count, sums, stride);
      for (int r = 0; r < tiles_count; ++r, sums += kTileRows) {
        if (has_peaks) peak_rows<Tier, kIsU4>(tile_of<kIsU4>(tiles, r), x, m, count, sums, stride);
        for (int t = 0; !whole && t < count; ++t)
          std::memcpy(to + t * y_stride, sums + t * stride, sizeof(float) * size_t(w.n - n));
      }
    };
    // The last tile may have fewer rows than eight; it goes alone.
    const int whole_end = std::min(tile_end, w.n / kTileRows);
    if (tile_begin < whole_end) for_each_run(w, tile_begin, whole_end, at_once, run);
    if (whole_end < tile_end) for_each_run(w, std::max(tile_begin, whole_end), tile_end, 1, run);
  }
}

}  // namespace ocelli
