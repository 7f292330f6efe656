// What all tiers of attention_q8 share: writing the cache, quantising queries and weights, the
// scalar specification, and the choice of the tier.
#include "kernels/attention_q8.h"

#include <limits>

#include "base/half.h"
#include "kernels/attention_q8_tile.h"
#include "kernels/matmul_q8_tiers.h"

namespace ocelli {
namespace {

struct Scalar {
  static constexpr int kKeys = 4;
  static U32x8 pack(U32x8 codes) { return codes; }

  template <int K>
  static void score(const uint8_t* keys, const uint8_t* codes, const int32_t* starts,
                    i32x4 (*acc)[2]) {
    for (int k = 0; k < K; ++k) {
      for (int lane = 0; lane < kLanes; ++lane) {
        int32_t sum = starts[lane];
        for (int c = 0; c < kKeyBlock; ++c) {
          const auto* at =
              reinterpret_cast<const int8_t*>(codes) + c / 4 * 2 * kQuadBytes + 4 * lane + c % 4;
          sum += (256 * at[kQuadBytes] + at[0]) * keys[c / 4 * kTileQuadBytes + 4 * k + c % 4];
        }
        acc[k][lane / 4][lane % 4] = sum;
      }
    }
  }

  template <int K>
  static void mix(const uint8_t* values, const uint8_t* weights, i32x4 (*acc)[2]) {
    for (int k = 0; k < K; ++k) {
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int key = 0; key < kKvBlock; ++key) {
          const auto value =
              static_cast<int8_t>(values[key / 4 * kTileQuadBytes + 4 * k + key % 4]);
          acc[k][lane / 4][lane % 4] += value * weights[key / 4 * kQuadBytes + 4 * lane + key % 4];
        }
      }
    }
  }
};

// max|x| of `count` values, a multiple of 4; NaN when one is not finite.
float peak_of(const float* x, int count) {
  f32x4 peak = {}, damage = {};
  for (int i = 0; i < count; i += 4) {
    const f32x4 magnitude = abs(load<f32x4>(x + i));
    peak = max(magnitude, peak);
    damage += magnitude * 0.0f;  // 0, or NaN for ever
  }
  return max_lanes(peak) + sum_lanes(damage);
}

struct Step {
  uint16_t bits;  // of the scale, f16
  float inverse;  // 0 for a group of zeros
};

// The f16 scale that takes `peak` to 127.
Step step_of(float peak) {
  const uint16_t bits = f32_to_f16(peak / 127.0f);
  const float scale = f16_to_f32(bits);
  return {bits, scale > 0.0f ? 1.0f / scale : 0.0f};
}

// Codes of values x; 255 for NaN. The scale's rounding may reach 127.06.
u8x4 codes_of(f32x4 x, float inverse) {
  const f32x4 code = max(min(x * inverse, splat(127.0f)), splat(-127.0f));
  return __builtin_convertvector(round_small(code) + kZeroU8, u8x4);
}

// Of a matrix of 4 x 4.
template <class V>
OCELLI_INLINE void transpose(V (&rows)[4]) {
  const V ab_low = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const V ab_high = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const V cd_low = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const V cd_high = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  rows[0] = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  rows[1] = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  rows[2] = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  rows[3] = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

}  // namespace

AttentionScratch& attention_scratch() {
  static thread_local AttentionScratch scratch;
  return scratch;
}

