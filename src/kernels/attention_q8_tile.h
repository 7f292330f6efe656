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
inline constexpr int kBlocksAtOnce = 2;
inline constexpr int kKeysAtOnce = kBlocksAtOnce * kKvBlock;
static_assert(kKeysAtOnce == kGroupAct);  // the weights of a query are one group

struct AttentionScratch {
  alignas(16) uint8_t memory[45056];  // the queries' codes: quantized_rows_bytes(64, 256)
  alignas(16) float scores[kQueriesAtOnce * kKeysAtOnce];
  alignas(16) int8_t codes[kQueriesAtOnce * kGroupAct];  // of the weights
  alignas(16) float v_scales[kKeysAtOnce];
  float scales[kQueriesAtOnce], factors[kQueriesAtOnce];
  int32_t offsets[kQueriesAtOnce];
};
// Not on the stack: the threads of a wasm host have little of it. One for all tiers.
AttentionScratch& attention_scratch();

// Quantises the queries: 15 bits in every group, zeros where a group is zero.
QuantizedRows quantize_queries(const Query* queries, int count, int head_dim,
                               AttentionScratch& scratch);

// Some blocks of one kv head.
struct KvTiles {
  int blocks;
  const uint8_t *k[kBlocksAtOnce], *v[kBlocksAtOnce];
  const uint16_t *k_scales[kBlocksAtOnce], *v_scales[kBlocksAtOnce];
};

// Softmax over query i's scores of the tiles, of which it sees `seen` keys; then its weights times
// the keys' scales as 7-bit codes.
void soften_and_quantize(Query& query, int seen, float scale, int i, AttentionScratch& scratch);
// Puts the tiles' v scales where that finds them.
void widen_v_scales(const KvTiles& tiles, AttentionScratch& scratch);

// Scores of T queries from query i on against the 8 keys of one tile.   out  // T rows of 32
template <class Tier, int T>
OCELLI_NOINLINE void score_tile(const uint8_t* cells, const uint16_t* k_scales, int groups,
                                const QuantizedRows& q, int i, float* out) {
  f32x4 total[T][2] = {};
  const int64_t rows = q.rows;
  int64_t at = i;
#pragma clang loop unroll(disable)
  for (int g = 0; g < groups; ++g) {
    keep_pointer(cells);
    i32x4 acc[T][2];
    f32x4 sum[T][2];
    start_u8<Tier, T>(q.offsets + at, acc);
    Tier::template add_u8<T, kGroupAct / 4>(cells, q.codes + at * kGroupAct, acc);
    for (int t = 0; t < T; ++t) {
      const float scale = q.scales[at + t];
      sum[t][0] = __builtin_convertvector(acc[t][0], f32x4) * scale;
      sum[t][1] = __builtin_convertvector(acc[t][1], f32x4) * scale;
    }
    start_u8<Tier, T>(q.fine_offsets + at, acc);
    Tier::template add_u8<T, kGroupAct / 4>(cells, q.fine + at * kGroupAct, acc);
    const F32x8 k_scale = f16x8_to_f32(k_scales);
    for (int t = 0; t < T; ++t) {
      const float scale = q.fine_scales[at + t];
      total[t][0] += (sum[t][0] + __builtin_convertvector(acc[t][0], f32x4) * scale) * k_scale.low;
      total[t][1] += (sum[t][1] + __builtin_convertvector(acc[t][1], f32x4) * scale) * k_scale.high;
    }
    cells += kCellBytes<false>;
    k_scales += kKvBlock;
    at += rows;
  }
  for (int t = 0; t < T; ++t) {
    store(out + t * kKeysAtOnce, total[t][0]);
    store(out + t * kKeysAtOnce + 4, total[t][1]);
  }
}

