// Which tiers of matmul_q8 this build holds; one table for the tier files, the dispatch and the
// self test. Native builds run the simd128 source on SSE2.
#pragma once

#include "kernels/matmul.h"

#if defined(__wasm_relaxed_simd__)
#define OCELLI_TIER_RELAXED 1
#elif defined(__wasm_simd128__) || defined(__SSE2__) || defined(__ARM_NEON)
#define OCELLI_TIER_SIMD128 1
#endif

namespace ocelli {

void matmul_q8_simd128(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                       int rows, float* y, int64_t y_stride);
void matmul_q8_relaxed(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                       int rows, float* y, int64_t y_stride);

}  // namespace ocelli
