// Attention over an int8 KV cache with integer dot products. Called through attention.h.
//
// One block of one kv head, head_dim (a multiple of 8) padded to whole groups of 32 channels (C):
//   k  codes U8 [2, C/4, 8, 4]: byte 4r+j of cell (t, c) = code of key 8t+r, channel 4c+j;
//      then scales F16 [C/32, 16]: one per group of channels and key
//   v  codes S8 [C/8, 4, 8, 4]: byte 4r+j of cell (t, s) = code of channel 8t+r, key 4s+j;
//      then scales F16 [16]: one per key
// A key is (code - 128) * scale, a value code * scale.
//
// Arithmetic, per query and 128 keys: the query has 15 bits in groups of 128 channels; score of a
// key = sum over those of (sum over groups of 32 of f32(acc) * scale_k) * (scale_q * scale);
// softmax as in f32, sums in key order; the weights times the keys' v scales become 7 bits with one
// scale for 32 keys; out = out * factor, then + f32(acc) * scale_p for each 32. What the bits cost
// in accuracy: README.md.
#pragma once

#include "kernels/attention.h"

namespace ocelli {

void kv_store_q8(const KvLayer& kv, int block, int slot, const float* k, const float* v);

// attention_paged for KvFormat::kInt8: the tier that matmul_q8 uses.
void attention_q8(const KvLayer& kv, const AttentionCall& call);

// Its specification: the same loops on plain integer arithmetic.
void attention_q8_scalar(const KvLayer& kv, const AttentionCall& call);

}  // namespace ocelli
