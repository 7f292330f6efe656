// Random matrices in every stored format, for the kernel tests: packs them as models/FORMAT.md
// section 4 says (written here a second time on purpose, from the text) and keeps the exact values
// in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "base/half.h"
#include "tensor/linear.h"

namespace ocelli::test {

struct Weights {
  Linear linear;
  std::vector<double> values;  // [n, k], what the stored bytes mean
  std::vector<float> bias;     // [n padded to 8]
  // Per part: storage.
  std::vector<std::vector<uint8_t>> codes, zeros;
  std::vector<std::vector<uint16_t>> scales;

  double at(int n, int k) const { return values[static_cast<size_t>(n) * linear.k + k]; }
};

// tiles_per_part = 0: one part.
inline Weights make_weights(WeightFormat format, int n, int k, bool with_bias, uint32_t seed,
                            int tiles_per_part = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  Weights out;
  Linear& w = out.linear;
  w.format = format;
  w.n = n;
  w.k = k;
  const int tiles = w.tiles(), k_padded = w.k_padded();
  if (tiles_per_part == 0) tiles_per_part = tiles;
  out.values.assign(static_cast<size_t>(n) * k, 0.0);
  out.bias.assign(static_cast<size_t>(tiles) * 8, 0.0f);
  if (with_bias) {
    for (int i = 0; i < n; ++i) out.bias[i] = normal(random);
  }
  const auto set = [&](int row, int column, double value) {
    if (row < n && column < k) out.values[static_cast<size_t>(row) * k + column] = value;
  };
  for (int first = 0; first < tiles; first += tiles_per_part) {
    const int count = std::min(tiles_per_part, tiles - first);
    std::vector<uint8_t> codes(static_cast<size_t>(count) * tile_bytes(format, k_padded));
    std::vector<uint8_t> zeros;
    std::vector<uint16_t> scales;
    if (format == WeightFormat::kU4 || format == WeightFormat::kU8) {
      const int group = format == WeightFormat::kU4 ? kGroupU4 : kGroupU8;
      const int groups = k_padded / group;
      scales.resize(static_cast<size_t>(count) * groups * 8);
      for (uint16_t& scale : scales) scale = f32_to_f16(0.002f + 0.03f * std::fabs(normal(random)));
      if (format == WeightFormat::kU4) {
        zeros.resize(scales.size());
        for (uint8_t& zero : zeros) zero = random() % 16;
      }
      for (int t = 0; t < count; ++t) {
        for (int r = 0; r < 8; ++r) {
          for (int i = 0; i < k_padded; ++i) {
            const size_t at = (static_cast<size_t>(t) * groups + i / group) * 8 + r;
            const int row = 8 * (first + t) + r;
            const bool real = row < n && i < k;
            if (format == WeightFormat::kU8) {
              const int code = real ? 1 + int(random() % 255) : 128;
              codes[(static_cast<size_t>(t) * (k_padded / 4) + i / 4) * 32 + 4 * r + i % 4] = code;
              set(row, i, double(code - 128) * f16_to_f32(scales[at]));
            } else {
              const int code = real ? int(random() % 16) : zeros[at];
              const size_t cell = (static_cast<size_t>(t) * (k_padded / 8) + i / 8) * 32;
              codes[cell + 4 * r + i % 4] |= i % 8 < 4 ? code : code << 4;
              set(row, i, double(code - zeros[at]) * f16_to_f32(scales[at]));
            }
          }
        }
      }
    } else {
      for (int t = 0; t < count; ++t) {
        for (int i = 0; i < k; ++i) {
          for (int r = 0; r < 8; ++r) {
            const int row = 8 * (first + t) + r;
            const float value = row < n ? normal(random) : 0.0f;
            const size_t at = (static_cast<size_t>(t) * k + i) * 8 + r;
            if (format == WeightFormat::kF32) {
              reinterpret_cast<float*>(codes.data())[at] = value;
              set(row, i, value);
            } else if (format == WeightFormat::kF16) {
              reinterpret_cast<uint16_t*>(codes.data())[at] = f32_to_f16(value);
              set(row, i, f16_to_f32(f32_to_f16(value)));
            } else {
              reinterpret_cast<uint16_t*>(codes.data())[at] = f32_to_bf16(value);
              set(row, i, bf16_to_f32(f32_to_bf16(value)));
            }
          }
        }
      }
    }
    out.codes.push_back(std::move(codes));
    out.zeros.push_back(std::move(zeros));
    out.scales.push_back(std::move(scales));
    LinearPart part;
    part.tile_begin = first;
    part.tiles = count;
    part.codes = out.codes.back().data();  // moving the outer vector keeps the inner buffers
    part.scales = out.scales.back().empty() ? nullptr : out.scales.back().data();
    part.zeros = out.zeros.back().empty() ? nullptr : out.zeros.back().data();
    w.parts.push_back(part);
  }
  w.bias = with_bias ? out.bias.data() : nullptr;
  return out;
}

inline std::vector<float> random_floats(size_t count, uint32_t seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

inline constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kF16,
                                            WeightFormat::kBf16, WeightFormat::kU8,
                                            WeightFormat::kU4};

}  // namespace ocelli::test