OCELLI_NOINLINE void kv_store_q8(const KvLayer& kv, int block, int slot, const float* k,
                                 const float* v) {
  const int head_dim = kv.head_dim, groups = (head_dim + kKeyBlock - 1) / kKeyBlock;
  const int64_t codes = int64_t{groups} * kKeyBlock * kKvBlock;
  const int64_t stride = kv_block_bytes(KvFormat::kInt8, 1, head_dim);
  for (int head = 0; head < kv.kv_heads; ++head, k += head_dim, v += head_dim) {
    const int64_t at = (int64_t{block} * kv.kv_heads + head) * stride;
    auto* k_to = static_cast<uint8_t*>(kv.k) + at;
    auto* v_to = static_cast<uint8_t*>(kv.v) + at;
    uint8_t* tile = k_to + slot / kTileRows * (codes / 2) + slot % kTileRows * 4;
    for (int g = 0; g < groups; ++g) {
      const int begin = g * kKeyBlock, end = std::min(begin + kKeyBlock, head_dim);
      const Step step = step_of(peak_of(k + begin, end - begin));
      store(k_to + codes + 2 * (g * kKvBlock + slot), step.bits);
      for (int c = begin; c < begin + kKeyBlock; c += 4) {
        store(tile + c * 8,
              c < end ? codes_of(load<f32x4>(k + c), step.inverse) : u8x4{} + uint8_t{kZeroU8});
      }
    }
    const Step step = step_of(peak_of(v, head_dim));
    store(v_to + codes + 2 * slot, step.bits);
    for (int c = 0; c < head_dim; c += 4) {
      const u8x4 four = codes_of(load<f32x4>(v + c), step.inverse) ^ uint8_t { kZeroU8 };
      uint8_t* to = v_to + c / kTileRows * (kKvBlock * kTileRows) + slot / 4 * 32 +
                    c % kTileRows * 4 + slot % 4;
      for (int j = 0; j < 4; ++j) to[4 * j] = four[j];
    }
  }
}

void widen_scales(const KvTiles& tiles, int groups, AttentionScratch& scratch) {
  const int64_t codes = int64_t{groups} * kKeyBlock * kKvBlock;
  const auto widen_row = [](const uint16_t* from, float* to) {
    for (int key = 0; key < kKvBlock; key += 8) {
      const F32x8 scales = f16x8_to_f32(from + key);
      store(to + key, scales.low);
      store(to + key + 4, scales.high);
    }
  };
  for (int block = 0; block < tiles.blocks; ++block) {
    const auto* k = reinterpret_cast<const uint16_t*>(tiles.k[block] + codes);
    for (int g = 0; g < groups; ++g)
      widen_row(k + g * kKvBlock, scratch.k_scales + (block * groups + g) * kKvBlock);
    widen_row(reinterpret_cast<const uint16_t*>(tiles.v[block] + codes),
              scratch.v_scales + block * kKvBlock);
  }
}

OCELLI_NOINLINE void fetch(const KvTiles& tiles, int64_t bytes) {
  for (int block = 0; block < 2 * tiles.blocks; ++block) {
    const volatile uint8_t* from = (block & 1 ? tiles.v : tiles.k)[block / 2];
#pragma clang loop unroll_count(4)
    for (int64_t at = 0; at < bytes; at += 64) (void)from[at];
  }
}

OCELLI_NOINLINE void fill_tile(const Query* queries, int count, int head_dim, float scale,
                               PackQueries pack, AttentionScratch& scratch, QueryTile& tile) {
  const int k_padded = round_up(head_dim, kGroupU4);
  OCELLI_CHECK(quantized_rows_bytes(kLanes, k_padded) <= int64_t{sizeof(scratch.memory)});
  QuantizedRows rows = quantized_rows_at(scratch.memory, kLanes, k_padded, ActBits::k15);
  for (int lane = 0; lane < kLanes; ++lane) {
    const Query& query = queries[std::min(lane, count - 1)];
    quantize_row(query.q, head_dim, rows, lane);
    tile.top[lane] = -std::numeric_limits<float>::infinity();
    tile.sum[lane] = 0.0f;
    tile.length[lane] = query.length;
  }
  tile.shortest = queries[0].length;
  tile.longest = queries[count - 1].length;
  std::memset(tile.out, 0, sizeof(float) * size_t(head_dim) * kLanes);
  const int64_t streams = rows.streams();
  for (int g = 0; g < k_padded / kGroupAct; ++g) {
    for (int lane = 0; lane < kLanes; ++lane)
      tile.scales[g * kLanes + lane] = rows.scales[g * kLanes + lane] * scale;
  }
  for (int block = 0; block * kKeyBlock < head_dim; ++block) {
    const int32_t* sums = rows.block_sums + block * streams;
    for (int lane = 0; lane < kLanes; ++lane)
      tile.starts[block * kLanes + lane] = kZeroU8 * (sums[2 * lane] + 256 * sums[2 * lane + 1]);
    for (int c = block * kKeyBlock; c < (block + 1) * kKeyBlock; c += 16) {
      for (int half = 0; half < 2; ++half) {
        u32x4 low[4], high[4];
        for (int i = 0; i < 4; ++i) {
          const int8_t* from = rows.codes + c % kGroupAct +
                               (c / kGroupAct * streams + 2 * (4 * half + i)) * kGroupAct;
          low[i] = load<u32x4>(from);
          high[i] = load<u32x4>(from + kGroupAct);
        }
        transpose(low);
        transpose(high);
        for (int i = 0; i < 4; ++i) {
          const U32x8 both = pack({low[i], high[i]});
          uint8_t* to = tile.codes + (c / 4 + i) * 2 * kQuadBytes + 16 * half;
          store(to, both.low);
          store(to + kQuadBytes, both.high);
        }
      }
    }
  }
}

