// exp() and random numbers that are the same bits on every platform. Called by Sampler and select.
// Surprise: std::exp and the std:: distributions differ between C libraries in the last place,
// which would let one seed give different tokens natively and as WebAssembly; these use only IEEE
// operations in a fixed order.
#pragma once

#include <bit>
#include <cstdint>

#include "base/scramble.h"

namespace ocelli {

// e^x for x <= 0, relative error below 2^-51; 0 for x < -700 and for NaN. Cody-Waite reduction,
// then the series of e^r to r^13 for |r| <= ln 2 / 2.
inline double exact_exp(double x) {
  if (!(x >= -700)) return 0;
  constexpr double kLog2E = 1.4426950408889634074;
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  const int k = static_cast<int>(x * kLog2E - 0.5);  // nearest integer, since x <= 0
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * std::bit_cast<double>(static_cast<uint64_t>(1023 + k) << 52);
}

// Uniform in [0, 1) with 53 bits: a function of the seed and of which draw it is, with no state
// between.
constexpr double uniform_at(uint64_t seed, uint64_t draw) {
  const uint64_t stream = scramble(seed + 0x632be59bd9b4e019u);
  return static_cast<double>(bits_at(stream, draw) >> 11) * 0x1p-53;
}

}  // namespace ocelli
