// See select.h. A cut is a bit pattern: larger weights stay, smaller ones go, and of the equal ones
// the first `ties` in id order stay.
#include "sampler/select.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace ocelli {
namespace {

struct Digit {
  int shift;
  uint32_t mask;
};
constexpr Digit kDigits[] = {{21, 0x7ffu}, {10, 0x7ffu}, {0, 0x3ffu}};

// Counts and sums the positive weights whose bits above the digit equal those of `prefix`.
void histogram(std::span<const float> weights, uint32_t prefix, Digit digit,
               RadixScratch& scratch) {
  scratch.sum.fill(0);
  scratch.count.fill(0);
  const uint32_t above = digit.shift == 21 ? 0 : ~0u << (digit.shift == 10 ? 21 : 10);
  for (const float weight : weights) {
    const uint32_t bits = std::bit_cast<uint32_t>(weight);
    if (bits == 0 || ((bits ^ prefix) & above) != 0) continue;
    const uint32_t bin = (bits >> digit.shift) & digit.mask;
    scratch.sum[bin] += weight;
    ++scratch.count[bin];
  }
}

void apply_cut(std::span<float> weights, uint32_t cut, uint32_t ties) {
  for (float& weight : weights) {
    const uint32_t bits = std::bit_cast<uint32_t>(weight);
    if (bits > cut) continue;
    if (bits == cut && ties > 0) {
      --ties;
    } else {
      weight = 0;
    }
  }
}

}  // namespace

void keep_top_k(std::span<float> weights, int k, RadixScratch& scratch) {
  OCELLI_CHECK(k >= 1);
  uint32_t prefix = 0, wanted = static_cast<uint32_t>(k);
  for (const Digit digit : kDigits) {
    histogram(weights, prefix, digit, scratch);
    uint32_t bin = digit.mask;
    while (scratch.count[bin] < wanted) {
      wanted -= scratch.count[bin];
      if (bin == 0) return;  // fewer than k are left: all stay
      --bin;
    }
    prefix |= bin << digit.shift;
  }
  apply_cut(weights, prefix, wanted);
}

void keep_top_p(std::span<float> weights, double top_p, RadixScratch& scratch) {
  double total = 0;
  for (const float weight : weights) total += weight;
  const double target = top_p * total;
  uint32_t prefix = 0;
  double above = 0;  // sum of the weights larger than the bin looked at
  for (const Digit digit : kDigits) {
    histogram(weights, prefix, digit, scratch);
    int chosen = -1;
    for (int bin = static_cast<int>(digit.mask); bin >= 0; --bin) {
      const size_t at = static_cast<size_t>(bin);
      if (scratch.count[at] == 0) continue;
      // Rounding may leave the sum just short of the target: then the last bin that holds anything.
      if (chosen >= 0) above += scratch.sum[static_cast<size_t>(chosen)];
      chosen = bin;
      if (above + scratch.sum[at] >= target) break;
    }
    if (chosen < 0) return;  // nothing to cut
    prefix |= static_cast<uint32_t>(chosen) << digit.shift;
  }
  const double weight = std::bit_cast<float>(prefix);
  const uint32_t equal = scratch.count[prefix & kDigits[2].mask];
  uint32_t ties = 1;
  while (ties < equal && above + ties * weight < target) ++ties;
  apply_cut(weights, prefix, ties);
}

void keep_min_p(std::span<float> weights, float min_p) {
  float largest = 0;
  for (const float weight : weights) largest = std::max(largest, weight);
  const float limit = min_p * largest;
  for (float& weight : weights) {
    if (weight < limit) weight = 0;
  }
}

}  // namespace ocelli
