// KvBalance: factors per channel that make the keys and values of a layer alike in size before they
// become int8, whose scales are shared by 32 channels. Qwen2.5's key biases are hundreds of times
// as large as other channels. Made and used by Decoder. Surprise: all are powers of two, so that
// multiplying rounds nothing: q * f times k / f is q times k to the bit.
#pragma once

#include <vector>

#include "model/weights.h"

namespace ocelli {

struct KvBalance {
  std::vector<float> q, k;    // [H*C] [K*C], both halves of a rotated pair alike: after rope
  std::vector<float> v, out;  // [K*C] [H*C]: values, and what attention makes of them
};

// Of the largest values that the layer's projections are likely to give: |bias| and three
// deviations for inputs as the norm leaves them. Reads k_proj and v_proj once.
KvBalance kv_balance(const TextConfig& config, const DecoderLayer& layer);

}  // namespace ocelli
