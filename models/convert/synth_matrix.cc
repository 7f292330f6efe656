#include "convert/synth_matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace ocelli {
namespace {

using RowsStatistics = std::array<RowStatistics, kTileRows>;

// A code is a sum of independent uniform numbers, all codes of a word at once. Their deviations:
constexpr float kDeviationU4 = 2.783882f;   // 0..7 + 0..3 + 0..3
constexpr float kDeviationU8 = 52.254186f;  // 0..127 + 0..127
constexpr float kGroupSpread = 0.12f;       // of the scales within a row
constexpr int kMeanU4 = 6;                  // of the sum is 6.5; zero points round it either way

// Sixteen sums from 0 to 13.
uint64_t nibble_sums(const Noise& noise, uint64_t index) {
  const uint64_t a = noise.bits(2 * index), b = noise.bits(2 * index + 1);
  constexpr uint64_t kThree = 0x3333333333333333u;
  return (a & 0x7777777777777777u) + (b & kThree) + (b >> 2 & kThree);
}

// Eight sums from 1 to 255.
uint64_t byte_sums(const Noise& noise, uint64_t index) {
  constexpr uint64_t kSeven = 0x7f7f7f7f7f7f7f7fu;
  return (noise.bits(2 * index) & kSeven) + (noise.bits(2 * index + 1) & kSeven) +
         0x0101010101010101u;
}

// Codes of one group of one row, however they are packed.
struct GroupU4 {
  static constexpr int kInputs = kGroupU4, kHalfRange = 7, kLow = 0, kHigh = 15;
  uint8_t* codes;  // of the group's first cell, row r
  int get(int i) const {
    const uint8_t byte = codes[i / 8 * 32 + i % 4];
    return i % 8 < 4 ? byte & 15 : byte >> 4;
  }
  void set(int i, int code) const {
    uint8_t& byte = codes[i / 8 * 32 + i % 4];
    byte = static_cast<uint8_t>(i % 8 < 4 ? (byte & 0xf0) | code : (byte & 0x0f) | code << 4);
  }
};
struct GroupU8 {
  static constexpr int kInputs = kGroupU8, kHalfRange = 127, kLow = 1, kHigh = 255;
  uint8_t* codes;
  int get(int i) const { return codes[i / 4 * 32 + i % 4]; }
  void set(int i, int code) const { codes[i / 4 * 32 + i % 4] = static_cast<uint8_t>(code); }
};

// Puts the planted weights of group `index` in. When they need a wider scale the random codes
// shrink, down to nothing; `zero_new` is the zero point of the group then.
template <class Group>
void plant(const Group& group, int index, const RowStatistics& row, uint16_t& scale, int zero,
           int zero_new, uint8_t* zero_place) {
  const auto inside = [&](const PlantedWeight& weight) {
    return weight.k / Group::kInputs == index;
  };
  float peak = 0.0f;
  bool any = false;
  for (const PlantedWeight& weight : row.planted) {
    if (!inside(weight)) continue;
    any = true;
    peak = std::max(peak, std::fabs(weight.value));
  }
  if (!any) return;
  const uint16_t wanted = f32_to_f16(peak / static_cast<float>(Group::kHalfRange));
  const float own = f16_to_f32(scale);
  if (f16_to_f32(wanted) > own) {
    const float ratio = own / f16_to_f32(wanted);
    for (int i = 0; i < Group::kInputs; ++i) {
      const float shrunk = std::nearbyint(static_cast<float>(group.get(i) - zero) * ratio);
      group.set(i, std::clamp(zero_new + static_cast<int>(shrunk), Group::kLow, Group::kHigh));
    }
    scale = wanted;
    zero = zero_new;
    if (zero_place != nullptr) *zero_place = static_cast<uint8_t>(zero_new);
  }
  const float step = f16_to_f32(scale);
  for (const PlantedWeight& weight : row.planted) {
    if (!inside(weight)) continue;
    const float code = step == 0.0f ? 0.0f : std::nearbyint(weight.value / step);
    group.set(weight.k % Group::kInputs,
              std::clamp(zero + static_cast<int>(code), Group::kLow, Group::kHigh));
  }
}

uint16_t random_scale(const RowStatistics& row, const Noise& scales, uint64_t index, float codes) {
  return f32_to_f16(row.deviation * (1.0f + kGroupSpread * scales.normal(index)) / codes);
}

struct Tile {
  int64_t number;  // in the whole matrix
  int rows;        // those that the matrix has; the others are zero
  int k, k_padded;
  const RowsStatistics& statistics;
  const Noise& noise;
};

void fill_u4(const Tile& tile, uint8_t* codes, uint16_t* scales, uint8_t* zeros) {
  const int groups = tile.k_padded / kGroupU4, cells = tile.k_padded / 8;
  const Noise scale_noise = tile.noise.child(1), zero_noise = tile.noise.child(2);
  for (int g = 0; g < groups; ++g) {
    uint64_t shifts[kTileRows / 2];  // added to all codes of two rows
    const auto at = static_cast<uint64_t>(tile.number * groups + g);
    const uint64_t draw = zero_noise.bits(at);
    for (int r = 0; r < kTileRows; ++r) {
      const uint64_t shift = (draw >> (4 * r)) % 3, up = draw >> (4 * r + 3) & 1;
      scales[g * kTileRows + r] = random_scale(tile.statistics[static_cast<size_t>(r)], scale_noise,
                                               at * kTileRows + r, kDeviationU4);
      zeros[g * kTileRows + r] = static_cast<uint8_t>(kMeanU4 + shift + up);
      const uint64_t all = 0x11111111u * shift;
      shifts[r / 2] = r % 2 == 0 ? all : shifts[r / 2] | all << 32;
    }
    for (int c = g * (kGroupU4 / 8); c < (g + 1) * (kGroupU4 / 8); ++c) {
      for (int pair = 0; pair < kTileRows / 2; ++pair) {
        const auto index = static_cast<uint64_t>((tile.number * cells + c) * 4 + pair);
        const uint64_t word = nibble_sums(tile.noise, index) + shifts[pair];
        std::memcpy(codes + c * 32 + pair * 8, &word, 8);
      }
    }
    for (int r = 0; r < kTileRows; ++r) {
      uint8_t& zero = zeros[g * kTileRows + r];
      const GroupU4 group{codes + g * (kGroupU4 / 8) * 32 + 4 * r};
      if (r >= tile.rows) zero = 0;
      // What is not there is zero: inputs from k on, and rows that only fill the tile.
      for (int i = r < tile.rows ? std::max(0, tile.k - g * kGroupU4) : 0; i < kGroupU4; ++i)
        group.set(i, zero);
      plant(group, g, tile.statistics[static_cast<size_t>(r)], scales[g * kTileRows + r], zero, 8,
            &zero);
    }
  }
}

void fill_u8(const Tile& tile, uint8_t* codes, uint16_t* scales) {
  const int groups = tile.k_padded / kGroupU8, cells = tile.k_padded / 4;
  const Noise scale_noise = tile.noise.child(1);
  for (int c = 0; c < cells; ++c) {
    for (int pair = 0; pair < kTileRows / 2; ++pair) {
      const auto index = static_cast<uint64_t>((tile.number * cells + c) * 4 + pair);
      const uint64_t word = byte_sums(tile.noise, index);
      std::memcpy(codes + c * 32 + pair * 8, &word, 8);
    }
  }
  for (int r = 0; r < kTileRows; ++r) {
    const RowStatistics& row = tile.statistics[static_cast<size_t>(r)];
    for (int i = r < tile.rows ? tile.k : 0; i < tile.k_padded; ++i)
      GroupU8{codes + 4 * r}.set(i, kZeroU8);
    for (int g = 0; g < groups; ++g) {
      uint16_t& scale = scales[g * kTileRows + r];
      const auto at = static_cast<uint64_t>(tile.number * groups + g) * kTileRows + r;
      scale = random_scale(row, scale_noise, at, kDeviationU8);
      plant(GroupU8{codes + g * (kGroupU8 / 4) * 32 + 4 * r}, g, row, scale, kZeroU8, kZeroU8,
            nullptr);
    }
  }
}

// The values of a u8 tile.   out // [k, 8] f16 or f32
void widen_u8(const uint8_t* codes, const uint16_t* scales, int k, WeightFormat format,
              uint8_t* out) {
  for (int i = 0; i < k; ++i) {
    for (int r = 0; r < kTileRows; ++r) {
      const int code = codes[i / 4 * 32 + 4 * r + i % 4] - kZeroU8;
      const float value =
          static_cast<float>(code) * f16_to_f32(scales[i / kGroupU8 * kTileRows + r]);
      const size_t at = static_cast<size_t>(i) * kTileRows + r;
      const uint16_t half = f32_to_f16(value);
      if (format == WeightFormat::kF16) {
        std::memcpy(out + 2 * at, &half, 2);
      } else {
        std::memcpy(out + 4 * at, &value, 4);
      }
    }
  }
}

}  // namespace

