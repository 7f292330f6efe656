#include "model/kv_balance.h"

#include <algorithm>
#include <cmath>

#include "kernels/tiles.h"

namespace ocelli {
namespace {

constexpr int kPanel = 128;  // inputs at a time
constexpr float kDeviations = 3.0f;
constexpr int kExponentMax = 24;

// Likely largest magnitude of each output of y = W (x * norm) + bias with x of deviation 1.   //
// [N]
std::vector<float> likely_peaks(const Linear& w, const float* norm) {
  std::vector<float> peaks(static_cast<size_t>(w.tiles()) * kTileRows);
  std::vector<float> panel(kPanel * kTileRows);
  for_each_tile(w, 0, w.tiles(), [&](const LinearPart& part, int tile_in_part, int tile) {
    float power[kTileRows] = {};
    for (int k = 0; k < w.k; k += kPanel) {
      const int count = std::min(kPanel, w.k - k);
      dequantize_panel(w, part, tile_in_part, k, count, panel.data());
      for (int i = 0; i < count * kTileRows; ++i) {
        const float value = panel[static_cast<size_t>(i)] * norm[k + i / kTileRows];
        power[i % kTileRows] += value * value;
      }
    }
    for (int r = 0; r < kTileRows; ++r) {
      const int n = tile * kTileRows + r;
      const float bias = w.bias == nullptr ? 0.0f : std::fabs(w.bias[n]);
      peaks[static_cast<size_t>(n)] = bias + kDeviations * std::sqrt(power[r]);
    }
  });
  return peaks;
}

// The power of two next below `peak`; 1 for nothing, or what is not a number.
float factor_of(float peak) {
  if (!(peak > 0.0f) || !std::isfinite(peak)) return 1.0f;
  return std::ldexp(1.0f, std::clamp(std::ilogb(peak), -kExponentMax, kExponentMax));
}

}  // namespace

KvBalance kv_balance(const TextConfig& config, const DecoderLayer& layer) {
  const int head_dim = config.head_dim, half = head_dim / 2;
  const int group = config.heads / config.kv_heads;
  const std::vector<float> keys = likely_peaks(layer.k, layer.input_norm);
  const std::vector<float> values = likely_peaks(layer.v, layer.input_norm);
  KvBalance balance;
  for (std::vector<float>* of_queries : {&balance.q, &balance.out})
    of_queries->resize(static_cast<size_t>(config.heads) * head_dim);
  for (std::vector<float>* of_keys : {&balance.k, &balance.v})
    of_keys->resize(static_cast<size_t>(config.kv_heads) * head_dim);
  for (int head = 0; head < config.heads; ++head) {
    const int kv = head / group * head_dim;
    for (int c = 0; c < head_dim; ++c) {
      const auto pair = static_cast<size_t>(kv + c % half);
      const float key = factor_of(std::hypot(keys[pair], keys[pair + static_cast<size_t>(half)]));
      const float value = factor_of(values[static_cast<size_t>(kv + c)]);
      balance.q[static_cast<size_t>(head * head_dim + c)] = key;
      balance.out[static_cast<size_t>(head * head_dim + c)] = value;
      balance.k[static_cast<size_t>(kv + c)] = 1.0f / key;
      balance.v[static_cast<size_t>(kv + c)] = 1.0f / value;
    }
  }
  return balance;
}

}  // namespace ocelli