void finish_tile(const QueryTile& tile, const Query* queries, int count, int head_dim) {
  for (int half = 0; 4 * half < count; ++half) {
    const f32x4 sum = load<f32x4>(tile.sum + 4 * half);
    for (int c = 0; c < head_dim; c += 4) {
      f32x4 rows[4];
      // + 0: keys that a lane does not see may have turned its -0 into 0.
      for (int i = 0; i < 4; ++i)
        rows[i] = load<f32x4>(tile.out + (c + i) * kLanes + 4 * half) / sum + 0.0f;
      transpose(rows);
      for (int i = 0; i < 4 && 4 * half + i < count; ++i)
        store(queries[4 * half + i].out + c, rows[i]);
    }
  }
}

namespace {

// Two vectors that V8 may make one.
struct Pair {
  f32x4 v[2];
};
OCELLI_INLINE Pair load_pair(const float* from) {
  return {load<f32x4>(from), load<f32x4>(from + 4)};
}
OCELLI_INLINE void store_pair(float* to, const Pair& pair) {
  store(to, pair.v[0]);
  store(to + 4, pair.v[1]);
}

// Hides what a lane does not see.
OCELLI_NOINLINE void hide(const QueryTile& tile, int first, int keys, float value, float* scores) {
  for (int key = 0; key < keys; ++key) {
    for (int h = 0; h < 2; ++h) {
      float* at = scores + key * kLanes + 4 * h;
      const i32x4 seen = load<i32x4>(tile.length + 4 * h) > first + key;
      store(at, select(seen, load<f32x4>(at), splat(value)));
    }
  }
}

// top = max(top, the scores). This and the next are functions of their own because V8 13 fails an
// assertion of its own when it revectorises them as one.
OCELLI_NOINLINE void raise_top(const float* scores, int keys, float* top) {
  Pair best = load_pair(top);
#pragma clang loop unroll(disable)
  for (int key = 0; key < keys; ++key) {
    keep_pointer(scores);
    const Pair score = load_pair(scores);
    for (int h = 0; h < 2; ++h) best.v[h] = max(score.v[h], best.v[h]);
    scores += kLanes;
  }
  store_pair(top, best);
}

// The factor for what was summed before, 0 on the first keys: the top was -inf. `sum` takes it.
OCELLI_NOINLINE void rescale(const float* before, const float* top, float* factor, float* sum) {
  for (int h = 0; h < 2; ++h) {
    const f32x4 by = exp_f32x4(load<f32x4>(before + 4 * h) - load<f32x4>(top + 4 * h));
    store(factor + 4 * h, by);
    store(sum + 4 * h, load<f32x4>(sum + 4 * h) * by);
  }
}

// Weights e^(score - top) times the values' scales, in place of the scores; their sum joins `sum`.
OCELLI_NOINLINE void weigh(const float* top, const float* v_scales, int keys, float* scores,
                           float* sum) {
  keep_pointer(top);  // or the values become arguments, which are no pair
  Pair total = load_pair(sum);
  const Pair tops = load_pair(top);
#pragma clang loop unroll(disable)
  for (int key = 0; key < keys; ++key) {
    float* at = scores + key * kLanes;
    const f32x4 scale = splat(v_scales[key]);
    const Pair score = load_pair(at);
    keep_pointer(at);  // or a store goes between the loads
    Pair e;
    for (int h = 0; h < 2; ++h) {
      e.v[h] = exp_f32x4(score.v[h] - tops.v[h]);
      total.v[h] += e.v[h];
    }
    store_pair(at, {{e.v[0] * scale, e.v[1] * scale}});
  }
  store_pair(sum, total);
}

// Weights of up to 32 keys as codes [keys/4, 8, 4], and their scale.
OCELLI_NOINLINE void encode_weights(const float* weights, int keys, uint8_t* codes, float* scale) {
  Pair peak = {}, total = {};
  for (int key = 0; key < keys; ++key) {
    const Pair weight = load_pair(weights + key * kLanes);
    for (int h = 0; h < 2; ++h) {
      peak.v[h] = max(weight.v[h], peak.v[h]);
      total.v[h] += weight.v[h];
    }
  }
  Pair inverse, step;
  for (int h = 0; h < 2; ++h) {
    const i32x4 some = peak.v[h] >= 1e-30f;
    const i32x4 finite = total.v[h] <= std::numeric_limits<float>::max();
    inverse.v[h] = select(some, 127.0f / peak.v[h], f32x4{});
    step.v[h] = select(finite, select(some, peak.v[h] / 127.0f, f32x4{}),
                       splat(std::numeric_limits<float>::quiet_NaN()));
  }
  store_pair(scale, step);
  // The sum has the code in its low byte: 1.5 * 2^23 + code. Four sums, shifted, are four bytes
  // beside what the magic number's bits add up to.
  static constexpr float kMagic = 0x1.8p23f;
  static constexpr uint32_t kMagicBits = 0x4b400000u, kRest = kMagicBits + (kMagicBits << 8);
  const f32x4 magic = constant(kMagic);
  for (int key = 0; key < keys; key += 4) {
    u32x4 bytes[2];
    const float* from = weights + key * kLanes;
    for (int h = 0; h < 2; ++h) {
      u32x4 sums[4];
      for (int i = 0; i < 4; ++i)
        sums[i] = (u32x4)(load<f32x4>(from + i * kLanes + 4 * h) * inverse.v[h] + magic);
      bytes[h] = (sums[0] + (sums[1] << 8)) + ((sums[2] << 16) + (sums[3] << 24)) - kRest;
    }
    store(codes + key * kLanes, bytes[0]);
    store(codes + key * kLanes + 16, bytes[1]);
  }
}

}  // namespace