void fill_random(const WeightSpec& spec, const SynthStatistics& statistics, const Noise& noise,
                 const MatrixPart& part) {
  RowsStatistics rows;
  std::vector<uint8_t> codes;
  std::vector<uint16_t> scales;
  for (int t = 0; t < part.tiles; ++t) {
    const int first = (part.tile_begin + t) * kTileRows;
    Tile tile{part.tile_begin + t,
              std::min(kTileRows, spec.n - first),
              spec.k,
              part.k_padded,
              rows,
              noise};
    for (int r = 0; r < kTileRows; ++r) {
      RowStatistics& row = rows[static_cast<size_t>(r)];
      if (r < tile.rows) {
        statistics.row(spec, noise, first + r, row);
      } else {
        row = {};
      }
    }
    if (part.format == WeightFormat::kU4) {
      fill_u4(tile, part.codes(t), part.scales(t), part.zeros(t));
    } else if (part.format == WeightFormat::kU8) {
      fill_u8(tile, part.codes(t), part.scales(t));
    } else {
      tile.k_padded = round_up(spec.k, kGroupU8);
      codes.resize(static_cast<size_t>(tile_bytes(WeightFormat::kU8, tile.k_padded)));
      scales.resize(static_cast<size_t>(tile.k_padded / kGroupU8) * kTileRows);
      fill_u8(tile, codes.data(), scales.data());
      widen_u8(codes.data(), scales.data(), spec.k, part.format, part.codes(t));
    }
  }
}

}  // namespace ocelli
