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
inline constexpr int kKeyBlock = 32;     // channels of a key that share a scale
static_assert(kKeyBlock == kPeakBlock);  // queries have a sum of codes for each

// Cells of u8 that a tier takes at once where 8 streams meet one tile.
template <class Tier>
inline constexpr int kCellsOfKeys = Tier::template cells_at_once<false, 8>();

struct AttentionScratch {
  alignas(16) uint8_t memory[45120];  // the queries' codes: quantized_rows_bytes(64, 256)
  alignas(16) float scores[kQueriesAtOnce * kKeysAtOnce];
  alignas(16) int8_t codes[kQueriesAtOnce * kKeysAtOnce];  // of the weights
  alignas(16) float v_scales[kKeysAtOnce];
  float scales[kQueriesAtOnce], factors[kQueriesAtOnce];
  int32_t sums[kQueriesAtOnce];  // minus the sum of the codes
};
// Not on the stack: the threads of a wasm host have little of it. One for all tiers.
AttentionScratch& attention_scratch();

// Quantises the queries to 15 bits.
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
  constexpr int S = 2 * T, kSteps = kKeyBlock / 4 / kCellsOfKeys<Tier>;
  const int64_t streams = q.streams();
  const int8_t* codes = q.codes + int64_t{2 * i} * kGroupAct;
  const int32_t* sums = q.block_sums + 2 * i;
  const float* q_scales = q.scales + i;
  const U32x8 masks = nibble_masks();
  f32x4 total[T][2] = {};
  for (int g = 0; g < groups;) {
    f32x4 group[T][2] = {};
    const int end = std::min(g + kGroupAct / kKeyBlock, groups);
    for (; g < end; ++g) {
      i32x4 acc[1][S][2];
      start_u8<Tier, S>(sums, acc[0]);
#pragma clang loop unroll(disable)
      for (int step = 0; step < kSteps; ++step) {
        keep_pointer(cells);
        Tier::template add_u8<1, S, kCellsOfKeys<Tier>, kGroupAct>(&cells, codes, masks, acc);
        cells += kCellsOfKeys<Tier> * kCellBytes;
        codes += kCellsOfKeys<Tier> * 4;
      }
      const F32x8 scale = f16x8_to_f32(k_scales);
      for (int t = 0; t < T; ++t) {
        group[t][0] += joined<true>(acc[0], t, 0) * scale.low;
        group[t][1] += joined<true>(acc[0], t, 1) * scale.high;
      }
      k_scales += kKvBlock;
      sums += streams;
    }
    for (int t = 0; t < T; ++t) {
      total[t][0] += group[t][0] * q_scales[t];
      total[t][1] += group[t][1] * q_scales[t];
    }
    codes += (streams - 1) * kGroupAct;
    q_scales += q.rows;
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
  const U32x8 masks = nibble_masks();
  for (int c = 0; c < head_dim; c += kTileRows) {
    i32x4 acc[1][T][2];
    start_u8<Tier, T>(scratch.sums + i, acc[0]);
#pragma clang loop unroll(disable)
    for (int block = 0; block < tiles.blocks; ++block) {
      const uint8_t* cells = tiles.v[block] + c / kTileRows * kBytes;
      keep_pointer(cells);
      const int8_t* codes = scratch.codes + i * kKeysAtOnce + block * kKvBlock;
      Tier::template add_u8<1, T, kKvBlock / 4, kKeysAtOnce>(&cells, codes, masks, acc);
    }
    for (int t = 0; t < T; ++t) {
      const float factor = scratch.factors[i + t], scale = scratch.scales[i + t];
      float* out = outs[t] + c;
      const f32x4 low = load<f32x4>(out), high = load<f32x4>(out + 4);
      store(out, low * factor + joined<false>(acc[0], t, 0) * scale);
      store(out + 4, high * factor + joined<false>(acc[0], t, 1) * scale);
    }
  }
}

template <class Tier>
void attention_q8_loops(const KvLayer& kv, const AttentionCall& call) {
  const int head_dim = kv.head_dim, groups = (head_dim + kKeyBlock - 1) / kKeyBlock;
  OCELLI_CHECK(head_dim % kTileRows == 0);
  const int64_t codes = int64_t{groups} * kKeyBlock * kKvBlock;  // bytes before the scales
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
      for_each_part<Tier::kStreams / 2>(count - first_query, [&]<int T>(int t) {
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
      for_each_part<Tier::kStreams>(count - first_query, [&]<int T>(int t) {
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
