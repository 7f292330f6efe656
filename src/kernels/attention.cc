// Attention with an online softmax. Keys come in tiles of 16: a tile's keys are transposed to
// [C][16] f32 once and serve every query of the call, so a score is one lane and nothing is summed
// across lanes. Called by `model` per (sequence or segment, kv head). The int8 cache is
// attention_q8.h's.
#include "kernels/attention.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/attention_q8.h"
#include "kernels/attention_softmax.h"
#include "kernels/vec.h"

namespace ocelli {
namespace {

constexpr int kTile = kKvBlock;

// Not on the stack: the threads of a wasm host have little of it.
struct Scratch {
  alignas(16) float keys[kHeadDimMax * kTile];    // [C, 16]
  alignas(16) float values[kTile * kHeadDimMax];  // [16, C], f16 caches only
};
thread_local Scratch scratch;

// Four rows of keys, four channels at a time -> columns.   out  // [C, 16], column `column`..+3
template <class Load>
OCELLI_INLINE void transpose_keys(int head_dim, int count, float* out, Load&& load_row) {
  for (int token = 0; token < kTile; token += 4) {
    for (int c = 0; c < head_dim; c += 4) {
      f32x4 row[4];
      for (int j = 0; j < 4; ++j) row[j] = token + j < count ? load_row(token + j, c) : f32x4{};
      const f32x4 ab_low = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
      const f32x4 ab_high = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
      const f32x4 cd_low = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
      const f32x4 cd_high = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
      float* to = out + c * kTile + token;
      store(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
      store(to + kTile, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
      store(to + 2 * kTile, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
      store(to + 3 * kTile, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
    }
  }
}

// Scores of Q queries against the 16 keys.   keys  // [C, 16]   out  // [Q, 16]
template <int Q>
OCELLI_INLINE void scores(const Query* queries, const float* keys, int head_dim, float* out) {
  f32x4 acc[Q][4] = {};
  for (int c = 0; c < head_dim; ++c) {
    const float* column = keys + c * kTile;
    const f32x4 k0 = load<f32x4>(column), k1 = load<f32x4>(column + 4);
    const f32x4 k2 = load<f32x4>(column + 8), k3 = load<f32x4>(column + 12);
#pragma clang loop unroll(full)
    for (int i = 0; i < Q; ++i) {
      const f32x4 value = splat(queries[i].q[c]);
      acc[i][0] += k0 * value;
      acc[i][1] += k1 * value;
      acc[i][2] += k2 * value;
      acc[i][3] += k3 * value;
    }
  }
  for (int i = 0; i < Q; ++i) {
    for (int j = 0; j < 4; ++j) store(out + i * kTile + 4 * j, acc[i][j]);
  }
}

// out = out * factor + sum_j p[j] values[j], j in order, for 4 * V channels.
template <int V>
OCELLI_INLINE void gather_channels(float* out, float factor, const float* p, int seen,
                                   const float* values, int head_dim) {
  f32x4 acc[V];
  for (int i = 0; i < V; ++i) acc[i] = load<f32x4>(out + 4 * i) * factor;
  for (int j = 0; j < seen; ++j, values += head_dim) {
    const f32x4 weight = splat(p[j]);
    for (int i = 0; i < V; ++i) acc[i] += weight * load<f32x4>(values + 4 * i);
  }
  for (int i = 0; i < V; ++i) store(out + 4 * i, acc[i]);
}

// The same for all channels; eight vectors at a time hide the latency of the sums.
// values  // [seen, C]
OCELLI_INLINE void gather(float* out, float factor, const float* p, int seen, const float* values,
                          int head_dim) {
  int c = 0;
  for (; c + 32 <= head_dim; c += 32)
    gather_channels<8>(out + c, factor, p, seen, values + c, head_dim);
  for (; c + 8 <= head_dim; c += 8)
    gather_channels<2>(out + c, factor, p, seen, values + c, head_dim);
  if (c < head_dim) gather_channels<1>(out + c, factor, p, seen, values + c, head_dim);
}

// One tile of keys for all queries of the call. first_key: index of the tile's first key.
OCELLI_NOINLINE void attend_tile(Query* queries, int count, const float* keys, const float* values,
                                 int head_dim, int first_key, float scale) {
  alignas(16) float s[2 * kTile], p[kTile];
  for (int i = 0; i < count; i += 2) {
    const int pair = std::min(2, count - i);
    if (pair == 2) {
      scores<2>(queries + i, keys, head_dim, s);
    } else {
      scores<1>(queries + i, keys, head_dim, s);
    }
    for (int j = 0; j < pair; ++j) {
      Query& query = queries[i + j];
      const int seen = std::min(kTile, query.length - first_key);
      if (seen <= 0) continue;
      const float factor = soften(query, seen, scale, s + j * kTile, p);
      gather(query.out, factor, p, seen, values, head_dim);
    }
  }
}

void check_head_dim(int head_dim) {
  OCELLI_CHECK(head_dim > 0 && head_dim % 4 == 0 && head_dim <= kHeadDimMax);
}

// Element offset of (block, kv_head, slot 0).
int64_t block_offset(const KvLayer& kv, int block, int kv_head) {
  return (int64_t{block} * kv.kv_heads + kv_head) * kKvBlock * kv.head_dim;
}

}  // namespace

OCELLI_NOINLINE void kv_store(const KvLayer& kv, int block, int slot, const float* k,
                              const float* v) {
  check_head_dim(kv.head_dim);
  if (kv.format == KvFormat::kInt8) return kv_store_q8(kv, block, slot, k, v);
  for (int head = 0; head < kv.kv_heads; ++head) {
    const int64_t at = block_offset(kv, block, head) + int64_t{slot} * kv.head_dim;
    const int64_t from = int64_t{head} * kv.head_dim;
    if (kv.format == KvFormat::kF32) {
      std::memcpy(static_cast<float*>(kv.k) + at, k + from, sizeof(float) * size_t(kv.head_dim));
      std::memcpy(static_cast<float*>(kv.v) + at, v + from, sizeof(float) * size_t(kv.head_dim));
      continue;
    }
    auto* k_to = static_cast<uint16_t*>(kv.k) + at;
    auto* v_to = static_cast<uint16_t*>(kv.v) + at;
    for (int c = 0; c < kv.head_dim; c += 4) {
      store(k_to + c, f32_to_f16x4(load<f32x4>(k + from + c)));
      store(v_to + c, f32_to_f16x4(load<f32x4>(v + from + c)));
    }
  }
}

OCELLI_NOINLINE void attention_paged(const KvLayer& kv, const AttentionCall& call) {
  const int head_dim = kv.head_dim;
  check_head_dim(head_dim);
  OCELLI_CHECK(call.first_length >= 1 && call.heads % kv.kv_heads == 0);
  if (kv.format == KvFormat::kInt8) return attention_q8(kv, call);
  const int queries_count = call.rows * (call.heads / kv.kv_heads);
  Query queries[kQueriesAtOnce];
  for (int begin = 0; begin < queries_count; begin += kQueriesAtOnce) {
    const int count = std::min(kQueriesAtOnce, queries_count - begin);
    start(queries, begin, count, kv, call);
    const int longest = queries[count - 1].length;
    for (int first = 0; first < longest; first += kTile) {
      const int64_t at = block_offset(kv, call.blocks[first / kTile], call.kv_head);
      const int filled = std::min(kTile, longest - first);
      const float* values = scratch.values;
      if (kv.format == KvFormat::kF16) {
        const auto* k16 = static_cast<const uint16_t*>(kv.k) + at;
        const auto* v16 = static_cast<const uint16_t*>(kv.v) + at;
        transpose_keys(head_dim, filled, scratch.keys, [&](int token, int c) {
          return f16x4_to_f32(load<u16x4>(k16 + token * head_dim + c));
        });
        for (int i = 0; i < filled * head_dim; i += 4) {
          store(scratch.values + i, f16x4_to_f32(load<u16x4>(v16 + i)));
        }
      } else {
        const auto* k32 = static_cast<const float*>(kv.k) + at;
        values = static_cast<const float*>(kv.v) + at;
        transpose_keys(head_dim, filled, scratch.keys,
                       [&](int token, int c) { return load<f32x4>(k32 + token * head_dim + c); });
      }
      attend_tile(queries, count, scratch.keys, values, head_dim, first, call.scale);
    }
    for (int i = 0; i < count; ++i) finish(queries[i], head_dim);
  }
}

}  // namespace ocelli
