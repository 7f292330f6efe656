// The loops of attention_q8, for a tier's integer dot products. Included by the tier files and by
// attention_q8.cc, which holds the scalar one. Surprise: lanes are queries, eight side by side (the
// heads of a row that share keys, or rows), so that nothing of the softmax crosses lanes; a key's
// and a value's codes are splatted. A lane without a query of its own repeats the last one.
#pragma once

#include "base/check.h"
#include "kernels/attention_q8.h"
#include "kernels/attention_softmax.h"
#include "kernels/matmul_q8_tile.h"

namespace ocelli {

inline constexpr int kLanes = 8;
inline constexpr int kKeyBlock = 32;     // channels of a key that share a scale
static_assert(kKeyBlock == kPeakBlock);  // queries have a sum of codes for each
inline constexpr int kWeightKeys = 32;   // keys whose weights share a scale
inline constexpr int kKeysAtOnce = 128;  // of one step of the softmax
inline constexpr int kBlocksAtOnce = kKeysAtOnce / kKvBlock;
inline constexpr int kQuadBytes = 4 * kLanes;           // four codes of each lane
inline constexpr int kTileQuadBytes = 4 * kTileRows;    // four codes of eight keys, or channels
inline constexpr int kQueryGroups = kHeadDimMax / 128;  // that have a scale each

// Eight queries and what has been summed for them.
struct alignas(16) QueryTile {
  uint8_t
      codes[kHeadDimMax / 4 * 2 * kQuadBytes];  // [C/4, 2, 8, 4]: what the tier makes of 15 bits
  int32_t starts[kHeadDimMax / kKeyBlock * kLanes];  // [C/32, 8] -128 * sum of the 15-bit codes
  float scales[kQueryGroups * kLanes];               // [C/128, 8] times the softmax's own
  float out[kHeadDimMax * kLanes];                   // [C, 8]
  float top[kLanes], sum[kLanes], factor[kLanes];
  int32_t length[kLanes];
  int shortest, longest;
};

struct AttentionScratch {
  alignas(16) uint8_t memory[9856];  // the queries' codes: quantized_rows_bytes(8, 256)
  QueryTile tiles[kQueriesAtOnce / kLanes];
  alignas(16) float scores[kKeysAtOnce * kLanes];     // [keys, 8], then weights
  alignas(16) uint8_t weights[kKeysAtOnce * kLanes];  // [keys/4, 8, 4] their codes, 0..127
  alignas(16) float weight_scales[kKeysAtOnce / kWeightKeys * kLanes];
  alignas(16) float k_scales[kBlocksAtOnce * kHeadDimMax / kKeyBlock * kKvBlock];  // [., C/32, 16]
  alignas(16) float v_scales[kKeysAtOnce];
};
// Not on the stack: the threads of a wasm host have little of it. One for all tiers.
AttentionScratch& attention_scratch();

// Some blocks of one kv head.
struct KvTiles {
  int blocks;
  const uint8_t *k[kBlocksAtOnce], *v[kBlocksAtOnce];
};

// A tier makes its own of four codes of four queries, low and high bytes; U32x8 in and out.
using PackQueries = U32x8 (*)(U32x8);

// Makes a tile of `count` queries, 1 to 8.
void fill_tile(const Query* queries, int count, int head_dim, float scale, PackQueries pack,
               AttentionScratch& scratch, QueryTile& tile);
// Divides by the sums, into the queries' own memory.
void finish_tile(const QueryTile& tile, const Query* queries, int count, int head_dim);
// The scales of the blocks as f32 in the scratch.
void widen_scales(const KvTiles& tiles, int groups, AttentionScratch& scratch);
// Softmax over the scores of `keys` keys from `first` on; then the weights times the values' scales
// as 7-bit codes with one scale for 32 keys.
void soften_tile(QueryTile& tile, int first, int keys, AttentionScratch& scratch);

// Reads a byte of each cache line of the blocks, all at once: README.md, "Memory".
void fetch(const KvTiles& tiles, int64_t bytes);

template <int K>
OCELLI_INLINE void add_scores(const float* scores, f32x4 (*sums)[2]) {
  for (int k = 0; k < K; ++k) {
    sums[k][0] = load<f32x4>(scores + k * kLanes) + sums[k][0];
    sums[k][1] = load<f32x4>(scores + k * kLanes + 4) + sums[k][1];
  }
}

// Scores of the 16 keys of a block.   k_scales  // [C/32, 16]   out  // [16, 8]
template <class Tier>
OCELLI_NOINLINE void score_block(const uint8_t* block, const float* k_scales, int groups,
                                 const QueryTile& tile, float* out) {
  constexpr int K = Tier::kKeys;
  for (int key = 0; key < kKvBlock; key += K) {
    const uint8_t* keys =
        block + key / kTileRows * (groups * kKeyBlock * kTileRows) + key % kTileRows * 4;
    const uint8_t* codes = tile.codes;
    const int32_t* starts = tile.starts;
    const float *scales = k_scales + key, *q_scales = tile.scales;
    float* to = out + key * kLanes;
    for (int g = 0; g < groups;) {
      f32x4 group[K][2] = {};
      const bool is_first = g == 0;
      const int end = std::min(g + kGroupAct / kKeyBlock, groups);
      for (; g < end; ++g) {
        i32x4 acc[K][2];
        keep_pointer(codes);
        keep_pointer(keys);
        Tier::template score<K>(keys, codes, starts, acc);
        for (int k = 0; k < K; ++k) {
          const f32x4 scale = splat(scales[k]);
          group[k][0] += __builtin_convertvector(acc[k][0], f32x4) * scale;
          group[k][1] += __builtin_convertvector(acc[k][1], f32x4) * scale;
        }
        keys += kKeyBlock / 4 * kTileQuadBytes;
        codes += kKeyBlock / 4 * 2 * kQuadBytes;
        starts += kLanes;
        scales += kKvBlock;
      }
      const f32x4 low = load<f32x4>(q_scales), high = load<f32x4>(q_scales + 4);
      for (int k = 0; k < K; ++k) {
        group[k][0] *= low;
        group[k][1] *= high;
      }
      if (!is_first) add_scores<K>(to, group);
      for (int k = 0; k < K; ++k) {
        store(to + k * kLanes, group[k][0]);
        store(to + k * kLanes + 4, group[k][1]);
      }
      q_scales += kLanes;
    }
  }
}

// out = out * factor + weights * values of the first `blocks` blocks.
template <class Tier>
OCELLI_NOINLINE void mix_blocks(const KvTiles& tiles, int blocks, int head_dim,
                                const AttentionScratch& scratch, QueryTile& tile) {
  constexpr int K = 4, kPerGroup = kWeightKeys / kKvBlock;
  constexpr int kBytes = kKvBlock * kTileRows;  // a block's values of 8 channels
  const f32x4 factor[2] = {load<f32x4>(tile.factor), load<f32x4>(tile.factor + 4)};
  for (int c = 0; c < head_dim; c += K) {
    const int at = c / kTileRows * kBytes + c % kTileRows * 4;
    float* out = tile.out + c * kLanes;
    f32x4 total[K][2];
    for (int k = 0; k < K; ++k) {
      total[k][0] = load<f32x4>(out + k * kLanes) * factor[0];
      total[k][1] = load<f32x4>(out + k * kLanes + 4) * factor[1];
    }
    const uint8_t* weights = scratch.weights;
    const float* scales = scratch.weight_scales;
    for (int block = 0; block < blocks;) {
      i32x4 acc[K][2] = {};
      const int end = std::min(block + kPerGroup, blocks);
      for (; block < end; ++block) {
        const uint8_t* values = tiles.v[block] + at;
        keep_pointer(values);
        keep_pointer(weights);
        Tier::template mix<K>(values, weights, acc);
        weights += kKvBlock / 4 * kQuadBytes;
      }
      const f32x4 low = load<f32x4>(scales), high = load<f32x4>(scales + 4);
      for (int k = 0; k < K; ++k) {
        total[k][0] += __builtin_convertvector(acc[k][0], f32x4) * low;
        total[k][1] += __builtin_convertvector(acc[k][1], f32x4) * high;
      }
      scales += kLanes;
    }
    for (int k = 0; k < K; ++k) {
      store(out + k * kLanes, total[k][0]);
      store(out + k * kLanes + 4, total[k][1]);
    }
  }
}

template <class Tier>
void attention_q8_loops(const KvLayer& kv, const AttentionCall& call) {
  const int head_dim = kv.head_dim, groups = (head_dim + kKeyBlock - 1) / kKeyBlock;
  OCELLI_CHECK(head_dim % kTileRows == 0);
  const int64_t stride = kv_block_bytes(KvFormat::kInt8, 1, head_dim);
  const int queries_count = call.rows * (call.heads / kv.kv_heads);
  AttentionScratch& scratch = attention_scratch();
  Query queries[kQueriesAtOnce];
  for (int begin = 0; begin < queries_count; begin += kQueriesAtOnce) {
    const int count = std::min(kQueriesAtOnce, queries_count - begin);
    start(queries, begin, count, kv, call);
    for (int i = 0; i < count; i += kLanes) {
      fill_tile(queries + i, std::min(kLanes, count - i), head_dim, call.scale, Tier::pack, scratch,
                scratch.tiles[i / kLanes]);
    }
    const int longest = queries[count - 1].length;
    for (int first = 0; first < longest; first += kKeysAtOnce) {
      const auto blocks_of = [first](int length) {
        return std::min(kBlocksAtOnce, (length - first + kKvBlock - 1) / kKvBlock);
      };
      KvTiles tiles;
      tiles.blocks = blocks_of(longest);
      // Addresses in vectors end V8 13's compiler when it revectorises.
#pragma clang loop vectorize(disable) unroll(disable)
      for (int block = 0; block < tiles.blocks; ++block) {
        const int64_t number = call.blocks[first / kKvBlock + block];
        const int64_t at = (number * kv.kv_heads + call.kv_head) * stride;
        tiles.k[block] = static_cast<const uint8_t*>(kv.k) + at;
        tiles.v[block] = static_cast<const uint8_t*>(kv.v) + at;
      }
      if (count <= kLanes) fetch(tiles, stride);  // more wait less than they compute
      widen_scales(tiles, groups, scratch);
      for (int i = 0; i < count; i += kLanes) {
        QueryTile& tile = scratch.tiles[i / kLanes];
        if (tile.longest <= first) continue;  // sees nothing of these keys
        const int blocks = blocks_of(tile.longest);
        for (int block = 0; block < blocks; ++block) {
          score_block<Tier>(tiles.k[block], scratch.k_scales + block * groups * kKvBlock, groups,
                            tile, scratch.scores + block * kKvBlock * kLanes);
        }
        soften_tile(tile, first, blocks * kKvBlock, scratch);
        mix_blocks<Tier>(tiles, blocks, head_dim, scratch, tile);
      }
    }
    for (int i = 0; i < count; i += kLanes)
      finish_tile(scratch.tiles[i / kLanes], queries + i, std::min(kLanes, count - i), head_dim);
  }
}

}  // namespace ocelli