OCELLI_NOINLINE void soften_tile(QueryTile& tile, int first, int keys, AttentionScratch& scratch) {
  float* scores = scratch.scores;
  const bool ragged = tile.shortest < first + keys;
  if (ragged) hide(tile, first, keys, -std::numeric_limits<float>::infinity(), scores);
  alignas(16) float before[kLanes];
  std::memcpy(before, tile.top, sizeof(before));
  raise_top(scores, keys, tile.top);
  rescale(before, tile.top, tile.factor, tile.sum);
  weigh(tile.top, scratch.v_scales, keys, scores, tile.sum);
  if (ragged) hide(tile, first, keys, 0.0f, scores);  // of what is not seen the scale may be NaN
  for (int key = 0; key < keys; key += kWeightKeys) {
    encode_weights(scores + key * kLanes, std::min(kWeightKeys, keys - key),
                   scratch.weights + key * kLanes,
                   scratch.weight_scales + key / kWeightKeys * kLanes);
  }
}

void attention_q8(const KvLayer& kv, const AttentionCall& call) {
  static const Attention attention = matmul_q8_tiers()[0].attention;
  attention(kv, call);
}

void attention_q8_scalar(const KvLayer& kv, const AttentionCall& call) {
  attention_q8_loops<Scalar>(kv, call);
}

}  // namespace ocelli
