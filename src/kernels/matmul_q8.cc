// Sends matmul_q8 to the tier that the build holds. Chosen at compile time: one relaxed opcode
// makes a module invalid where it is not supported, so every wasm variant holds one tier.
#include "kernels/matmul_q8_tiers.h"

namespace ocelli {

void matmul_q8(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x, int rows,
               float* y, int64_t y_stride) {
#if defined(OCELLI_TIER_RELAXED)
  matmul_q8_relaxed(w, tile_begin, tile_end, x, rows, y, y_stride);
#elif defined(OCELLI_TIER_SIMD128)
  matmul_q8_simd128(w, tile_begin, tile_end, x, rows, y, y_stride);
#else
  matmul_q8_scalar(w, tile_begin, tile_end, x, rows, y, y_stride);
#endif
}

const char* kernel_tier() {
#if defined(OCELLI_TIER_RELAXED)
  return "relaxed";
#elif defined(OCELLI_TIER_SIMD128)
  return "simd128";
#else
  return "scalar";
#endif
}

}  // namespace ocelli
