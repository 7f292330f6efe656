// The SIMD tiers of matmul_q8 and attention_q8 that this build holds; one table for the tier files,
// the dispatch and the self test. Which of them run here depends on the engine too. Native builds
// run the simd128 source on SSE2.
#pragma once

#include <span>

#include "kernels/attention_q8.h"
#include "kernels/matmul.h"

#if defined(__wasm_relaxed_simd__)
#define OCELLI_TIER_RELAXED 1
#elif defined(__wasm_simd128__) || defined(__SSE2__) || defined(__ARM_NEON)
#define OCELLI_TIER_SIMD128 1
#endif

namespace ocelli {

// Whether this build has a tier that takes activations as QuantizedRows::pairs.
#if defined(OCELLI_TIER_SIMD128)
inline constexpr bool kHasPairs = true;
#else
inline constexpr bool kHasPairs = false;
#endif

using MatmulQ8 = void (*)(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                          int rows, float* y, int64_t y_stride);

using Attention = decltype(&attention_q8);

struct MatmulQ8Tier {
  const char* name;
  MatmulQ8 u4, u8;
  Attention attention;
};

// The tiers that are right on this engine, best first; at least one. The same for the life of the
// module.
std::span<const MatmulQ8Tier> matmul_q8_tiers();

}  // namespace ocelli