// out = out * factor + weights * values of T queries from query i on.
template <class Tier, int T>
OCELLI_NOINLINE void mix_tiles(const KvTiles& tiles, int head_dim, const AttentionScratch& scratch,
                               int i, float* const* outs) {
  constexpr int kBytes = kKvBlock * kTileRows;  // a block's values of 8 channels
  for (int c = 0; c < head_dim; c += kTileRows) {
    i32x4 acc[T][2];
    start_u8<Tier, T>(scratch.offsets + i, acc);
#pragma clang loop unroll(disable)
    for (int block = 0; block < tiles.blocks; ++block) {
      const uint8_t* cells = tiles.v[block] + c / kTileRows * kBytes;
      keep_pointer(cells);
      const int8_t* codes = scratch.codes + i * kGroupAct + block * kKvBlock;
      Tier::template add_u8<T, kKvBlock / 4>(cells, codes, acc);
    }
    for (int t = 0; t < T; ++t) {
      const float factor = scratch.factors[i + t], scale = scratch.scales[i + t];
      float* out = outs[t] + c;
      const f32x4 low = load<f32x4>(out), high = load<f32x4>(out + 4);
      store(out, low * factor + __builtin_convertvector(acc[t][0], f32x4) * scale);
      store(out + 4, high * factor + __builtin_convertvector(acc[t][1], f32x4) * scale);
    }
  }
}

template <class Tier>
void attention_q8_loops(const KvLayer& kv, const AttentionCall& call) {
  const int head_dim = kv.head_dim, groups = (head_dim + kGroupAct - 1) / kGroupAct;
  OCELLI_CHECK(head_dim % kTileRows == 0);
  const int64_t codes = int64_t{groups} * kGroupAct * kKvBlock;  // bytes before the scales
  const int64_t stride = kv_block_bytes(KvFormat::kInt8, 1, head_dim);
  const int queries_count = call.rows * (call.heads / kv.kv_heads);
  AttentionScratch& scratch = attention_scratch();
  Query queries[kQueriesAtOnce];
  for (int begin = 0; begin < queries_count; begin += kQueriesAtOnce) {
    const int count = std::min(kQueriesAtOnce, queries_count - begin);
    start(queries, begin, count, kv, call);
    const QuantizedRows rows_q8 = quantize_queries(queries, count, head_dim, scratch);
    const int longest = queries[count - 1].length;
    int first_query = 0;  // the queries before it see nothing of the tiles
    for (int first = 0; first < longest; first += kKeysAtOnce) {
      while (queries[first_query].length <= first) ++first_query;
      KvTiles tiles;
      tiles.blocks = std::min(kBlocksAtOnce, (longest - first + kKvBlock - 1) / kKvBlock);
      for (int block = 0; block < tiles.blocks; ++block) {
        const int64_t number = call.blocks[first / kKvBlock + block];
        const int64_t at = (number * kv.kv_heads + call.kv_head) * stride;
        tiles.k[block] = static_cast<const uint8_t*>(kv.k) + at;
        tiles.v[block] = static_cast<const uint8_t*>(kv.v) + at;
        tiles.k_scales[block] = reinterpret_cast<const uint16_t*>(tiles.k[block] + codes);
        tiles.v_scales[block] = reinterpret_cast<const uint16_t*>(tiles.v[block] + codes);
      }
      for_each_token_tile<Tier::kTokens>(count - first_query, [&]<int T>(int t) {
        const int i = first_query + t;
        for (int tile = 0; tile < tiles.blocks * kKeyTiles; ++tile) {
          const int block = tile / kKeyTiles, half = tile % kKeyTiles;
          score_tile<Tier, T>(tiles.k[block] + half * codes / kKeyTiles,
                              tiles.k_scales[block] + half * kTileRows, groups, rows_q8, i,
                              scratch.scores + i * kKeysAtOnce + tile * kTileRows);
        }
      });
      widen_v_scales(tiles, scratch);
      for (int i = first_query; i < count; ++i) {
        const int seen = std::min(kKeysAtOnce, queries[i].length - first);
        soften_and_quantize(queries[i], seen, call.scale, i, scratch);
      }
      for_each_token_tile<Tier::kTokens>(count - first_query, [&]<int T>(int t) {
        const int i = first_query + t;
        float* outs[T];
        for (int j = 0; j < T; ++j) outs[j] = queries[i + j].out;
        mix_tiles<Tier, T>(tiles, head_dim, scratch, i, outs);
      });
    }
    for (int i = 0; i < count; ++i) finish(queries[i], head_dim);
  }
}

}  // namespace ocelli
