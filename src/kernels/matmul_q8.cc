// Sends matmul_q8 to the best tier that the build holds and the engine runs. Builds differ because
// one relaxed opcode makes a module invalid where it is not supported.
#include "base/check.h"
#include "kernels/matmul_q8_tiers.h"

namespace ocelli {

#if !defined(OCELLI_TIER_RELAXED) && !defined(OCELLI_TIER_SIMD128)
std::span<const MatmulQ8Tier> matmul_q8_tiers() {
  static constexpr MatmulQ8Tier kTier = {"scalar", matmul_q8_scalar, matmul_q8_scalar,
                                         attention_q8_scalar};
  return {&kTier, 1};
}
#endif

void matmul_q8(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x, int rows,
               float* y, int64_t y_stride) {
  static const MatmulQ8Tier tier = matmul_q8_tiers()[0];
  OCELLI_CHECK(w.format == WeightFormat::kU4 || w.format == WeightFormat::kU8);
  (w.format == WeightFormat::kU4 ? tier.u4 : tier.u8)(w, tile_begin, tile_end, x, rows, y,
                                                      y_stride);
}

const char* kernel_tier() { return matmul_q8_tiers()[0].name; }

}  // namespace ocelli
