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

// Weights of R tiles in cell `cell`.
template <int R, class F>
OCELLI_INLINE void load_cells(const uint8_t* const* cells, int cell, Nibbles* out, F&& take) {
  for (int r = 0; r < R; ++r) {
    const uint8_t* from = cells[r] + kCellBytes * cell;
    out[r] = {take(load<u32x4>(from)), take(load<u32x4>(from + 16))};
  }
}
OCELLI_INLINE Nibbles low_nibbles(const Nibbles& w, const U32x8& masks) {
  return {w.low & masks.low, w.high & masks.high};
}
OCELLI_INLINE Nibbles high_nibbles(const Nibbles& w, const U32x8& masks) {
  return {(w.low >> 4) & masks.low, (w.high >> 4) & masks.high};
}

// Calls add(nibbles of R tiles, the activations that they meet) for both halves of each cell of u4.
template <int R, int kCells, class F>
OCELLI_INLINE void for_each_nibbles(const uint8_t* const* cells, const int8_t* x,
                                    const U32x8& masks, F&& add) {
#pragma clang loop unroll(full)
  for (int cell = 0; cell < kCells; ++cell) {
    Nibbles both[R], one[R];
    load_cells<R>(cells, cell, both, [](u32x4 bytes) { return bytes; });
    for (int r = 0; r < R; ++r) one[r] = low_nibbles(both[r], masks);
    add(one, x + 8 * cell);
    for (int r = 0; r < R; ++r) one[r] = high_nibbles(both[r], masks);
    add(one, x + 8 * cell + 4);
  }
}

OCELLI_INLINE u32x4 splat_codes(const uint8_t* codes) {
  return (u32x4)wasm_v128_load32_splat(codes);
}

// Weights of 7 bits have no sign to misread, and pair sums with them stay below 2 * 127 * 128: they
// cannot saturate.
template <int K>
OCELLI_INLINE void mix_values(const uint8_t* values, const uint8_t* weights, i32x4 (*acc)[2]) {
#pragma clang loop unroll(full)
  for (int quad = 0; quad < kKvBlock / 4; ++quad) {
    const u32x4 low = load<u32x4>(weights + quad * kQuadBytes);
    const u32x4 high = load<u32x4>(weights + quad * kQuadBytes + 16);
    for (int k = 0; k < K; ++k) {
      const i32x4 value = (i32x4)splat_codes(values + quad * kTileQuadBytes + 4 * k);
      acc[k][0] = relaxed_dot(value, low, acc[k][0]);
      acc[k][1] = relaxed_dot(value, high, acc[k][1]);
    }
  }
}

// Engines with one instruction for four products and their 32-bit sum, over the whole range of 8
// bits: u8 codes go in directly, or as code - 128 where bytes are signed.
template <bool kSigned>
struct Wide {
  static constexpr int kStreams = 8;
  static constexpr bool kNeedsOffsets = !kSigned, kTakesPairs = false;
  // More would spill.
  template <bool kIsU4, int kAccumulators>
  static constexpr int cells_at_once() {
    return (kAccumulators >= 8 ? 1 : kAccumulators >= 4 ? 2 : 4) * (kIsU4 ? 1 : 2);
  }

