// Angles are computed as the reference does, float position times float inverse frequency; only the
// sine itself is taken in double, so every platform rounds to the same f32.
#include "model/mrope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ocelli {

PromptPositions rope_positions(int tokens, std::span<const VisionSpan> spans, int merge,
                               double tokens_per_second) {
  PromptPositions out;
  out.positions.reserve(tokens);
  int32_t next = 0;
  auto text_until = [&](int end) {
    while (static_cast<int>(out.positions.size()) < end) {
      out.positions.push_back({next, next, next});
      ++next;
    }
  };
  for (const VisionSpan& span : spans) {
    text_until(span.token_begin);
    const int rows = span.grid.h / merge, columns = span.grid.w / merge;
    int32_t last_time = 0;
    for (int t = 0; t < span.grid.t; ++t) {
      last_time = static_cast<int32_t>(t * span.seconds_per_grid * tokens_per_second);
      for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) {
          out.positions.push_back({next + last_time, next + y, next + x});
        }
      }
    }
    next += std::max({last_time + 1, rows, columns});
  }
  text_until(tokens);
  out.rope_delta = next - tokens;
  return out;
}

MropeTable::MropeTable(const TextConfig& config) {
  const int half = config.head_dim / 2;
  inverse_frequency_.resize(half);
  axis_.resize(half);
  const int first = config.mrope_section[0], second = first + config.mrope_section[1];
  for (int i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    inverse_frequency_[i] =
        1.0f / static_cast<float>(std::pow(config.rope_theta, static_cast<double>(exponent)));
    axis_[i] = i < first ? 0 : i < second ? 1 : 2;
  }
  if (!config.yarn) return;
  // YaRN (Peng et al. 2023): interpolate the slow pairs, keep the fast ones, ramp between.
  const double theta_log = 2.0 * std::log(config.rope_theta);
  auto pair_with = [&](double turns) {
    return config.head_dim *
           std::log(config.yarn_original_context / (turns * 2.0 * std::numbers::pi)) / theta_log;
  };
  const double low = std::max(std::floor(pair_with(32.0)), 0.0);
  double high = std::min(std::ceil(pair_with(1.0)), static_cast<double>(config.head_dim - 1));
  if (high == low) high += 0.001;
  for (int i = 0; i < half; ++i) {
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    const double base = inverse_frequency_[i];
    inverse_frequency_[i] =
        static_cast<float>(base / config.yarn_factor * ramp + base * (1.0 - ramp));
  }
  magnitude_ = static_cast<float>(0.1 * std::log(config.yarn_factor) + 1.0);
}

void MropeTable::fill(const Position& position, float* cos, float* sin) const {
  for (size_t i = 0; i < inverse_frequency_.size(); ++i) {
    const float angle = static_cast<float>(position[axis_[i]]) * inverse_frequency_[i];
    cos[i] = static_cast<float>(std::cos(static_cast<double>(angle))) * magnitude_;
    sin[i] = static_cast<float>(std::sin(static_cast<double>(angle))) * magnitude_;
  }
}

}  // namespace ocelli
