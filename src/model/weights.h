// Weights: the model's tensors as views of the shards. What exists, with which shape, is
// src/format/weight_table.h; here each name gets its place in the forward pass.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "format/manifest.h"
#include "format/shard.h"
#include "format/weight_table.h"
#include "tensor/linear.h"

namespace ocelli {

struct DecoderLayer {
  const float* input_norm = nullptr;  // [D]
  Linear q, k, v, o;                  // [H*C, D] [K*C, D] [K*C, D] [D, H*C]
  const float* post_norm = nullptr;   // [D]
  Linear gate, up, down;              // [F, D] [F, D] [D, F]
};

struct VisionBlock {
  const float* norm1 = nullptr;  // [D]
  Linear qkv, proj;              // [3D, D] [D, D]
  const float* norm2 = nullptr;  // [D]
  Linear gate, up, down;         // [F, D] [F, D] [D, F]
};

struct Weights {
  Linear embed;  // [V, D]
  std::vector<DecoderLayer> layers;
  const float* norm = nullptr;  // [D]
  Linear lm_head;               // [V, D]; a view of embed when tied
  Linear patch_embed;           // [Dv, channels * frames * patch * patch]
  std::vector<VisionBlock> blocks;
  const float* merger_norm = nullptr;  // [Dv]
  Linear merger_in, merger_out;        // [merge^2*Dv, merge^2*Dv] [out, merge^2*Dv]

  // How far the weights have come. Stages of text: embedding, layers, head; of vision: patch
  // embedding, blocks, merger. Each counts only when all before it are there.
  int text_stages = 0, vision_stages = 0;

  bool has_embed() const { return text_stages > 0; }
  bool has_layer(int index) const { return text_stages > index + 1; }
  bool has_head() const { return text_stages == static_cast<int>(layers.size()) + 2; }
  bool has_patch_embed() const { return vision_stages > 0; }
  bool has_block(int index) const { return vision_stages > index + 1; }
  bool has_merger() const { return vision_stages == static_cast<int>(blocks.size()) + 2; }
  bool complete() const { return !layers.empty() && has_head() && has_merger(); }
};

// Collects tensors shard by shard and binds them in the order of their use, as far as they have
// come.
class WeightLoader {
 public:
  explicit WeightLoader(const ModelConfig& config);
  // `tensors` view memory that outlives the weights. A name seen before is an error.
  Result<void> add(std::span<const TensorView> tensors);
  // Binds what has come since the last call. A tensor that is not there ends the stages for now;
  // with `all` (nothing more will come) it is an error, as one of a wrong shape or dtype always is.
  Result<void> bind(Weights& weights, bool all) const;
  const TensorView* find(const std::string& name) const;

 private:
  Result<void> bind_text(Weights& weights, int stage) const;
  Result<void> bind_vision(Weights& weights, int stage) const;
  Result<Linear> matrix(const std::string& name) const;
  Result<const float*> norm(const std::string& name) const;
  Result<void> bind_matrix(const std::string& name, int n, int k, bool has_bias, Linear& out) const;
  Result<LinearPart> bind_part(const std::string& name, WeightFormat format, const Linear& matrix,
                               int tile_begin) const;
  Result<const float*> bind_vector(const std::string& name, int padded) const;

  const ModelConfig& config_;
  std::unordered_map<std::string, WeightSpec> specs_;
  std::unordered_map<std::string, TensorView> tensors_;
};

}  // namespace ocelli
