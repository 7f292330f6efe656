// SHA-256 (FIPS 180-4), streaming. Names and verifies shards; plain C++, the same on every target.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace ocelli {

// The first 128 bits of a SHA-256: what names things within one process. All zero: nothing.
using Digest = std::array<uint64_t, 2>;

class Sha256 {
 public:
  void update(std::span<const uint8_t> bytes);
  // The digest of everything given so far as 64 lower-case hex digits. The object is spent
  // afterwards.
  std::string finish_hex();
  Digest finish_digest();  // the same, spent too

 private:
  void block(const uint8_t* bytes);
  void pad();

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_ = {};
  uint64_t bytes_ = 0;
};

// Digest of one buffer.
std::string sha256_hex(std::span<const uint8_t> bytes);

}  // namespace ocelli
