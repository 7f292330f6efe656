// Vectors of four f32 lanes and the few functions that every float kernel shares. Clang and GCC
// vector extensions, so that one source gives SSE, NEON and simd128. Surprise: bit equality across
// targets rests on -ffp-contract=off and on using nothing but IEEE add, mul, div, sqrt and
// conversions here.
#pragma once

#include <cstdint>
#include <cstring>

namespace ocelli {

typedef float f32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x4 __attribute__((vector_size(8)));
typedef uint8_t u8x4 __attribute__((vector_size(4)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef float f32x2 __attribute__((vector_size(8)));

#define OCELLI_NOINLINE __attribute__((noinline))
#define OCELLI_INLINE inline __attribute__((always_inline))

// Unaligned load and store; a memcpy of a constant size is one instruction everywhere.
template <class V>
OCELLI_INLINE V load(const void* from) {
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
}
template <class V>
OCELLI_INLINE void store(void* to, V value) {
  std::memcpy(to, &value, sizeof(V));
}

OCELLI_INLINE f32x4 splat(float value) { return f32x4{value, value, value, value}; }

// Keeps the compiler from rewriting `pointer` as base + index: vector pairs are recognised by one
// base with constant offsets.
template <class T>
OCELLI_INLINE void keep_pointer(T*& pointer) {
  asm("" : "+r"(pointer));
}

// splat(value) by a load: V8 builds a constant anew in each iteration of a loop, from five
// instructions or more, and the wider ones compete with shuffles for one port.
OCELLI_INLINE f32x4 constant(const float& value) {
  const float* from = &value;
  keep_pointer(from);
  return splat(*from);
}

OCELLI_INLINE f32x4 select(i32x4 mask, f32x4 yes, f32x4 no) {
  return (f32x4)(((i32x4)yes & mask) | ((i32x4)no & ~mask));
}

// The larger value; b where one is NaN.
OCELLI_INLINE f32x4 max(f32x4 a, f32x4 b) { return a > b ? a : b; }
OCELLI_INLINE f32x4 min(f32x4 a, f32x4 b) { return a < b ? a : b; }
OCELLI_INLINE f32x4 abs(f32x4 a) {
#if defined(__wasm_simd128__)
  return __builtin_wasm_abs_f32x4(a);
#else
  return (f32x4)((i32x4)a & 0x7fffffff);
#endif
}

// The fixed order of every sum over lanes: (0 + 1) + (2 + 3).
OCELLI_INLINE float sum_lanes(f32x4 a) { return (a[0] + a[1]) + (a[2] + a[3]); }
OCELLI_INLINE int32_t sum_lanes(i32x4 a) { return (a[0] + a[1]) + (a[2] + a[3]); }

OCELLI_INLINE float max_lanes(f32x4 a) {
  const float low = a[0] > a[1] ? a[0] : a[1], high = a[2] > a[3] ? a[2] : a[3];
  return low > high ? low : high;
}

// Eight values as two vectors.
struct U32x8 {
  u32x4 low, high;
};
struct F32x8 {
  f32x4 low, high;
};

OCELLI_INLINE U32x8 widen(u16x8 all) {
  return {__builtin_convertvector(__builtin_shufflevector(all, all, 0, 1, 2, 3), u32x4),
          __builtin_convertvector(__builtin_shufflevector(all, all, 4, 5, 6, 7), u32x4)};
}

// One load for both halves: of two extending loads V8 13, when it revectorises, may take the wrong
// address (README.md, "Revectorisation").
OCELLI_INLINE U32x8 load_u16x8(const uint16_t* from) { return widen(load<u16x8>(from)); }

// f16 bits -> f32, equal to f16_to_f32 in base/half.h.
OCELLI_INLINE f32x4 f16x4_to_f32(u32x4 wide) {
  const u32x4 rest = wide & 0x7fffu;
  const f32x4 magnitude = (f32x4)(rest << 13) * 0x1p112f;
  const u32x4 special = (u32x4)(rest >= 0x7c00u) & 0x7f800000u;
  return (f32x4)((u32x4)magnitude | special | ((wide & 0x8000u) << 16));
}
OCELLI_INLINE f32x4 f16x4_to_f32(u16x4 bits) {
  return f16x4_to_f32(__builtin_convertvector(bits, u32x4));
}
OCELLI_INLINE F32x8 f16x8_to_f32(const uint16_t* from) {
  const U32x8 bits = load_u16x8(from);
  return {f16x4_to_f32(bits.low), f16x4_to_f32(bits.high)};
}

// f32 -> f16 bits, round to nearest even, equal to f32_to_f16 in base/half.h.
OCELLI_INLINE u16x4 f32_to_f16x4(f32x4 value) {
  const u32x4 bits = (u32x4)value;
  const u32x4 rest = bits & 0x7fffffffu;
  const u32x4 small = (u32x4)((f32x4)rest + 0.5f) - 0x3f000000u;
  const u32x4 normal = (rest + 0xfffu + ((rest >> 13) & 1u) - 0x38000000u) >> 13;
  const u32x4 is_small = (u32x4)(rest < 0x38800000u);
  const u32x4 is_inf = (u32x4)(rest >= 0x47800000u);
  const u32x4 is_nan = (u32x4)(rest > 0x7f800000u);
  u32x4 out = (small & is_small) | (normal & ~is_small);
  out = (out & ~is_inf) | (0x7c00u & is_inf);
  out = (out & ~is_nan) | (0x7e00u & is_nan);
  out |= (bits >> 16) & 0x8000u;
  return __builtin_convertvector(out, u16x4);
}

OCELLI_INLINE f32x4 bf16x4_to_f32(u16x4 bits) {
  return (f32x4)(__builtin_convertvector(bits, u32x4) << 16);
}

// Nearest integer, ties to even, for |x| < 2^22: the sum has it in its low bits. WebAssembly's own
// conversion looks for NaN and overflow, in seven instructions.
OCELLI_INLINE i32x4 round_small(f32x4 x) {
  static constexpr float kMagic = 0x1.8p23f;
  const f32x4 magic = constant(kMagic);
  return (i32x4)(x + magic) - (i32x4)magic;
}

// Sixteen integers of -128..127 as bytes.
OCELLI_INLINE void store_i8x16(int8_t* to, i32x4 a, i32x4 b, i32x4 c, i32x4 d) {
#if defined(__wasm_simd128__)
  const i16x8 low = __builtin_wasm_narrow_s_i16x8_i32x4(a, b);
  const i16x8 high = __builtin_wasm_narrow_s_i16x8_i32x4(c, d);
  store(to, __builtin_wasm_narrow_s_i8x16_i16x8(low, high));
#else
  typedef int8_t i8x4 __attribute__((vector_size(4)));
  store(to, __builtin_convertvector(a, i8x4));
  store(to + 4, __builtin_convertvector(b, i8x4));
  store(to + 8, __builtin_convertvector(c, i8x4));
  store(to + 12, __builtin_convertvector(d, i8x4));
#endif
}

// e^x within 1e-7 relative. Below -87.3 it is 0 (no subnormal results), above 88.3 it stays at
// e^88.3; NaN stays NaN.
OCELLI_INLINE f32x4 exp_f32x4(f32x4 x) {
  // ln2 in two parts, so that n * high is exact; Taylor terms to r^7: the remainder is below 6e-9
  // relative on this interval.
  static constexpr float kLowest = -87.3f, kHighest = 88.3f, kRound = 0x1.8p23f;
  static constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  static constexpr float kTerms[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120,
                                     1.0f / 24,   1.0f / 6,   0.5f};
  static constexpr float kOne = 1.0f;
  const f32x4 lowest = constant(kLowest), round = constant(kRound), one = constant(kOne);
  const i32x4 underflow = x < lowest;
  const f32x4 t = max(lowest, min(constant(kHighest), x));
  // x = n ln2 + r with |r| <= ln2/2
  const f32x4 biased = t * constant(kLog2e) + round;
  const f32x4 n = biased - round;
  const f32x4 r = (t - n * constant(kLn2High)) - n * constant(kLn2Low);
  f32x4 p = r * constant(kTerms[0]) + constant(kTerms[1]);
  for (int i = 2; i < 6; ++i) p = p * r + constant(kTerms[i]);
  p = (p * r) * r + r;
  const u32x4 exponent = ((u32x4)biased << 23) + (u32x4)one;  // 1.0 has the bits of exponent 0
  const f32x4 result = (p + one) * (f32x4)exponent;
  return (f32x4)((i32x4)result & ~underflow);
}

}  // namespace ocelli
