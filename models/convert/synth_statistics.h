// What the random weights of a synthetic model look like, so that its activations behave as those
// of Qwen2.5-VL: the residual grows through the layers, a few channels of it stand out for every
// token, a few more are massive for some tokens, SwiGLU has peaks, keys have large biases. Asked by
// synth.cc weight by weight. models/SYNTH.md says what is imitated and why.
//
// Surprise: all of it is integer and IEEE arithmetic in a fixed order: a seed gives the same bytes
// on every platform, natively and as WebAssembly.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "format/weight_table.h"

namespace ocelli {

// Random numbers of one tensor by place; the order of asking does not matter.
class Noise {
 public:
  Noise(uint64_t seed, std::string_view name);
  uint64_t bits(uint64_t index) const;
  // Mean 0, deviation 1, within +-3.47: close to normal, without its tails.
  float normal(uint64_t index) const;
  // In [0, 1).
  float uniform(uint64_t index) const;
  Noise child(uint64_t number) const;

 private:
  explicit Noise(uint64_t key) : key_(key) {}
  uint64_t key_;
};

// A weight that is not random but part of a mechanism.
struct PlantedWeight {
  int k = 0;
  float value = 0.0f;
};

// Output row n of a matrix: random weights of this deviation but for the planted ones.
struct RowStatistics {
  float deviation = 0.0f;
  std::vector<PlantedWeight> planted;  // ascending k
};

class SynthStatistics {
 public:
  // `im_start` is the id of the token that begins every prompt: it gets massive activations.
  SynthStatistics(const ModelConfig& config, int32_t im_start, uint64_t seed);

  float norm(const WeightSpec& spec, const Noise& noise, int channel) const;
  float bias(const WeightSpec& spec, const Noise& noise, int row) const;
  // Reuses the memory of `out`.
  void row(const WeightSpec& spec, const Noise& noise, int row, RowStatistics& out) const;

  // Exposed for the tests: channels of the residual by what they are.
  const std::vector<int>& outliers() const { return outliers_; }  // stand out for every token
  const std::vector<int>& massive() const { return massive_; }    // for triggering tokens
  bool triggers(int32_t token) const;

 private:
  struct Branch {
    float attention = 0.0f;  // deviations of o_proj and down_proj (vision: proj and down_proj)
    float mlp = 0.0f;
  };
  float text_deviation(const WeightSpec& spec, const Noise& noise, int row) const;
  float vision_deviation(const WeightSpec& spec, const Noise& noise, int row) const;
  void plant(const WeightSpec& spec, int row, RowStatistics& out) const;
  float embedding_outlier(size_t which, int32_t token) const;

  TextConfig text_;
  VisionConfig vision_;
  int32_t im_start_;
  Noise noise_;
  std::vector<int> outliers_, massive_, vision_outliers_;
  int trigger_ = 0;                             // channel that tells a triggering token, in layer 0
  int detector_ = 0;                            // SwiGLU channel of layer 0 that answers it
  float detected_ = 0.0f;                       // about its value then
  float spread_ = 1.0f, vision_spread_ = 1.0f;  // rms of a row / rms of its ordinary channels
  std::vector<Branch> layers_, blocks_;
};

}  // namespace ocelli
