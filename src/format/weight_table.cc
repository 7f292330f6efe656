#include "format/weight_table.h"

namespace ocelli {

std::vector<WeightSpec> weight_table(const ModelConfig& config) {
  const TextConfig& t = config.text;
  const VisionConfig& v = config.vision;
  std::vector<WeightSpec> table;
  const auto norm = [&](std::string name, const std::string& holds, int n) {
    table.push_back({std::move(name), holds, WeightKind::kNorm, WeightGroup::kNorm, n, 1, false});
  };
  const auto matrix = [&](std::string name, const std::string& holds, WeightGroup group, int n,
                          int k, bool bias) {
    table.push_back({std::move(name), holds, WeightKind::kMatrix, group, n, k, bias});
  };

  constexpr WeightGroup kVision = WeightGroup::kVision;
  matrix("visual.patch_embed.proj", "vision", kVision, v.hidden,
         v.in_channels * v.temporal_patch * v.patch * v.patch, false);
  for (int i = 0; i < v.depth; ++i) {
    const std::string block = "visual.blocks." + std::to_string(i) + ".";
    norm(block + "norm1", "vision", v.hidden);
    matrix(block + "attn.qkv", "vision", kVision, 3 * v.hidden, v.hidden, true);
    matrix(block + "attn.proj", "vision", kVision, v.hidden, v.hidden, true);
    norm(block + "norm2", "vision", v.hidden);
    matrix(block + "mlp.gate_proj", "vision", kVision, v.intermediate, v.hidden, true);
    matrix(block + "mlp.up_proj", "vision", kVision, v.intermediate, v.hidden, true);
    matrix(block + "mlp.down_proj", "vision", kVision, v.hidden, v.intermediate, true);
  }
  const int merged = v.hidden * v.merge * v.merge;
  norm("visual.merger.ln_q", "vision", v.hidden);
  matrix("visual.merger.mlp.0", "vision", kVision, merged, merged, true);
  matrix("visual.merger.mlp.2", "vision", kVision, v.out, merged, true);

  matrix("model.embed_tokens", "embed", WeightGroup::kEmbedding, t.vocab, t.hidden, false);

  constexpr WeightGroup kLinear = WeightGroup::kLinear;
  const int q = t.heads * t.head_dim;
  const int kv = t.kv_heads * t.head_dim;
  for (int i = 0; i < t.layers; ++i) {
    const std::string holds = "layer." + std::to_string(i);
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    norm(layer + "input_layernorm", holds, t.hidden);
    matrix(layer + "self_attn.q_proj", holds, kLinear, q, t.hidden, true);
    matrix(layer + "self_attn.k_proj", holds, kLinear, kv, t.hidden, true);
    matrix(layer + "self_attn.v_proj", holds, kLinear, kv, t.hidden, true);
    matrix(layer + "self_attn.o_proj", holds, kLinear, t.hidden, q, false);
    norm(layer + "post_attention_layernorm", holds, t.hidden);
    matrix(layer + "mlp.gate_proj", holds, kLinear, t.intermediate, t.hidden, false);
    matrix(layer + "mlp.up_proj", holds, kLinear, t.intermediate, t.hidden, false);
    matrix(layer + "mlp.down_proj", holds, kLinear, t.hidden, t.intermediate, false);
  }
  norm("model.norm", "norm", t.hidden);
  if (!t.tied) matrix("lm_head", "lm_head", WeightGroup::kEmbedding, t.vocab, t.hidden, false);
  return table;
}

}  // namespace ocelli
