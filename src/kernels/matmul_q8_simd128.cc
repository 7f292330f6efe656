// matmul_q8 on 16-bit products (i32x4.dot_i16x8_s, pmaddwd): any wasm with SIMD, and native builds.
// Surprise: codes are not widened. A 16-byte vector read as 16-bit lanes holds inputs 0 and 2 of
// each row in its even bytes and 1 and 3 in its odd ones; masks and shifts take them apart, and
// activations come in the same pairing, so a dot product is already one row per 32-bit lane. Rows
// of 15 bits fit in the 16-bit lanes: one pass for both of their streams.
#include "kernels/matmul_q8_tiers.h"

#if defined(OCELLI_TIER_SIMD128)

#include "kernels/attention_q8_tile.h"
#include "kernels/matmul_q8_tile.h"

namespace ocelli {
namespace {

// Inputs (0, 2) and (1, 3) of four int8 activations, as 16-bit pairs in every lane.
struct Pairs {
  i16x8 even, odd;
};

OCELLI_INLINE Pairs load_pairs(const int8_t* x) {
  const i16x8 bytes = (i16x8)splat_i32(load<int32_t>(x));
  return {(i16x8)(bytes << 8) >> 8, bytes >> 8};
}

// Weights of rows 0-3 or 4-7 of a cell in the activations' pairing; of u4, inputs 4 * part to + 3.
template <bool kIsU4>
OCELLI_INLINE Pairs load_weights(const uint8_t* cell, int part) {
  const u16x8 codes = load<u16x8>(cell);
  if constexpr (!kIsU4) return {(i16x8)(codes & 255), (i16x8)(codes >> 8)};
  if (part == 0) return {(i16x8)(codes & 15), (i16x8)((codes >> 8) & 15)};
  return {(i16x8)((codes >> 4) & 15), (i16x8)(codes >> 12)};
}

OCELLI_INLINE i32x4 dot(const Pairs& a, const Pairs& b) {
  return dot_i16x8(a.even, b.even) + dot_i16x8(a.odd, b.odd);
}

struct Simd128 {
  static constexpr int kStreams = 4;
  static constexpr bool kNeedsOffsets = true, kTakesPairs = true;
  template <bool kIsU4, int>
  static constexpr int cells_at_once() {
    return kIsU4 ? 1 : 2;
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u4(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                                   i32x4 (*acc)[S][2]) {
    add<true, R, S, kCells>(cells, acc,
                            [x](int s, int i) { return load_pairs(x + s * kStride + i); });
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                                   i32x4 (*acc)[S][2]) {
    add<false, R, S, kCells>(cells, acc,
                             [x](int s, int i) { return load_pairs(x + s * kStride + i); });
  }

  // Rows as QuantizedRows::pairs.
  template <bool kIsU4, int R, int S, int kCells>
  OCELLI_INLINE static void add_pairs(const uint8_t* const* cells, const int16_t* x,
                                      i32x4 (*acc)[S][2]) {
    add<kIsU4, R, S, kCells>(cells, acc, [x](int s, int i) {
      const int16_t* four = x + s * kGroupAct + i;
      return Pairs{(i16x8)splat_i32(load<int32_t>(four)),
                   (i16x8)splat_i32(load<int32_t>(four + 2))};
    });
  }

  // Attention's queries as pairs of 15 bits.
  static constexpr int kKeys = 4;
  static U32x8 pack(U32x8 codes) {
    const i16x8 low = (i16x8)codes.low;
    const u16x8 high = (u16x8)codes.high;
    return {(u32x4)(((i16x8)(low << 8) >> 8) + (i16x8)(high << 8)),
            (u32x4)((low >> 8) + (i16x8)(high & 0xff00))};
  }

  template <int K>
  OCELLI_INLINE static void score(const uint8_t* keys, const uint8_t* codes, const int32_t* starts,
                                  i32x4 (*acc)[2]) {
    for (int k = 0; k < K; ++k) {
      acc[k][0] = load<i32x4>(starts);
      acc[k][1] = load<i32x4>(starts + 4);
    }
#pragma clang loop unroll(disable)
    for (int c = 0; c < kKeyBlock; c += 4) {
      const Pairs low = {load<i16x8>(codes), load<i16x8>(codes + kQuadBytes)};
      const Pairs high = {load<i16x8>(codes + 16), load<i16x8>(codes + kQuadBytes + 16)};
      for (int k = 0; k < K; ++k) {
        const u16x8 bytes = (u16x8)splat_i32(load<int32_t>(keys + 4 * k));
        const Pairs key = {(i16x8)(bytes & 255), (i16x8)(bytes >> 8)};
        acc[k][0] += dot(low, key);
        acc[k][1] += dot(high, key);
      }
      keys += kTileQuadBytes;
      codes += 2 * kQuadBytes;
    }
  }

  template <int K>
  OCELLI_INLINE static void mix(const uint8_t* values, const uint8_t* weights, i32x4 (*acc)[2]) {
    for (int quad = 0; quad < kKvBlock / 4; ++quad) {
      const uint8_t* from = weights + quad * kQuadBytes;
      const Pairs low = load_weights<false>(from, 0), high = load_weights<false>(from + 16, 0);
      for (int k = 0; k < K; ++k) {
        const Pairs value =
            load_pairs(reinterpret_cast<const int8_t*>(values) + quad * kTileQuadBytes + 4 * k);
        acc[k][0] += dot(low, value);
        acc[k][1] += dot(high, value);
      }
    }
  }

 private:
  // pairs(s, i): inputs i to i + 3 of row s.
  template <bool kIsU4, int R, int S, int kCells, class F>
  OCELLI_INLINE static void add(const uint8_t* const* cells, i32x4 (*acc)[S][2], F&& pairs) {
    constexpr int kParts = kIsU4 ? 2 : 1;
    for (int cell = 0; cell < kCells; ++cell) {
      for (int r = 0; r < R; ++r) {
        const uint8_t* from = cells[r] + kCellBytes * cell;
        for (int part = 0; part < kParts; ++part) {
          const Pairs low = load_weights<kIsU4>(from, part),
                      high = load_weights<kIsU4>(from + 16, part);
          for (int s = 0; s < S; ++s) {
            const Pairs x = pairs(s, 4 * (kParts * cell + part));
            acc[r][s][0] += dot(low, x);
            acc[r][s][1] += dot(high, x);
          }
        }
      }
    }
  }
};

constexpr MatmulQ8Tier kTier = {"simd128", matmul_q8_loops<Simd128, true>,
                                matmul_q8_loops<Simd128, false>, attention_q8_loops<Simd128>};

}  // namespace

std::span<const MatmulQ8Tier> matmul_q8_tiers() { return {&kTier, 1}; }

}  // namespace ocelli

#endif
