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
};

// Collects tensors shard by shard, then binds them all.
class WeightLoader {
 public:
  explicit WeightLoader(const ModelConfig& config) : config_(config) {}
  // `tensors` view memory that outlives the weights. A name seen before is an error.
  Result<void> add(std::span<const TensorView> tensors);
  Result<Weights> bind() const;
  const TensorView* find(const std::string& name) const;

 private:
  Result<void> bind_matrix(const std::string& name, int n, int k, bool has_bias, Linear& out) const;
  Result<LinearPart> bind_part(const std::string& name, WeightFormat format, const Linear& matrix,
                               int tile_begin) const;
  Result<const float*> bind_vector(const std::string& name, int padded) const;

  const ModelConfig& config_;
  std::unordered_map<std::string, TensorView> tensors_;
};

}  // namespace ocelli
