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
  static constexpr int kStreams = 4;
  static constexpr bool kNeedsOffsets = true;
  template <bool, int>
  static constexpr int cells_at_once() {
    return 8;
  }

  template <int R, int S, int kCells, int kStride>
  static void add_u8(const uint8_t* const* cells, const int8_t* x, const U32x8&,
                     i32x4 (*acc)[S][2]) {
    static_assert(R == 1);
    for (int s = 0; s < S; ++s) {
      for (int r = 0; r < kTileRows; ++r) {
        int32_t sum = 0;
        for (int i = 0; i < 4 * kCells; ++i) {
          sum += cells[0][(i / 4) * kCellBytes + 4 * r + i % 4] * x[s * kStride + i];
        }
        acc[0][s][r / 4][r % 4] += sum;
      }
    }
  }
};

// max|x|, NaN when a value is not finite.
float peak_of(const float* x, int count) {
  float peak = 0.0f, damage = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float magnitude = x[i] < 0.0f ? -x[i] : x[i];
    peak = magnitude > peak ? magnitude : peak;
    damage += magnitude * 0.0f;  // 0, or NaN for ever
  }
  return peak + damage;
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
    uint8_t* tile = k_to + slot / kTileRows * (codes / kKeyTiles) + slot % kTileRows * 4;
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
      const u8x4 four = codes_of(load<f32x4>(v + c), step.inverse);
      uint8_t* to = v_to + c / kTileRows * (kKvBlock * kTileRows) + slot / 4 * 32 +
                    c % kTileRows * 4 + slot % 4;
      for (int j = 0; j < 4; ++j) to[4 * j] = four[j];
    }
  }
}

void widen_v_scales(const KvTiles& tiles, AttentionScratch& scratch) {
  for (int key = 0; key < tiles.blocks * kKvBlock; key += 8) {
    const F32x8 scales = f16x8_to_f32(tiles.v_scales[key / kKvBlock] + key % kKvBlock);
    store(scratch.v_scales + key, scales.low);
    store(scratch.v_scales + key + 4, scales.high);
  }
}

QuantizedRows quantize_queries(const Query* queries, int count, int head_dim,
                               AttentionScratch& scratch) {
  const int k_padded = round_up(head_dim, kGroupU4);
  OCELLI_CHECK(quantized_rows_bytes(count, k_padded) <= int64_t{sizeof(scratch.memory)});
  QuantizedRows rows = quantized_rows_at(scratch.memory, count, k_padded, ActBits::k15);
  for (int i = 0; i < count; ++i) quantize_row(queries[i].q, head_dim, rows, i);
  return rows;
}

OCELLI_NOINLINE void soften_and_quantize(Query& query, int seen, float scale, int i,
                                         AttentionScratch& scratch) {
  const i32x4 lane = {0, 1, 2, 3};
  alignas(16) float p[kKeysAtOnce] = {};
  scratch.factors[i] = soften(query, seen, scale, scratch.scores + i * kKeysAtOnce, p);
  f32x4 best[2] = {}, total[2] = {};
  for (int j = 0; j < seen; j += 8) {
    f32x4 weights[2];
    for (int h = 0; h < 2; ++h) {
      // Slots that are not seen may hold any scale, NaN included.
      const f32x4 all = load<f32x4>(p + j + 4 * h) * load<f32x4>(scratch.v_scales + j + 4 * h);
      weights[h] = select(lane + (j + 4 * h) < seen, all, f32x4{});
      best[h] = max(weights[h], best[h]);
      total[h] += weights[h];
    }
    store(p + j, weights[0]);
    store(p + j + 4, weights[1]);
  }
  const float peak = max_lanes(max(best[0], best[1]));
  int8_t* codes = scratch.codes + i * kKeysAtOnce;
  std::memset(codes, 0, kKeysAtOnce);
  scratch.sums[i] = 0;
  scratch.scales[i] = 0.0f;
  if (!(sum_lanes(total[0] + total[1]) <= std::numeric_limits<float>::max())) {
    scratch.scales[i] = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  if (peak < 1e-30f) return;
  const float inverse = 127.0f / peak;
  i32x4 sum = {};
  for (int j = 0; j < kKeysAtOnce; j += 16) {
    i32x4 code[4];
#pragma clang loop unroll(full)
    for (int k = 0; k < 4; ++k) {
      code[k] = round_small(load<f32x4>(p + j + 4 * k) * inverse);
      sum += code[k];
    }
    store_i8x16(codes + j, code[0], code[1], code[2], code[3]);
  }
  scratch.sums[i] = -sum_lanes(sum);
  scratch.scales[i] = peak / 127.0f;
}

void attention_q8(const KvLayer& kv, const AttentionCall& call) {
  static const Attention attention = matmul_q8_tiers()[0].attention;
  attention(kv, call);
}

void attention_q8_scalar(const KvLayer& kv, const AttentionCall& call) {
  attention_q8_loops<Scalar>(kv, call);
}

}  // namespace ocelli