  template <int R, int S, int kStride>
  OCELLI_INLINE static void add_dots(const Nibbles* weights, const int8_t* x, i32x4 (*acc)[S][2]) {
#pragma clang loop unroll(full)
    for (int s = 0; s < S; ++s) {
      const i32x4 value = splat_x(x + kStride * s);
#pragma clang loop unroll(full)
      for (int r = 0; r < R; ++r) {
        acc[r][s][0] = relaxed_dot(value, weights[r].low, acc[r][s][0]);
        acc[r][s][1] = relaxed_dot(value, weights[r].high, acc[r][s][1]);
      }
    }
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u4(const uint8_t* const* cells, const int8_t* x, const U32x8& masks,
                                   i32x4 (*acc)[S][2]) {
    for_each_nibbles<R, kCells>(
        cells, x, masks,
        [&](const Nibbles* weights, const int8_t* from)
            __attribute__((always_inline)) { add_dots<R, S, kStride>(weights, from, acc); });
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                                   i32x4 (*acc)[S][2]) {
#pragma clang loop unroll(full)
    for (int cell = 0; cell < kCells; ++cell) {
      Nibbles bytes[R];
      load_cells<R>(cells, cell, bytes, [](u32x4 four) {
        if constexpr (kSigned) four ^= 0x80808080u;
        return four;
      });
      add_dots<R, S, kStride>(bytes, x + 4 * cell, acc);
    }
  }

  static constexpr int kKeys = 4;
  static U32x8 pack(U32x8 codes) { return codes; }

  template <int K>
  OCELLI_INLINE static void score(const uint8_t* keys, const uint8_t* codes, const int32_t* starts,
                                  i32x4 (*acc)[2]) {
    i32x4 low[K][2], high[K][2];
    for (int k = 0; k < K; ++k) {
      low[k][0] = kSigned ? i32x4{} : load<i32x4>(starts);
      low[k][1] = kSigned ? i32x4{} : load<i32x4>(starts + 4);
      high[k][0] = high[k][1] = i32x4{};
    }
#pragma clang loop unroll_count(2)
    for (int c = 0; c < kKeyBlock; c += 4) {
      const i32x4 low_0 = load<i32x4>(codes), low_1 = load<i32x4>(codes + 16);
      const i32x4 high_0 = load<i32x4>(codes + 32), high_1 = load<i32x4>(codes + 48);
      for (int k = 0; k < K; ++k) {
        u32x4 key = splat_codes(keys + 4 * k);
        if constexpr (kSigned) key ^= 0x80808080u;
        low[k][0] = relaxed_dot(low_0, key, low[k][0]);
        low[k][1] = relaxed_dot(low_1, key, low[k][1]);
        high[k][0] = relaxed_dot(high_0, key, high[k][0]);
        high[k][1] = relaxed_dot(high_1, key, high[k][1]);
      }
      keys += kTileQuadBytes;
      codes += 2 * kQuadBytes;
    }
    for (int k = 0; k < K; ++k) {
      for (int h = 0; h < 2; ++h) acc[k][h] = low[k][h] + (high[k][h] << 8);
    }
  }

  template <int K>
  OCELLI_INLINE static void mix(const uint8_t* values, const uint8_t* weights, i32x4 (*acc)[2]) {
    mix_values<K>(values, weights, acc);
  }
};

// Engines that form pair sums in 16 bits: these stay below 3,841 for nibbles, so eight of them, a
// block of 32 inputs, are added in 16 bits and widened once. u8 codes are two nibbles.
struct Narrow {
  static constexpr int kStreams = 4;
  static constexpr bool kNeedsOffsets = true, kTakesPairs = false;
  template <bool kIsU4, int>
  static constexpr int cells_at_once() {
    return 32 / kCellInputs<kIsU4>;
  }

  // sums[r][s][h] += pair sums of 4 inputs.
  template <int R, int S, int kStride>
  OCELLI_INLINE static void add_pairs(const Nibbles* weights, const int8_t* x,
                                      i16x8 (*sums)[S][2]) {
#pragma clang loop unroll(full)
    for (int s = 0; s < S; ++s) {
      const v128_t value = (v128_t)splat_x(x + kStride * s);
#pragma clang loop unroll(full)
      for (int r = 0; r < R; ++r) {
        const v128_t low = (v128_t)weights[r].low, high = (v128_t)weights[r].high;
        sums[r][s][0] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(value, low);
        sums[r][s][1] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(value, high);
      }
    }
  }

