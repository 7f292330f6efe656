// matmul_q8 on relaxed integer dot products. Weights are the second operand, whose bytes an engine
// may read as it likes above 127: u4 codes are the same number everywhere, and for u8 codes and the
// width of the sums there is one tier per kind of engine (DotKind), found by a probe. All give the
// same integers.
#include "kernels/matmul_q8_tiers.h"

#if defined(OCELLI_TIER_RELAXED)

#include <wasm_simd128.h>

#include "kernels/attention_q8_tile.h"
#include "kernels/matmul_q8_tile.h"

namespace ocelli {
namespace {

OCELLI_INLINE i32x4 relaxed_dot(i32x4 x, u32x4 weights, i32x4 acc) {
  return (i32x4)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)x, (v128_t)weights, (v128_t)acc);
}

OCELLI_INLINE i32x4 splat_x(const int8_t* x) { return (i32x4)wasm_v128_load32_splat(x); }

struct Nibbles {
  u32x4 low, high;  // rows 0-3 and 4-7
};
OCELLI_INLINE Nibbles low_nibbles(u32x4 a, u32x4 b) { return {a & 0x0f0f0f0fu, b & 0x0f0f0f0fu}; }
OCELLI_INLINE Nibbles high_nibbles(u32x4 a, u32x4 b) {
  return {(a >> 4) & 0x0f0f0f0fu, (b >> 4) & 0x0f0f0f0fu};
}

// Engines with one instruction for four products and their 32-bit sum, over the whole range of 8
// bits: u8 codes go in directly, or as code - 128 where bytes are signed.
template <bool kSigned>
struct Wide {
  static constexpr int kTokens = 8;
  static constexpr bool kNeedsOffsets = !kSigned;

  template <int T>
  OCELLI_INLINE static void add_dots(Nibbles weights, const int8_t* x, i32x4 (*acc)[2]) {
#pragma clang loop unroll(full)
    for (int t = 0; t < T; ++t) {
      const i32x4 value = splat_x(x + kGroupAct * t);
      acc[t][0] = relaxed_dot(value, weights.low, acc[t][0]);
      acc[t][1] = relaxed_dot(value, weights.high, acc[t][1]);
    }
  }

  template <int T>
  OCELLI_INLINE static void dot_u4(const uint8_t* cells, const int8_t* x, i32x4 (*acc)[2]) {
    for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = i32x4{};
#pragma clang loop unroll(full)
    for (int cell = 0; cell < kGroupAct / 8; ++cell) {
      const u32x4 a = load<u32x4>(cells + 32 * cell), b = load<u32x4>(cells + 32 * cell + 16);
      add_dots<T>(low_nibbles(a, b), x + 8 * cell, acc);
      add_dots<T>(high_nibbles(a, b), x + 8 * cell + 4, acc);
    }
  }

  template <int T, int kCells>
  OCELLI_INLINE static void add_u8(const uint8_t* cells, const int8_t* x, i32x4 (*acc)[2]) {
#pragma clang loop unroll(full)
    for (int cell = 0; cell < kCells; ++cell) {
      u32x4 a = load<u32x4>(cells + 32 * cell), b = load<u32x4>(cells + 32 * cell + 16);
      if constexpr (kSigned) {
        a ^= 0x80808080u;
        b ^= 0x80808080u;
      }
      add_dots<T>({a, b}, x + 4 * cell, acc);
    }
  }
};

// Engines that form pair sums in 16 bits: these stay below 3,810 for nibbles, so eight of them, a
// whole group, can be added there before they are widened. u8 codes go as two nibble planes.
struct Narrow {
  static constexpr int kTokens = 4;
  static constexpr bool kNeedsOffsets = true;

  // sums[t][h] += pair sums of 4 inputs.
  template <int T>
  OCELLI_INLINE static void add_pairs(Nibbles weights, const int8_t* x, i16x8 (*sums)[2]) {
#pragma clang loop unroll(full)
    for (int t = 0; t < T; ++t) {
      const v128_t value = (v128_t)splat_x(x + kGroupAct * t);
      sums[t][0] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(value, (v128_t)weights.low);
      sums[t][1] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(value, (v128_t)weights.high);
    }
  }

  OCELLI_INLINE static i32x4 widen(i16x8 pairs) {
    return (i32x4)wasm_i32x4_extadd_pairwise_i16x8((v128_t)pairs);
  }

