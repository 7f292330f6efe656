// The online softmax that all attention kernels share: a running maximum, sum and weighted sum per
// query, 16 keys at a time. Surprise: `out` holds the running weighted sum between tiles and is
// divided at the end.
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

inline void start(Query& query, const float* q, float* out, int length, int head_dim) {
  query = {q, out, -std::numeric_limits<float>::infinity(), 0.0f, length};
  std::memset(out, 0, sizeof(float) * size_t(head_dim));
}

// The queries [begin, begin + count) of attention_paged: row by row, the kv head's heads in order.
inline void start_paged(Query* queries, int begin, int count, int group, int kv_head, int head_dim,
                        int first_length, const float* q, int64_t q_stride, float* out,
                        int64_t out_stride) {
  for (int i = 0; i < count; ++i) {
    const int row = (begin + i) / group;
    const int64_t column = (int64_t{kv_head} * group + (begin + i) % group) * head_dim;
    start(queries[i], q + row * q_stride + column, out + row * out_stride + column,
          first_length + row, head_dim);
  }
}

// Turns the scores s of a tile, of which `seen` keys count, into weights p (0 for the others) and
// returns the factor for what was summed before.   s // [4] vectors   p // [16]
OCELLI_INLINE float soften(Query& query, int seen, float scale, f32x4* s, float* p) {
  const i32x4 lane = {0, 1, 2, 3};
  const f32x4 hidden = splat(-std::numeric_limits<float>::infinity());
  f32x4 best = hidden;
  for (int j = 0; j < 4; ++j) {
    s[j] = select(lane + 4 * j < seen, s[j] * scale, hidden);
    best = max(best, s[j]);
  }
  const float tile_top = std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
  const float top = tile_top > query.top ? tile_top : query.top;
  const f32x4 factor = exp_f32x4(splat(query.top - top));  // 0 on the first tile: top was -inf
  f32x4 total = {};
  for (int j = 0; j < 4; ++j) {
    const f32x4 e = exp_f32x4(s[j] - top);
    store(p + 4 * j, e);
    total += e;
  }
  query.sum = query.sum * factor[0] + sum_lanes(total);
  query.top = top;
  return factor[0];
}

inline void finish(Query& query, int head_dim) {
  for (int c = 0; c < head_dim; c += 4) {
    store(query.out + c, load<f32x4>(query.out + c) / query.sum);
  }
}

}  // namespace ocelli
