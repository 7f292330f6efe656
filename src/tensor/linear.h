// Linear: a view of one weight matrix W[n][k] (+ bias) as it lies in the shards, in tiles of 8
// output rows. The byte layouts are those of models/FORMAT.md section 4; kernels and the loader
// share this definition.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ocelli {

inline constexpr int kTileRows = 8;    // output rows that lie side by side in every layout
inline constexpr int kGroupU4 = 128;   // inputs that share a scale and a zero point
inline constexpr int kGroupU8 = 64;    // inputs that share a scale
inline constexpr int kZeroU8 = 128;    // code of 0.0 in u8
inline constexpr int kGroupAct = 128;  // activations that share a scale in the int8 path

enum class WeightFormat : uint8_t { kF32, kF16, kBf16, kU8, kU4 };

constexpr int round_up(int value, int multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Whole tiles that lie in one shard.
struct LinearPart {
  int tile_begin = 0;  // first tile of this part in the whole matrix
  int tiles = 0;
  const void* codes = nullptr;       // dense values or packed codes
  const uint16_t* scales = nullptr;  // f16 [tiles, K/G, 8], quantised formats only
  const uint8_t* zeros = nullptr;    // [tiles, K/128, 8], u4 only
};

struct Linear {
  WeightFormat format = WeightFormat::kF32;
  int n = 0;  // output rows, without padding
  int k = 0;  // inputs, without padding
  std::vector<LinearPart> parts;
  const float* bias = nullptr;  // [n padded to 8] f32 or null

  int tiles() const { return round_up(n, kTileRows) / kTileRows; }
  // K as stored: padded to the format's group.
  int k_padded() const {
    if (format == WeightFormat::kU4) return round_up(k, kGroupU4);
    if (format == WeightFormat::kU8) return round_up(k, kGroupU8);
    return k;
  }
};

// Bytes of one tile (8 rows) of codes.
constexpr int64_t tile_bytes(WeightFormat format, int64_t k_padded) {
  switch (format) {
    case WeightFormat::kF32:
      return k_padded * 32;
    case WeightFormat::kF16:
    case WeightFormat::kBf16:
      return k_padded * 16;
    case WeightFormat::kU8:
      return k_padded * 8;
    case WeightFormat::kU4:
      return k_padded * 4;
  }
  return 0;
}

}  // namespace ocelli
