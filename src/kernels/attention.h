// Attention in f32: over the paged KV cache (decoder, causal) and inside a segment (vision tower).
// Softmax is online, 16 keys at a time, in key order: a row's bits do not depend on the other rows
// of the call. Surprise: slots beyond a row's length may hold anything, NaN included; they are
// never read into a result.
#pragma once

#include <cstdint>

namespace ocelli {

inline constexpr int kKvBlock = 16;      // tokens in a KV block
inline constexpr int kHeadDimMax = 256;  // size of the scratch; head_dim is a multiple of 4

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

// `rows` consecutive tokens of one sequence against the cache, for all query heads of one kv head.
// Row i sees the tokens [0, first_length + i); blocks lists the sequence's blocks in order.
//   q, out  // [rows, heads * C] f32 with their strides; only this kv head's columns of out are
//   written
void attention_paged(const KvLayer& kv, const int32_t* blocks, const float* q, int64_t q_stride,
                     int rows, int first_length, int heads, int kv_head, float scale, float* out,
                     int64_t out_stride);

// Bidirectional attention among the rows [begin, end), for the queries [query_begin, query_end) of
// one head.   q, k, v  // [tokens, heads * C] f32, rows `stride` apart   out  // the same with
// out_stride
void attention_segment(const float* q, const float* k, const float* v, int64_t stride, int head,
                       int head_dim, int begin, int end, int query_begin, int query_end,
                       float scale, float* out, int64_t out_stride);

}  // namespace ocelli
