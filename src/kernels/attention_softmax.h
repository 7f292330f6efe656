// The online softmax over f32 and f16 caches: a running maximum, sum and weighted sum per query, a
// tile of keys at a time; and the queries of a call, which attention over int8 takes too (its
// softmax is attention_q8.cc's). Surprise: `out` holds the running weighted sum between tiles and
// is divided at the end.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/attention.h"
#include "kernels/vec.h"

namespace ocelli {

inline constexpr int kQueriesAtOnce = 64;

struct Query {
  const float* q;  // [C]
  float* out;      // [C] running sum of p * v
  float top;       // running maximum of the scores
  float sum;       // running sum of p
  int length;      // keys of the sequence that it sees
};

// The queries [begin, begin + count) of a call: row by row, the kv head's heads in order.
inline void start(Query* queries, int begin, int count, const KvLayer& kv,
                  const AttentionCall& call) {
  const int head_dim = kv.head_dim, group = call.heads / kv.kv_heads;
  for (int i = 0; i < count; ++i) {
    const int row = (begin + i) / group;
    const int64_t column = (int64_t{call.kv_head} * group + (begin + i) % group) * head_dim;
    float* out = call.out + row * call.out_stride + column;
    queries[i] = {call.q + row * call.q_stride + column, out,
                  -std::numeric_limits<float>::infinity(), 0.0f,
                  call.first_length + (call.causal ? row : 0)};
    std::memset(out, 0, sizeof(float) * size_t(head_dim));
  }
}

// Turns the scores of a tile, of which `seen` >= 1 keys count, into weights p and returns the
// factor for what was summed before. Both are whole pairs of vectors, `seen` rounded up to 8; p is
// 0 past `seen`.
OCELLI_INLINE float soften(Query& query, int seen, float scale, const float* scores, float* p) {
  const i32x4 lane = {0, 1, 2, 3};
  const f32x4 hidden = splat(-std::numeric_limits<float>::infinity());
  f32x4 best[2] = {hidden, hidden};
  for (int j = 0; j < seen; j += 8) {
    f32x4 score[2];
    for (int h = 0; h < 2; ++h) {
      const f32x4 all = load<f32x4>(scores + j + 4 * h) * scale;
      score[h] = select(lane + (j + 4 * h) < seen, all, hidden);
      best[h] = max(best[h], score[h]);
    }
    store(p + j, score[0]);
    store(p + j + 4, score[1]);
  }
  const float tile_top = max_lanes(max(best[0], best[1]));
  const float top = tile_top > query.top ? tile_top : query.top;
  const f32x4 factor = exp_f32x4(splat(query.top - top));  // 0 on the first tile: top was -inf
  f32x4 total[2] = {};
  for (int j = 0; j < seen; j += 8) {
    f32x4 e[2];
    for (int h = 0; h < 2; ++h) {
      e[h] = exp_f32x4(load<f32x4>(p + j + 4 * h) - top);
      total[h] += e[h];
    }
    store(p + j, e[0]);
    store(p + j + 4, e[1]);
  }
  query.sum = query.sum * factor[0] + sum_lanes(total[0] + total[1]);
  query.top = top;
  return factor[0];
}

inline void finish(Query& query, int head_dim) {
  for (int c = 0; c < head_dim; c += 4) {
    store(query.out + c, load<f32x4>(query.out + c) / query.sum);
  }
}

}  // namespace ocelli