  template <int T>
  OCELLI_INLINE static void dot_u4(const uint8_t* cells, const int8_t* x, i32x4 (*acc)[2]) {
    i16x8 sums[T][2] = {};
#pragma clang loop unroll(full)
    for (int cell = 0; cell < kGroupAct / 8; ++cell) {
      const u32x4 a = load<u32x4>(cells + 32 * cell), b = load<u32x4>(cells + 32 * cell + 16);
      add_pairs<T>(low_nibbles(a, b), x + 8 * cell, sums);
      add_pairs<T>(high_nibbles(a, b), x + 8 * cell + 4, sums);
    }
    for (int t = 0; t < T; ++t) {
      acc[t][0] = widen(sums[t][0]);
      acc[t][1] = widen(sums[t][1]);
    }
  }

  // More than two tokens at a time would spill: two planes of two halves each.
  template <int T, int kCells>
  OCELLI_INLINE static void add_u8(const uint8_t* cells, const int8_t* x, i32x4 (*acc)[2]) {
    if constexpr (T > 2) {
      add_u8<2, kCells>(cells, x, acc);
      add_u8<T - 2, kCells>(cells, x + 2 * kGroupAct, acc + 2);
    } else {
      i16x8 low[T][2] = {}, high[T][2] = {};
#pragma clang loop unroll(full)
      for (int cell = 0; cell < kCells; ++cell) {
        const u32x4 a = load<u32x4>(cells + 32 * cell), b = load<u32x4>(cells + 32 * cell + 16);
        add_pairs<T>(low_nibbles(a, b), x + 4 * cell, low);
        add_pairs<T>(high_nibbles(a, b), x + 4 * cell, high);
      }
      for (int t = 0; t < T; ++t) {
        for (int h = 0; h < 2; ++h) acc[t][h] += widen(low[t][h]) + (widen(high[t][h]) << 4);
      }
    }
  }
};

enum class DotKind { kUnsigned, kSigned, kNarrow };

// How the engine reads the second operand's bytes above 127, by trying. Values from a generator at
// run time: constants would be folded by a compiler with rules of its own.
DotKind probe() {
  volatile uint32_t state = 1;
  bool is_unsigned = true, is_signed = true;
  for (int round = 0; round < 64; ++round) {
    alignas(16) int8_t x[16];
    alignas(16) uint8_t weights[16];
    for (int i = 0; i < 16; ++i) {
      state = state * 1664525u + 1013904223u;
      const uint32_t bits = state >> 8;
      // The first rounds hold extremes of one sign: the largest sums.
      x[i] = static_cast<int8_t>(round < 8 ? (round & 1 ? -127 : 127) : int(bits % 255u) - 127);
      weights[i] = static_cast<uint8_t>(round < 8 ? 255 - (round >> 1) : bits >> 8);
    }
    const i32x4 found = relaxed_dot(load<i32x4>(x), load<u32x4>(weights), splat_i32(round));
    for (int lane = 0; lane < 4; ++lane) {
      int32_t as_unsigned = round, as_signed = round;
      for (int i = 4 * lane; i < 4 * lane + 4; ++i) {
        as_unsigned += x[i] * weights[i];
        as_signed += x[i] * static_cast<int8_t>(weights[i]);
      }
      is_unsigned &= found[lane] == as_unsigned;
      is_signed &= found[lane] == as_signed;
    }
  }
  return is_unsigned ? DotKind::kUnsigned : is_signed ? DotKind::kSigned : DotKind::kNarrow;
}

template <class Tier>
constexpr MatmulQ8Tier tier(const char* name) {
  return {name, matmul_q8_loops<Tier, true>, matmul_q8_loops<Tier, false>,
          attention_q8_loops<Tier>};
}

constexpr MatmulQ8Tier kUnsignedFirst[] = {tier<Wide<false>>("relaxed, unsigned bytes"),
                                           tier<Narrow>("relaxed, 16-bit sums")};
constexpr MatmulQ8Tier kSignedFirst[] = {tier<Wide<true>>("relaxed, signed bytes"),
                                         tier<Narrow>("relaxed, 16-bit sums")};

}  // namespace

std::span<const MatmulQ8Tier> matmul_q8_tiers() {
  static const DotKind kind = probe();
  if (kind == DotKind::kUnsigned) return kUnsignedFirst;
  if (kind == DotKind::kSigned) return kSignedFirst;
  return std::span(kUnsignedFirst).last(1);
}

}  // namespace ocelli

#endif
