// kernels_self_test: small generated matrices through matmul_q8 and matmul_q8_scalar, compared as
// bits. Called by `abi` once after loading. Surprise: the data comes from a generator at run time,
// because constant operands let optimisers fold relaxed SIMD away (or abort on it) instead of
// testing the CPU.
#include "kernels/self_test.h"

#include <cstring>
#include <vector>

#include "kernels/fingerprint.h"
#include "kernels/matmul_q8_tiers.h"

namespace ocelli {
namespace {

constexpr int kRows = 15;  // tiles of 8 and 4 tokens and a rest of 3; one row on its own as well
constexpr int kOutputs = 20;
constexpr int kInputs = 384;

class Random {
 public:
  uint32_t next() {
    state_ = state_ * 1664525u + 1013904223u;
    return state_ >> 8;
  }

 private:
  volatile uint32_t state_ = 20260101u;  // volatile: not foldable
};

bool equal_tiers(WeightFormat format, ActBits bits, Random& random) {
  const bool u4 = format == WeightFormat::kU4;
  Linear w;
  w.format = format;
  w.n = kOutputs;
  w.k = kInputs;
  const int tiles = w.tiles();
  const size_t groups = size_t(tiles) * (kInputs / (u4 ? kGroupU4 : kGroupU8)) * kTileRows;
  std::vector<uint8_t> codes(size_t(tiles) * size_t(tile_bytes(format, kInputs)));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random.next());
  std::vector<uint16_t> scales(groups);
  for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x2000u + random.next() % 0x0800u);
  std::vector<uint8_t> zeros(groups);
  for (uint8_t& zero : zeros) zero = random.next() & 15;
  w.parts = {{0, tiles, codes.data(), scales.data(), u4 ? zeros.data() : nullptr}};

  std::vector<uint64_t> memory(size_t(quantized_rows_bytes(kRows, kInputs)) / 8 + 2);
  QuantizedRows x = quantized_rows_at(memory.data(), kRows, kInputs, bits);
  std::vector<float> values(kInputs);
  for (int m = 0; m < kRows; ++m) {
    for (float& value : values) value = static_cast<float>(random.next() % 2001u) * 1e-3f - 1.0f;
    if (m % 3 == 2) values[37] = 800.0f;  // outliers: these rows have peaks
    values[300] = 800.0f;                 // and all have one here: they go together
    quantize_row(values.data(), kInputs, x, m);
  }
  gather_peaks(x);
  // The extremes of both operands, where a saturating or signed reading would show.
  const int64_t streams = x.streams();
  for (int g = 0; g < 2; ++g) {
    for (int64_t s = 0; s < streams; ++s) {
      // A high byte's lowest is -127.
      const int code = g == 0 ? 127 : x.wide && s % 2 == 1 ? -127 : -128;
      std::memset(x.codes + (g * streams + s) * kGroupAct, code, kGroupAct);
      x.sums[g * streams + s] = -kGroupAct * code;
      for (int b = 0; b < kGroupAct / kPeakBlock; ++b)
        x.block_sums[(g * kGroupAct / kPeakBlock + b) * streams + s] = -kPeakBlock * code;
    }
    for (int m = 0; m < kRows; ++m) pair_codes(x, g, m);
  }
  std::memset(codes.data(), 255, 2 * kGroupAct * (u4 ? 4 : 8));

  std::vector<float> expected(kRows * kOutputs), found(kRows * kOutputs), alone(kOutputs);
  matmul_q8_scalar(w, 0, tiles, x, kRows, expected.data(), kOutputs);
  for (const MatmulQ8Tier& tier : matmul_q8_tiers()) {
    const MatmulQ8 matmul = u4 ? tier.u4 : tier.u8;
    matmul(w, 0, tiles, x, kRows, found.data(), kOutputs);
    matmul(w, 0, tiles, x, 1, alone.data(), kOutputs);
    if (std::memcmp(expected.data(), found.data(), sizeof(float) * expected.size()) != 0 ||
        std::memcmp(expected.data(), alone.data(), sizeof(float) * alone.size()) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool kernels_self_test() {
  Random random;
  for (WeightFormat format : {WeightFormat::kU4, WeightFormat::kU8}) {
    for (ActBits bits : {ActBits::k8, ActBits::k15}) {
      if (!equal_tiers(format, bits, random)) return false;
    }
  }
  return kernels_fingerprint() == kKernelsFingerprint;
}

}  // namespace ocelli
