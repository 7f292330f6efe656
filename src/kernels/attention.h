// Attention over keys and values in blocks of 16 tokens: the decoder's KV cache (causal) and the
// segments of the vision tower. Softmax is online, in key order: a row's bits do not depend on the
// other rows of the call. Surprise: slots beyond a row's length may hold anything, NaN included;
// they are never read into a result.
#pragma once

#include <cstdint>

namespace ocelli {

inline constexpr int kKvBlock = 16;      // tokens in a KV block
inline constexpr int kHeadDimMax = 256;  // size of the scratch; head_dim is a multiple of 4

inline constexpr int kKvInt8Multiple = 8;  // what head_dim must be a multiple of for int8

enum class KvFormat : uint8_t { kF32, kF16, kInt8 };

// One layer's cache. f32, f16: [blocks, kv_heads, 16, head_dim]. int8: attention_q8.h.
struct KvLayer {
  void* k = nullptr;
  void* v = nullptr;
  KvFormat format = KvFormat::kF16;
  int kv_heads = 0;
  int head_dim = 0;
};

// Bytes that one block of one layer takes in k and in v each.
constexpr int64_t kv_block_bytes(KvFormat format, int kv_heads, int head_dim) {
  const int64_t values = int64_t{kKvBlock} * kv_heads;
  if (format == KvFormat::kInt8) {  // codes of whole groups of 32 channels, an f16 scale per group
    const int64_t groups = (head_dim + 31) / 32;
    return values * groups * (32 + 2);
  }
  return values * head_dim * (format == KvFormat::kF16 ? 2 : 4);
}

// Writes one token's rotated keys and values.   k, v  // [kv_heads * C] f32   slot in 0..15
void kv_store(const KvLayer& kv, int block, int slot, const float* k, const float* v);

// Consecutive rows of one sequence against its part of the cache, for all query heads of one kv
// head.
struct AttentionCall {
  const int32_t* blocks = nullptr;  // the sequence's, in order
  const float* q = nullptr;         // [rows, heads * C]
  int64_t q_stride = 0;
  float* out = nullptr;  // [rows, heads * C]; only this kv head's columns are written
  int64_t out_stride = 0;
  int rows = 0;
  int first_length = 0;  // tokens that row 0 sees, itself included
  bool causal = true;    // row i sees i more; else all see the same: the vision tower's segments
  int heads = 0;
  int kv_head = 0;
  float scale = 0.0f;
};
void attention_paged(const KvLayer& kv, const AttentionCall& call);

}  // namespace ocelli