  OCELLI_INLINE static i32x4 widen(i16x8 pairs) {
    return (i32x4)wasm_i32x4_extadd_pairwise_i16x8((v128_t)pairs);
  }

  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u4(const uint8_t* const* cells, const int8_t* x, const U32x8& masks,
                                   i32x4 (*acc)[S][2]) {
    static_assert(kCells <= 4);
    i16x8 sums[R][S][2] = {};
    for_each_nibbles<R, kCells>(
        cells, x, masks,
        [&](const Nibbles* weights, const int8_t* from)
            __attribute__((always_inline)) { add_pairs<R, S, kStride>(weights, from, sums); });
    for (int r = 0; r < R; ++r) {
      for (int s = 0; s < S; ++s) {
        acc[r][s][0] += widen(sums[r][s][0]);
        acc[r][s][1] += widen(sums[r][s][1]);
      }
    }
  }

  // Tile by tile and two streams at a time: more would spill.
  template <int R, int S, int kCells, int kStride>
  OCELLI_INLINE static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8& masks,
                                   i32x4 (*acc)[S][2]) {
    static_assert(kCells <= 8);
    for (int r = 0; r < R; ++r) {
      for (int s = 0; s < S; s += 2)
        add_planes<std::min(S, 2), kCells, kStride>(cells + r, x + kStride * s, masks, acc[r] + s);
    }
  }

  static constexpr int kKeys = 1;
  static U32x8 pack(U32x8 codes) { return codes; }

  // A key is two nibbles.
  template <int K>
  OCELLI_INLINE static void score(const uint8_t* keys, const uint8_t* codes, const int32_t* starts,
                                  i32x4 (*acc)[2]) {
    static_assert(K == 1);
    i16x8 low[2][2] = {}, high[2][2] = {};  // nibbles: of low and high bytes, lanes 0-3 and 4-7
#pragma clang loop unroll_count(2)
    for (int c = 0; c < kKeyBlock; c += 4) {
      const u32x4 key = splat_codes(keys);
      const v128_t low_key = (v128_t)(key & 0x0f0f0f0fu);
      const v128_t high_key = (v128_t)((key >> 4) & 0x0f0f0f0fu);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        const v128_t query = load<v128_t>(codes + 16 * i);
        low[i / 2][i % 2] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(query, low_key);
        high[i / 2][i % 2] += (i16x8)wasm_i16x8_relaxed_dot_i8x16_i7x16(query, high_key);
      }
      keys += kTileQuadBytes;
      codes += 2 * kQuadBytes;
    }
    for (int h = 0; h < 2; ++h) {
      const i32x4 low_byte = widen(low[0][h]) + (widen(high[0][h]) << 4);
      const i32x4 high_byte = widen(low[1][h]) + (widen(high[1][h]) << 4);
      acc[0][h] = load<i32x4>(starts + 4 * h) + low_byte + (high_byte << 8);
    }
  }

  template <int K>
  OCELLI_INLINE static void mix(const uint8_t* values, const uint8_t* weights, i32x4 (*acc)[2]) {
    mix_values<K>(values, weights, acc);
  }

 private:
  template <int S, int kCells, int kStride>
  OCELLI_INLINE static void add_planes(const uint8_t* const* cells, const int8_t* x,
                                       const U32x8& masks, i32x4 (*acc)[2]) {
    i16x8 low[1][S][2] = {}, high[1][S][2] = {};
#pragma clang loop unroll(full)
    for (int cell = 0; cell < kCells; ++cell) {
      Nibbles both;
      load_cells<1>(cells, cell, &both, [](u32x4 bytes) { return bytes; });
      const Nibbles low_one = low_nibbles(both, masks), high_one = high_nibbles(both, masks);
      add_pairs<1, S, kStride>(&low_one, x + 4 * cell, low);
      add_pairs<1, S, kStride>(&high_one, x + 4 * cell, high);
    }
    for (int s = 0; s < S; ++s) {
      for (int h = 0; h < 2; ++h) acc[s][h] += widen(low[0][s][h]) + (widen(high[0][s][h]) << 4);
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
