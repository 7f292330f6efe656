#include "convert/synth_statistics.h"

#include <algorithm>
#include <cmath>

#include "base/scramble.h"

namespace ocelli {
namespace {

constexpr float kEmbedding = 0.02f;    // deviation of the embedding
constexpr float kOutlierGain = 15.0f;  // an outlier channel / an ordinary one
constexpr float kOutlierNorm = 0.25f;  // what the norms leave of it
constexpr float kMassive = 800.0f;     // the largest massive activation, about
constexpr float kMassiveNorm = 0.05f;
constexpr float kTrigger = 0.3f;     // embedding of a triggering token at the trigger channel
constexpr int kTriggerOneIn = 64;    // so many tokens trigger, besides <|im_start|>
constexpr float kRowSpread = 0.1f;   // of the deviations of a matrix's rows
constexpr float kNormSpread = 0.1f;  // of a norm's weights
constexpr float kQueryKey = 1.4f;    // deviation of queries and keys: scores of about 2
constexpr float kMixed = 0.45f;      // deviation of attention's mix of values of deviation 1
constexpr float kGate = 1.0f;        // deviation of the gate before SiLU; up has 1
constexpr float kSwiglu = 0.8f;      // rms of the product, peaks included
constexpr int kPeakOneIn = 512;      // SwiGLU channels that peak
constexpr float kLogits = 2.5f;      // deviation of the logits
constexpr float kKeyBias = 16.0f;    // of the slowest rotations
constexpr int kKeyBiasPairs = 3;
constexpr float kImageRow = 0.05f;  // deviation of an image's rows in the decoder
constexpr float kVisionGain = 10.0f;
constexpr float kVisionGrowth = 0.25f;
constexpr float kVisionQueryKey = 1.2f;
constexpr float kGelu = 0.65f;  // rms of gelu(normal)

// How much a branch of layer i adds, relative to the residual: much at first, more again at the
// end.
float growth(int layer, int layers) {
  constexpr float kFirst[] = {1.0f, 0.7f, 0.5f};
  if (layer < 3) return kFirst[layer];
  return layer >= layers - 2 ? 0.4f : 0.3f;
}

float root(double value) { return static_cast<float>(std::sqrt(value)); }

// `count` channels of `width`, spread over it so that they fall into different groups.
std::vector<int> channels(const Noise& noise, int width, int count) {
  std::vector<int> out;
  const int cell = width / count;
  for (int i = 0; i < count; ++i)
    out.push_back(i * cell + static_cast<int>(noise.bits(static_cast<uint64_t>(i)) %
                                              static_cast<uint64_t>(cell)));
  return out;
}

bool contains(const std::vector<int>& list, int value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// rms of a row whose `count` outliers are `gain` times the others.
float spread_of(size_t count, float gain, int width) {
  return root(1.0 + static_cast<double>(count) * (gain * gain - 1.0) / width);
}

// N of "model.layers.N." or "visual.blocks.N.", -1 for what belongs to none.
int layer_of(const WeightSpec& spec) {
  const size_t at = spec.name.find_first_of("0123456789");
  if (at == std::string::npos || spec.name[at - 1] != '.' || spec.name.starts_with("visual.merger"))
    return -1;
  return std::atoi(spec.name.c_str() + at);
}

bool ends_with(const WeightSpec& spec, std::string_view end) { return spec.name.ends_with(end); }

}  // namespace

Noise::Noise(uint64_t seed, std::string_view name) : key_(scramble(seed + 0x5ca1ab1e0ddba11u)) {
  for (const char c : name) key_ = scramble(key_ ^ static_cast<uint8_t>(c));
}

uint64_t Noise::bits(uint64_t index) const { return bits_at(key_, index); }

float Noise::normal(uint64_t index) const {
  const uint64_t word = bits(index);
  const int sum = static_cast<int>((word & 0xffff) + (word >> 16 & 0xffff) + (word >> 32 & 0xffff) +
                                   (word >> 48));
  return static_cast<float>(sum - 131070) * (1.7320508f / 65536.0f);
}

float Noise::uniform(uint64_t index) const {
  return static_cast<float>(bits(index) >> 40) * 0x1p-24f;
}

Noise Noise::child(uint64_t number) const { return Noise(scramble(key_ + ~number)); }

SynthStatistics::SynthStatistics(const ModelConfig& config, int32_t im_start, uint64_t seed)
    : text_(config.text),
      vision_(config.vision),
      im_start_(im_start),
      noise_(seed, "channels of the residual") {
  // One draw for all kinds, so that no channel is two of them.
  const int outlier_count = std::max(1, text_.hidden / 340);
  const int massive_count = std::max(1, text_.hidden / 512);
  const std::vector<int> drawn =
      channels(noise_.child(0), text_.hidden, outlier_count + massive_count + 1);
  trigger_ = drawn[0];
  massive_.assign(drawn.begin() + 1, drawn.begin() + 1 + massive_count);
  outliers_.assign(drawn.begin() + 1 + massive_count, drawn.end());
  vision_outliers_ = channels(noise_.child(1), vision_.hidden, std::max(1, vision_.hidden / 320));
  detector_ = static_cast<int>(noise_.bits(2) % static_cast<uint64_t>(text_.intermediate));
  spread_ = spread_of(outliers_.size(), kOutlierGain, text_.hidden);
  vision_spread_ = spread_of(vision_outliers_.size(), kVisionGain, vision_.hidden);

  double residual = kEmbedding;
  const double q = text_.heads * text_.head_dim, ffn = text_.intermediate;
  for (int i = 0; i < text_.layers; ++i) {
    const double part = growth(i, text_.layers);
    Branch branch;
    branch.attention = static_cast<float>(part * residual / (kMixed * std::sqrt(q)));
    residual *= std::sqrt(1.0 + part * part);
    if (i == 0) {
      // What layer 0's detector sees of a trigger: gate = x, up = 2x, so silu(gate) * up is near 2
      // x^2.
      const double seen = kTrigger / (residual * spread_);
      detected_ = static_cast<float>(2.0 * seen * seen);
    }
    branch.mlp = static_cast<float>(part * residual / (kSwiglu * std::sqrt(ffn)));
    residual *= std::sqrt(1.0 + part * part);
    layers_.push_back(branch);
  }
  residual = 1.0;
  for (int i = 0; i < vision_.depth; ++i) {
    Branch branch;
    branch.attention =
        static_cast<float>(kVisionGrowth * residual / (kMixed * std::sqrt(double(vision_.hidden))));
    residual *= std::sqrt(1.0 + kVisionGrowth * kVisionGrowth);
    branch.mlp = static_cast<float>(kVisionGrowth * residual /
                                    (kSwiglu * std::sqrt(double(vision_.intermediate))));
    residual *= std::sqrt(1.0 + kVisionGrowth * kVisionGrowth);
    blocks_.push_back(branch);
  }
}

bool SynthStatistics::triggers(int32_t token) const {
  return token == im_start_ ||
         noise_.child(3).bits(static_cast<uint64_t>(token)) % kTriggerOneIn == 0;
}

float SynthStatistics::norm(const WeightSpec& spec, const Noise& noise, int channel) const {
  const float ordinary =
      std::max(0.1f, 1.0f + kNormSpread * noise.normal(static_cast<uint64_t>(channel)));
  if (spec.name.starts_with("visual."))
    return contains(vision_outliers_, channel) ? kOutlierNorm * ordinary : ordinary;
  const bool last = spec.name == "model.norm";
  // The head's rows have the embedding's deviation, the normed row an rms of 1 / spread.
  const float scale = last ? kLogits * spread_ / (kEmbedding * root(double(text_.hidden))) : 1.0f;
  if (contains(massive_, channel)) return scale * kMassiveNorm * ordinary;
  if (contains(outliers_, channel)) return scale * kOutlierNorm * (last ? 0.4f : 1.0f) * ordinary;
  if (channel == trigger_ && layer_of(spec) == 0) return 1.0f;
  return scale * ordinary;
}

float SynthStatistics::bias(const WeightSpec& spec, const Noise& noise, int row) const {
  const float normal = noise.normal(static_cast<uint64_t>(row));
  if (ends_with(spec, "merger.mlp.2")) {
    if (row == trigger_) return 0.0f;
    return contains(outliers_, row) ? kTrigger : 0.2f * kImageRow * normal;
  }
  if (spec.name.starts_with("visual.")) return 0.1f * normal;
  if (ends_with(spec, "q_proj")) return 0.3f * normal;
  if (ends_with(spec, "v_proj")) return 0.1f * normal;
  // Rotations are pairs (i, i + half), the slowest last.
  const int half = text_.head_dim / 2, pair = row % text_.head_dim % half;
  return pair >= half - kKeyBiasPairs ? kKeyBias * (normal < 0.0f ? -1.0f : 1.0f) : 0.3f * normal;
}

float SynthStatistics::text_deviation(const WeightSpec& spec, const Noise& noise, int row) const {
  const float input = spread_ / root(double(spec.k));  // for outputs of deviation 1 behind a norm
  const int layer = layer_of(spec);
  if (layer < 0) return kEmbedding;
  const Branch& branch = layers_[static_cast<size_t>(layer)];
  const float own = 1.0f + kRowSpread * noise.normal(static_cast<uint64_t>(row));
  if (ends_with(spec, "v_proj")) return input * own;
  if (ends_with(spec, "k_proj")) return kQueryKey * input * own;
  if (ends_with(spec, "q_proj")) {
    // Some heads look sharply, others widely: their mixes are of different size.
    const auto head = static_cast<uint64_t>(row / text_.head_dim);
    return kQueryKey * input * own * (0.5f + noise.child(1).uniform(head));
  }
  if (ends_with(spec, "o_proj") || ends_with(spec, "down_proj")) {
    // The trigger reaches layer 0's detector undisturbed.
    if (layer == 0 && ends_with(spec, "o_proj") && row == trigger_) return 0.0f;
    const float gain = contains(outliers_, row) ? kOutlierGain : own;
    return gain * (ends_with(spec, "o_proj") ? branch.attention : branch.mlp);
  }
  if (layer == 0 && row == detector_) return 0.0f;
  // Gate and up agree on which channels peak.
  const Noise peaks = noise_.child(static_cast<uint64_t>(100 + layer));
  const bool peak = peaks.bits(static_cast<uint64_t>(row)) % kPeakOneIn == 0;
  if (ends_with(spec, "gate_proj")) return kGate * input * own * (peak ? 2.0f : 1.0f);
  return input * own * (peak ? 3.0f + 5.0f * noise.uniform(static_cast<uint64_t>(row)) : 1.0f);
}

float SynthStatistics::vision_deviation(const WeightSpec& spec, const Noise& noise, int row) const {
  const float plain = 1.0f / root(double(spec.k)), input = vision_spread_ * plain;
  const float own = 1.0f + kRowSpread * noise.normal(static_cast<uint64_t>(row));
  if (ends_with(spec, "merger.mlp.0")) return input;
  if (ends_with(spec, "merger.mlp.2")) return row == trigger_ ? 0.0f : kImageRow / kGelu * plain;
  const int layer = layer_of(spec);
  const float gain = contains(vision_outliers_, row) ? kVisionGain : own;
  if (layer < 0) return plain * gain;  // the patch embedding
  const Branch& branch = blocks_[static_cast<size_t>(layer)];
  if (ends_with(spec, "attn.proj")) return gain * branch.attention;
  if (ends_with(spec, "down_proj")) return gain * branch.mlp;
  if (ends_with(spec, "attn.qkv"))
    return (row < 2 * vision_.hidden ? kVisionQueryKey : 1.0f) * input * own;
  const Noise peaks = noise_.child(static_cast<uint64_t>(1000 + layer));
  const bool peak = peaks.bits(static_cast<uint64_t>(row)) % kPeakOneIn == 0;
  if (ends_with(spec, "gate_proj")) return kGate * input * own * (peak ? 2.0f : 1.0f);
  return input * own * (peak ? 3.0f + 5.0f * noise.uniform(static_cast<uint64_t>(row)) : 1.0f);
}

float SynthStatistics::embedding_outlier(size_t which, int32_t token) const {
  const float jitter = noise_.child(4 + which).uniform(static_cast<uint64_t>(token));
  return (which % 2 == 0 ? 1.0f : -1.0f) * kOutlierGain * kEmbedding * (0.5f + jitter);
}

// Massive activations as trained models make them: the embedding marks some tokens at one channel,
// a SwiGLU channel of layer 0 answers to the mark, and down_proj writes the answer into a few
// channels.
void SynthStatistics::plant(const WeightSpec& spec, int row, RowStatistics& out) const {
  if (spec.group == WeightGroup::kEmbedding) {
    if (spec.name != "model.embed_tokens") return;
    out.planted.push_back({trigger_, triggers(row) ? kTrigger : 0.0f});
    for (size_t i = 0; i < outliers_.size(); ++i)
      out.planted.push_back({outliers_[i], embedding_outlier(i, row)});
    std::sort(out.planted.begin(), out.planted.end(),
              [](const PlantedWeight& a, const PlantedWeight& b) { return a.k < b.k; });
    return;
  }
  if (layer_of(spec) != 0 || spec.group != WeightGroup::kLinear) return;
  if (row == detector_ && ends_with(spec, "gate_proj")) out.planted.push_back({trigger_, 1.0f});
  if (row == detector_ && ends_with(spec, "up_proj")) out.planted.push_back({trigger_, 2.0f});
  if (!ends_with(spec, "down_proj")) return;
  const auto at = std::find(massive_.begin(), massive_.end(), row) - massive_.begin();
  const bool is_massive = at < static_cast<int64_t>(massive_.size());
  const float size = kMassive * (at % 2 == 0 ? 1.0f : -0.7f) / static_cast<float>(1 + at / 2);
  out.planted.push_back({detector_, is_massive ? size / detected_ : 0.0f});
}

void SynthStatistics::row(const WeightSpec& spec, const Noise& noise, int row,
                          RowStatistics& out) const {
  out.deviation = spec.name.starts_with("visual.") ? vision_deviation(spec, noise, row)
                                                   : text_deviation(spec, noise, row);
  out.planted.clear();
  plant(spec, row, out);
}

}  // namespace ocelli
