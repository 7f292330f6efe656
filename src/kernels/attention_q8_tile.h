// The loops of attention_q8, for a tier's integer dot products. Included by the tier files and by
// attention_q8.cc, which holds the scalar one. Surprise: all queries of the call take a block's
// scores, then its softmax, then its values, so that each step runs on whole tiles of queries.
#pragma once

#include "base/check.h"
#include "kernels/attention_q8.h"
#include "kernels/attention_softmax.h"
#include "kernels/matmul_q8_tile.h"

namespace ocelli {

inline constexpr int kKeyTiles = kKvBlock / kTileRows;

struct AttentionScratch {
  alignas(16) uint8_t memory[45056];  // the queries' codes: quantized_rows_bytes(64, 256)
  alignas(16) float scores[kQueriesAtOnce * kKvBlock];
  alignas(16) int8_t codes[kQueriesAtOnce * kGroupAct];  // weights; the upper 16 of 32 stay 0
  float scales[kQueriesAtOnce], factors[kQueriesAtOnce];
  int32_t offsets[kQueriesAtOnce];
};
// Not on the stack: the threads of a wasm host have little of it. One for all tiers.
AttentionScratch& attention_scratch();

// Quantises the queries: 15 bits in every group, zeros where a group is zero.
QuantizedRows quantize_queries(const Query* queries, int count, int head_dim,
                               AttentionScratch& scratch);

// p[16] * the keys' scales -> 7-bit codes of query i.
void quantize_weights(const float* p, const uint16_t* v_scales, int seen, int i,
                      AttentionScratch& scratch);

// Scores of T queries from query i on against the 8 keys of one tile.   out  // T rows of 16
template <class Tier, int T>
OCELLI_NOINLINE void score_tile(const uint8_t* cells, const uint16_t* k_scales, int groups,
                                const QuantizedRows& q, int i, float* out) {
  f32x4 total[T][2] = {};
  const int64_t rows = q.rows;
  int64_t at = i;
#pragma clang loop unroll(disable)
  for (int g = 0; g < groups; ++g) {
    keep_pointer(cells);
    i32x4 acc[T][2], fine[T][2];
    Tier::template dot_u8<T, kGroupAct / 4>(cells, q.codes + at * kGroupAct, q.offsets + at, acc);
    Tier::template dot_u8<T, kGroupAct / 4>(cells, q.fine + at * kGroupAct, q.fine_offsets + at,
                                            fine);
    const f32x4 low = f16x4_to_f32(load<u16x4>(k_scales));
    const f32x4 high = f16x4_to_f32(load<u16x4>(k_scales + 4));
    for (int t = 0; t < T; ++t) {
      const float scale = q.scales[at + t], fine_scale = q.fine_scales[at + t];
      total[t][0] += (__builtin_convertvector(acc[t][0], f32x4) * scale +
                      __builtin_convertvector(fine[t][0], f32x4) * fine_scale) *
                     low;
      total[t][1] += (__builtin_convertvector(acc[t][1], f32x4) * scale +
                      __builtin_convertvector(fine[t][1], f32x4) * fine_scale) *
                     high;
    }
    cells += kCellBytes<false>;
    k_scales += kKvBlock;
    at += rows;
  }
  for (int t = 0; t < T; ++t) {
    store(out + t * kKvBlock, total[t][0]);
    store(out + t * kKvBlock + 4, total[t][1]);
  }
}

// out = out * factor + weights * values of T queries from query i on.
template <class Tier, int T>
OCELLI_NOINLINE void mix_tile(const uint8_t* cells, int head_dim, const AttentionScratch& scratch,
                              int i, float* const* outs) {
  const int8_t* codes = scratch.codes + i * kGroupAct;
  const int32_t* offsets = scratch.offsets + i;
  for (int c = 0; c < head_dim; c += kTileRows) {
    keep_pointer(cells);
    i32x4 acc[T][2];
    Tier::template dot_u8<T, kKvBlock / 4>(cells, codes, offsets, acc);
    for (int t = 0; t < T; ++t) {
      const float factor = scratch.factors[i + t], scale = scratch.scales[i + t];
      float* out = outs[t] + c;
      const f32x4 low = load<f32x4>(out), high = load<f32x4>(out + 4);
      store(out, low * factor + __builtin_convertvector(acc[t][0], f32x4) * scale);
      store(out + 4, high * factor + __builtin_convertvector(acc[t][1], f32x4) * scale);
    }
    cells += kKvBlock * kTileRows;
  }
}

// Calls visit.template operator()<T>(i) for tiles of T queries that cover [begin, end).
template <int kTokens, class F>
OCELLI_INLINE void for_each_query_tile(int begin, int end, F&& visit) {
  int i = begin;
  if constexpr (kTokens == 8) {
    for (; i + 8 <= end; i += 8) visit.template operator()<8>(i);
  }
  for (; i + 4 <= end; i += 4) visit.template operator()<4>(i);
  for (; i < end; ++i) visit.template operator()<1>(i);
}

template <class Tier>
void attention_q8_loops(const KvLayer& kv, const int32_t* blocks, const float* q, int64_t q_stride,
                        int rows, int first_length, int heads, int kv_head, float scale, float* out,
                        int64_t out_stride) {
  const int head_dim = kv.head_dim, groups = (head_dim + kGroupAct - 1) / kGroupAct;
  const int group = heads / kv.kv_heads;
  OCELLI_CHECK(head_dim % kTileRows == 0);
  const int64_t codes = int64_t{groups} * kGroupAct * kKvBlock;  // bytes before the scales
  const int64_t stride = kv_block_bytes(KvFormat::kInt8, 1, head_dim);
  AttentionScratch& scratch = attention_scratch();
  Query queries[kQueriesAtOnce];
  for (int begin = 0; begin < rows * group; begin += kQueriesAtOnce) {
    const int count = std::min(kQueriesAtOnce, rows * group - begin);
    start_paged(queries, begin, count, group, kv_head, head_dim, first_length, q, q_stride, out,
                out_stride);
    const QuantizedRows rows_q8 = quantize_queries(queries, count, head_dim, scratch);
    const int longest = queries[count - 1].length;
    int first_query = 0;  // the queries before it see nothing of the block
    for (int first = 0; first < longest; first += kKvBlock) {
      while (queries[first_query].length <= first) ++first_query;
      const int64_t at = (int64_t{blocks[first / kKvBlock]} * kv.kv_heads + kv_head) * stride;
      const auto* k = static_cast<const uint8_t*>(kv.k) + at;
      const auto* v = static_cast<const uint8_t*>(kv.v) + at;
      const auto* k_scales = reinterpret_cast<const uint16_t*>(k + codes);
      const auto* v_scales = reinterpret_cast<const uint16_t*>(v + codes);
      for_each_query_tile<Tier::kTokens>(first_query, count, [&]<int T>(int i) {
        for (int tile = 0; tile < kKeyTiles; ++tile) {
          score_tile<Tier, T>(k + tile * codes / kKeyTiles, k_scales + tile * kTileRows, groups,
                              rows_q8, i, scratch.scores + i * kKvBlock + tile * kTileRows);
        }
      });
      for (int i = first_query; i < count; ++i) {
        const int seen = std::min(kKvBlock, queries[i].length - first);
        f32x4 s[4];
        float p[kKvBlock];
        for (int j = 0; j < 4; ++j) s[j] = load<f32x4>(scratch.scores + i * kKvBlock + 4 * j);
        scratch.factors[i] = soften(queries[i], seen, scale, s, p);
        quantize_weights(p, v_scales, seen, i, scratch);
      }
      for_each_query_tile<Tier::kTokens>(first_query, count, [&]<int T>(int i) {
        float* outs[T];
        for (int t = 0; t < T; ++t) outs[t] = queries[i + t].out;
        mix_tile<Tier, T>(v, head_dim, scratch, i, outs);
      });
    }
    for (int i = 0; i < count; ++i) finish(queries[i], head_dim);
  }
}

}  // namespace ocelli
