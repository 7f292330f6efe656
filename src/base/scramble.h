// Random numbers without state: bits as a function of a seed and a place. Used by the sampler (one
// draw a token) and by models/convert (the weights of synthetic models).
#pragma once

#include <cstdint>

namespace ocelli {

// A bijection on 64 bits that leaves no trace of order (the finaliser of the splitmix64 generator).
constexpr uint64_t scramble(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// 64 bits for place `index` of the stream `key`.
constexpr uint64_t bits_at(uint64_t key, uint64_t index) {
  return scramble(key + (index + 1) * 0x9e3779b97f4a7c15u);
}

}  // namespace ocelli
