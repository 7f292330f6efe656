// matmul_q8 on 16-bit products (i32x4.dot_i16x8_s, pmaddwd): any wasm with SIMD, and native builds.
// Surprise: codes are not widened. A 16-byte vector read as 16-bit lanes holds inputs 0 and 2 of
// each row in its even bytes and 1 and 3 in its odd ones; masks and shifts take them apart, and
// activations come in the same pairing, so a dot product is already one row per 32-bit lane.
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

struct Simd128 {
  static constexpr int kStreams = 4;
  static constexpr bool kNeedsOffsets = true;
  template <bool kIsU4, int>
  static constexpr int cells_at_once() {
    return kIsU4 ? 1 : 2;
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u4(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                                   i32x4 (*acc)[S][2]) {
    for (int cell = 0; cell < kCells; ++cell) {
      for (int r = 0; r < R; ++r) {
        i16x8 weights[2][4];
        for (int h = 0; h < 2; ++h) {
          const u16x8 codes = load<u16x8>(cells[r] + kCellBytes * cell + 16 * h);
          weights[h][0] = (i16x8)(codes & 15);
          weights[h][1] = (i16x8)((codes >> 8) & 15);
          weights[h][2] = (i16x8)((codes >> 4) & 15);
          weights[h][3] = (i16x8)(codes >> 12);
        }
        for (int s = 0; s < S; ++s) {
          const Pairs a = load_pairs(x + s * kStride + 8 * cell);
          const Pairs b = load_pairs(x + s * kStride + 8 * cell + 4);
          for (int h = 0; h < 2; ++h) {
            acc[r][s][h] += (dot_i16x8(weights[h][0], a.even) + dot_i16x8(weights[h][1], a.odd)) +
                            (dot_i16x8(weights[h][2], b.even) + dot_i16x8(weights[h][3], b.odd));
          }
        }
      }
    }
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                                   i32x4 (*acc)[S][2]) {
    for (int cell = 0; cell < kCells; ++cell) {
      for (int r = 0; r < R; ++r) {
        for (int h = 0; h < 2; ++h) {
          const u16x8 codes = load<u16x8>(cells[r] + kCellBytes * cell + 16 * h);
          const i16x8 even = (i16x8)(codes & 255), odd = (i16x8)(codes >> 8);
          for (int s = 0; s < S; ++s) {
            const Pairs a = load_pairs(x + s * kStride + 4 * cell);
            acc[r][s][h] += dot_i16x8(even, a.even) + dot_i16x8(odd, a.odd);
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
