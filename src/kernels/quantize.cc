// Activations -> the int8 codes, scales and sums of quantize.h. Called once per row and layer
// input; small next to the product that follows.
#include "kernels/quantize.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/matmul_q8_tiers.h"
#include "kernels/vec.h"
#include "tensor/linear.h"

namespace ocelli {
namespace {

constexpr int kBlockVectors = kPeakBlock / 4;
constexpr int kBlocks = kGroupAct / kPeakBlock;
constexpr float kTiny = 1e-30f;  // a group below it is zero: 127 / |x| must stay finite
constexpr float kMax8 = 127.0f;
constexpr float kMax15 = 32639.0f;  // 256 * 127 + 127

// Codes of one block; `high` only where there is one.   x  // [32]
struct BlockSums {
  int32_t low, high;
};
template <bool kHasHigh>
OCELLI_INLINE BlockSums encode(const float* x, float inverse, int8_t* low, int8_t* high) {
  i32x4 low_sum = {}, high_sum = {};
  for (int i = 0; i < kBlockVectors; i += 4) {
    i32x4 lows[4], highs[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; ++j) {
      const i32x4 whole = round_small(load<f32x4>(x + 4 * (i + j)) * inverse);
      if constexpr (kHasHigh) {
        highs[j] = (whole + 128) >> 8;
        lows[j] = whole - (highs[j] << 8);
        high_sum += highs[j];
      } else {
        lows[j] = whole;
      }
      low_sum += lows[j];
    }
    store_i8x16(low + 4 * i, lows[0], lows[1], lows[2], lows[3]);
    if constexpr (kHasHigh) store_i8x16(high + 4 * i, highs[0], highs[1], highs[2], highs[3]);
  }
  return {sum_lanes(low_sum), sum_lanes(high_sum)};
}

float mean_magnitude(const float* x, int k) {
  f32x4 totals[4] = {};  // one would make each sum wait for the one before
  int i = 0;
  for (; i + 16 <= k; i += 16) {
    for (int j = 0; j < 4; ++j) totals[j] += abs(load<f32x4>(x + i + 4 * j));
  }
  float sum = sum_lanes((totals[0] + totals[1]) + (totals[2] + totals[3]));
  for (; i < k; ++i) sum += x[i] < 0.0f ? -x[i] : x[i];
  return sum / static_cast<float>(k);
}

struct Peaks {
  float blocks[kBlocks];
  bool finite;
};
OCELLI_INLINE Peaks peaks_of(const float* x) {
  Peaks out;
  f32x4 total = {};
  for (int b = 0; b < kBlocks; ++b) {
    f32x4 peak[2] = {}, sum[2] = {};
    for (int i = 0; i < kPeakBlock; i += 8) {
      for (int h = 0; h < 2; ++h) {
        const f32x4 magnitude = abs(load<f32x4>(x + b * kPeakBlock + i + 4 * h));
        peak[h] = max(magnitude, peak[h]);
        sum[h] += magnitude;
      }
    }
    total += sum[0] + sum[1];
    out.blocks[b] = max_lanes(max(peak[0], peak[1]));
  }
  out.finite = sum_lanes(total) <= std::numeric_limits<float>::max();
  return out;
}

// Which eights of a block's high bytes are not all zero: mostly the one where the peak is.
uint8_t parts_of(const int8_t* high) {
  uint8_t parts = 0;
  for (int i = 0; i < kPeakBlock / 8; ++i)
    parts |= static_cast<uint8_t>((load<uint64_t>(high + 8 * i) != 0) << i);
  return parts;
}

// The step of a group: `smooth`, the largest value without a high byte, takes 127, unless 15 bits
// would then not hold `peak`.
struct Step {
  float scale, inverse;
};
Step step_of(float smooth, float peak) {
  if (smooth * (kMax15 / kMax8) >= peak) return {smooth / kMax8, kMax8 / smooth};
  return {peak / kMax15, kMax15 / peak};
}

}  // namespace

int64_t quantized_rows_bytes(int rows, int k_padded) {
  const int64_t blocks = k_padded / kPeakBlock;
  const int64_t cells = blocks * rows;
  const int64_t begins = (blocks + 4) / 4 * 4, parts = (cells + 15) / 16 * 16;
  const int64_t pairs = kHasPairs ? 2 * cells * kPeakBlock : 0;
  // codes and peak_codes; scales, sums, block_sums (wide: two of each); peak_row, _scales, _sums;
  // peak_begin, _blocks; peak_parts.
  return 2 * cells * kPeakBlock + pairs + 4 * (3 * (cells / kBlocks) + 5 * cells + 2 * begins) +
         parts + 16;
}

QuantizedRows quantized_rows_at(void* memory, int rows, int k_padded, ActBits bits) {
  OCELLI_CHECK(rows >= 0 && k_padded > 0 && k_padded % kGroupAct == 0);
  auto* at = static_cast<uint8_t*>(memory);
  const auto take = [&at](int64_t bytes) {
    uint8_t* from = at;
    at += bytes;
    return from;
  };
  QuantizedRows out;
  out.rows = rows;
  out.k_padded = k_padded;
  out.wide = bits == ActBits::k15;
  if (bits == ActBits::k8LongTails) out.peak_ratio = kPeakRatioLongTails;
  const int64_t blocks = out.blocks(), groups = blocks / kBlocks;
  const int64_t cells = blocks * rows, streams = out.streams();
  out.codes = reinterpret_cast<int8_t*>(take(blocks * streams * kPeakBlock));
  if (kHasPairs) out.pairs = reinterpret_cast<int16_t*>(take(2 * cells * kPeakBlock));
  out.scales = reinterpret_cast<float*>(take(4 * groups * rows));
  out.sums = reinterpret_cast<int32_t*>(take(4 * groups * streams));
  out.block_sums = reinterpret_cast<int32_t*>(take(4 * blocks * streams));
  if (out.wide) return out;
  out.peak_codes = reinterpret_cast<int8_t*>(take(cells * kPeakBlock));
  out.peak_row = reinterpret_cast<int32_t*>(take(4 * cells));
  out.peak_scales = reinterpret_cast<float*>(take(4 * cells));
  out.peak_sums = reinterpret_cast<int32_t*>(take(4 * cells));
  out.peak_begin = reinterpret_cast<int32_t*>(take(4 * (blocks + 1)));
  out.peak_blocks = reinterpret_cast<int32_t*>(take(4 * (blocks + 1)));
  out.peak_parts = take(cells);
  return out;
}

void pair_codes(QuantizedRows& x, int group, int row) {
  if (x.pairs == nullptr) return;
  const int64_t stream = x.wide ? 2 * row : row;
  const int8_t* low = x.codes + (group * int64_t{x.streams()} + stream) * kGroupAct;
  int16_t* to = x.pairs + (int64_t{group} * x.rows + row) * kGroupAct;
  for (int i = 0; i < kGroupAct; i += 16) {
    const i16x8 lows = load<i16x8>(low + i);
    i16x8 even = (i16x8)((u16x8)lows << 8) >> 8, odd = lows >> 8;
    if (x.wide) {
      const u16x8 highs = load<u16x8>(low + kGroupAct + i);
      even += (i16x8)(highs << 8);
      odd += (i16x8)(highs & 0xff00);
    }
    store(to + i, __builtin_shufflevector((i32x4)even, (i32x4)odd, 0, 4, 1, 5));
    store(to + i + 8, __builtin_shufflevector((i32x4)even, (i32x4)odd, 2, 6, 3, 7));
  }
}

OCELLI_NOINLINE void quantize_row(const float* x, int k, QuantizedRows& out, int row) {
  OCELLI_CHECK(row >= 0 && row < out.rows && k <= out.k_padded);
  const int64_t streams = out.streams();
  const int64_t stream = out.wide ? 2 * row : row;
  const float limit = out.wide ? 0.0f : out.peak_ratio * mean_magnitude(x, k);
  for (int g = 0; g < out.k_padded / kGroupAct; ++g) {
    int8_t* low = out.codes + (g * streams + stream) * kGroupAct;
    const int from = g * kGroupAct, count = std::clamp(k - from, 0, kGroupAct);
    const float* group = x + from;
    alignas(16) float padded[kGroupAct];
    if (count < kGroupAct) {
      std::memset(padded, 0, sizeof(padded));
      std::copy_n(group, count, padded);
      group = padded;
    }
    const Peaks peaks = peaks_of(group);
    float smooth = 0.0f, peak = 0.0f;
    for (const float block : peaks.blocks) {
      peak = std::max(peak, block);
      if (block <= limit) smooth = std::max(smooth, block);
    }
    Step step = {0.0f, 0.0f};
    if (!peaks.finite)
      step = {std::numeric_limits<float>::quiet_NaN(), 0.0f};
    else if (peak >= kTiny)
      step = step_of(smooth, peak);
    const bool nothing = step.inverse == 0.0f;
    out.scales[int64_t{g} * out.rows + row] = step.scale;
    BlockSums all = {0, 0};
    for (int b = 0; b < kBlocks; ++b) {
      const int64_t block = g * kBlocks + b, cell = block * out.rows + row;
      const bool peaks_here = !nothing && peaks.blocks[b] * step.inverse > kMax8 + 0.25f;
      const float* values = group + b * kPeakBlock;
      int8_t* to = low + b * kPeakBlock;
      BlockSums sums = {0, 0};
      if (!out.wide) out.peak_parts[cell] = 0;
      if (nothing) {
        std::memset(to, 0, kPeakBlock);
        if (out.wide) std::memset(to + kGroupAct, 0, kPeakBlock);
      } else if (out.wide) {
        sums = encode<true>(values, step.inverse, to, to + kGroupAct);
      } else if (peaks_here) {
        int8_t* high = out.peak_codes + cell * kPeakBlock;
        sums = encode<true>(values, step.inverse, to, high);
        out.peak_parts[cell] = parts_of(high);
        out.peak_scales[cell] = 256.0f * step.scale;
        out.peak_sums[cell] = -sums.high;
      } else {
        sums = encode<false>(values, step.inverse, to, nullptr);
      }
      out.block_sums[block * streams + stream] = -sums.low;
      if (out.wide) out.block_sums[block * streams + stream + 1] = -sums.high;
      all.low += sums.low;
      all.high += sums.high;
    }
    out.sums[g * streams + stream] = -all.low;
    if (out.wide) out.sums[g * streams + stream + 1] = -all.high;
    pair_codes(out, g, row);
  }
}

OCELLI_NOINLINE void gather_peaks(QuantizedRows& x) {
  if (x.wide) return;
  int32_t entries = 0;
  int32_t* blocks = x.peak_blocks;
  for (int block = 0; block < x.blocks(); ++block) {
    x.peak_begin[block] = entries;
    for (int row = 0; row < x.rows; ++row) {
      const int64_t at = int64_t{block} * x.rows + row;
      if (x.peak_parts[at] == 0) continue;
      // An entry never lies behind the place it comes from.
      std::memmove(x.peak_codes + int64_t{entries} * kPeakBlock, x.peak_codes + at * kPeakBlock,
                   kPeakBlock);
      x.peak_scales[entries] = x.peak_scales[at];
      x.peak_sums[entries] = x.peak_sums[at];
      x.peak_parts[entries] = x.peak_parts[at];
      x.peak_row[entries++] = row;
    }
    if (entries > x.peak_begin[block]) *blocks++ = block;
  }
  x.peak_begin[x.blocks()] = entries;
  *blocks = -1;
}

}  // namespace ocelli
