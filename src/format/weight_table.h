// The weights of a model: every norm and matrix with its name, shape and place, in container order.
// The one table of this: models/convert writes by it, src/model binds by it, plans sum over it.
#pragma once

#include <string>
#include <vector>

#include "format/manifest.h"

namespace ocelli {

enum class WeightKind : uint8_t { kNorm, kMatrix };
// Which precision option of the converter applies.
enum class WeightGroup : uint8_t { kNorm, kVision, kEmbedding, kLinear };

struct WeightSpec {
  std::string name;   // "model.layers.3.mlp.up_proj", as in models/FORMAT.md section 4
  std::string holds;  // word in the manifest's `holds`, e.g. "layer.3"
  WeightKind kind = WeightKind::kMatrix;
  WeightGroup group = WeightGroup::kLinear;
  int n = 0;  // output rows (length, for a norm)
  int k = 0;  // inputs (1 for a norm)
  bool bias = false;
};

// The order is that of the shards: vision tower, embedding, decoder layers, final norm, head when
// untied.
std::vector<WeightSpec> weight_table(const ModelConfig& config);

}  // namespace ocelli
