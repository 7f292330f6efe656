// Cuts a distribution in place without sorting it: weights [V] f32 >= 0, what falls away becomes 0.
// Called by Sampler. Works on the bit patterns of the floats (for numbers >= 0 their order is the
// numbers' order), 11 bits at a time, so a vocabulary costs three passes and no memory of its size.
// Equal weights: the lower id stays.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace ocelli {

struct RadixScratch {
  std::array<double, 2048> sum;
  std::array<uint32_t, 2048> count;
};

// Keeps the k largest weights (k >= 1).
void keep_top_k(std::span<float> weights, int k, RadixScratch& scratch);
// Keeps the fewest largest weights that sum up to at least top_p (0, 1] of the total, at least one.
void keep_top_p(std::span<float> weights, double top_p, RadixScratch& scratch);
// Keeps weights >= min_p [0, 1] times the largest one.
void keep_min_p(std::span<float> weights, float min_p);

}  // namespace ocelli
