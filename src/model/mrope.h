// M-RoPE: 3-axis positions of a prompt and the rotation tables made from them.
// Source: Qwen2.5-VL `get_rope_index` and `apply_multimodal_rotary_pos_emb` (transformers).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "format/manifest.h"
#include "tensor/patch_grid.h"

namespace ocelli {

using Position = std::array<int32_t, 3>;  // time, height, width

// A run of image (or video) tokens inside a prompt.
struct VisionSpan {
  int token_begin = 0;
  PatchGrid grid;
  double seconds_per_grid = 0;  // 0 for images: all tokens share one time position
};

struct PromptPositions {
  std::vector<Position> positions;  // [T]
  int rope_delta = 0;  // a token at cache index c > T has position c + rope_delta on all axes
};

PromptPositions rope_positions(int tokens, std::span<const VisionSpan> spans, int merge,
                               double tokens_per_second);

// Rotation angles of the decoder: cos and sin [rows, head_dim/2] for rows of positions.
class MropeTable {
 public:
  explicit MropeTable(const TextConfig& config);
  void fill(const Position& position, float* cos, float* sin) const;

 private:
  std::vector<float> inverse_frequency_;  // [C/2]
  std::vector<uint8_t> axis_;             // [C/2] which of time, height, width turns this pair
  float magnitude_ = 1.0f;                // YaRN's attention factor, 1 without
};

}  // namespace ocelli
