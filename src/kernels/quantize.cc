// Activations -> int8 codes, scales, sums and the fine pass of quantize.h. Called once per row and
// layer input; small next to the product that follows.
#include "kernels/quantize.h"

#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/vec.h"
#include "tensor/linear.h"

namespace ocelli {
namespace {

constexpr int kVectors = kGroupAct / 4;
constexpr float kTiny = 1e-30f;  // a group below it is zero: 127 / |x| must stay finite

// codes = round(x / scale) for a group whose largest magnitude is `peak`; x becomes the residual.
OCELLI_INLINE int32_t encode(f32x4* x, float inverse, float scale, int8_t* codes) {
  i32x4 sum = {};
  for (int i = 0; i < kVectors; i += 4) {
    i32x4 whole[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; ++j) {
      const f32x4 rounded = round_small(x[i + j] * inverse);
      whole[j] = __builtin_convertvector(rounded, i32x4);
      sum += whole[j];
      x[i + j] -= rounded * scale;
    }
    store_i8x16(codes + 4 * i, whole[0], whole[1], whole[2], whole[3]);
  }
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

float mean_magnitude(const float* x, int k) {
  f32x4 total = {};
  int i = 0;
  for (; i + 4 <= k; i += 4) total += abs(load<f32x4>(x + i));
  float sum = sum_lanes(total);
  for (; i < k; ++i) sum += x[i] < 0.0f ? -x[i] : x[i];
  return sum / static_cast<float>(k);
}

}  // namespace

int64_t quantized_rows_bytes(int rows, int k_padded) {
  const int64_t groups = k_padded / kGroupAct;
  const int64_t cells = groups * rows;
  const int64_t has_fine = (cells + 15) / 16 * 16;
  const int64_t begins = (groups + 4) / 4 * 4;
  return 2 * cells * kGroupAct + 4 * (5 * cells + cells / 4 + begins) + has_fine + 16;
}

QuantizedRows quantized_rows_at(void* memory, int rows, int k_padded) {
  OCELLI_CHECK(rows >= 0 && k_padded > 0 && k_padded % 128 == 0);
  const int64_t groups = k_padded / kGroupAct;
  const int64_t cells = groups * rows;
  auto* at = static_cast<uint8_t*>(memory);
  const auto take = [&at](int64_t bytes) {
    uint8_t* from = at;
    at += bytes;
    return from;
  };
  QuantizedRows out;
  out.rows = rows;
  out.k_padded = k_padded;
  out.codes = reinterpret_cast<int8_t*>(take(cells * kGroupAct));
  out.fine = reinterpret_cast<int8_t*>(take(cells * kGroupAct));
  out.scales = reinterpret_cast<float*>(take(4 * cells));
  out.fine_scales = reinterpret_cast<float*>(take(4 * cells));
  out.fine_row = reinterpret_cast<int32_t*>(take(4 * cells));
  out.offsets = reinterpret_cast<int32_t*>(take(4 * cells));
  out.fine_offsets = reinterpret_cast<int32_t*>(take(4 * cells));
  out.sums = reinterpret_cast<float*>(take(4 * (cells / 4)));
  out.fine_begin = reinterpret_cast<int32_t*>(take(4 * (groups + 1)));
  out.has_fine = take(cells);
  return out;
}

OCELLI_NOINLINE void quantize_row(const float* x, int k, QuantizedRows& out, int row,
                                  float fine_ratio) {
  OCELLI_CHECK(row >= 0 && row < out.rows && k <= out.k_padded);
  const float limit = fine_ratio * mean_magnitude(x, k);
  float sum = 0.0f;  // of the current 128 inputs
  for (int g = 0; g < out.groups(); ++g) {
    const int64_t at = int64_t{g} * out.rows + row;
    int8_t* codes = out.codes + at * kGroupAct;
    float scale = 0.0f;
    int32_t code_sum = 0;
    out.has_fine[at] = 0;

    f32x4 values[kVectors] = {};
    const int count = k - g * kGroupAct < kGroupAct ? k - g * kGroupAct : kGroupAct;
    if (count > 0) std::memcpy(values, x + int64_t{g} * kGroupAct, sizeof(float) * size_t(count));
    f32x4 peaks = {}, total = {};
    for (int i = 0; i < kVectors; ++i) {
      const f32x4 magnitude = abs(values[i]);
      peaks = max(magnitude, peaks);
      total += magnitude;
    }
    float peak = peaks[0];
    for (int lane = 1; lane < 4; ++lane) peak = peaks[lane] > peak ? peaks[lane] : peak;
    if (!(sum_lanes(total) <= std::numeric_limits<float>::max())) {
      std::memset(codes, 0, kGroupAct);
      scale = std::numeric_limits<float>::quiet_NaN();
    } else if (peak < kTiny) {
      std::memset(codes, 0, kGroupAct);
    } else {
      scale = peak / 127.0f;
      code_sum = encode(values, 127.0f / peak, scale, codes);
      if (peak > limit) {
        // The residual lies within half a step of the first pass: 254 fine steps make one.
        const float fine_scale = scale / 254.0f;
        out.has_fine[at] = 1;
        out.fine_scales[at] = fine_scale;
        const int32_t fine_sum =
            encode(values, 1.0f / fine_scale, fine_scale, out.fine + at * kGroupAct);
        out.fine_offsets[at] = -kZeroU8 * fine_sum;
        sum += static_cast<float>(fine_sum) * fine_scale;
      }
    }
    out.scales[at] = scale;
    out.offsets[at] = -kZeroU8 * code_sum;
    sum += static_cast<float>(code_sum) * scale;
    if (g % 4 == 3) {
      out.sums[int64_t{g / 4} * out.rows + row] = sum;
      sum = 0.0f;
    }
  }
}

OCELLI_NOINLINE void fill_fine(QuantizedRows& x) {
  for (int64_t at = 0; at < int64_t{x.groups()} * x.rows; ++at) {
    if (x.has_fine[at]) continue;
    std::memset(x.fine + at * kGroupAct, 0, kGroupAct);
    x.fine_scales[at] = 0.0f;
    x.fine_offsets[at] = 0;
    x.has_fine[at] = 1;
  }
}

OCELLI_NOINLINE void gather_fine(QuantizedRows& x) {
  const int groups = x.groups();
  const int64_t cells = int64_t{groups} * x.rows;
  int64_t count = 0;
  for (int64_t at = 0; at < cells; ++at) count += x.has_fine[at];
  if (count > cells / 2) fill_fine(x);  // dense groups are the faster ones
  int32_t entries = 0;
  x.dense_groups = 0;
  for (int g = 0; g < groups; ++g) {
    x.fine_begin[g] = entries;
    if (entries == g * x.rows) x.dense_groups = g;
    for (int row = 0; row < x.rows; ++row) {
      const int64_t at = int64_t{g} * x.rows + row;
      if (!x.has_fine[at]) continue;
      // An entry never lies behind the place it comes from.
      std::memmove(x.fine + int64_t{entries} * kGroupAct, x.fine + at * kGroupAct, kGroupAct);
      x.fine_scales[entries] = x.fine_scales[at];
      x.fine_offsets[entries] = x.fine_offsets[at];
      x.fine_row[entries++] = row;
    }
  }
  x.fine_begin[groups] = entries;
  if (entries == groups * x.rows) x.dense_groups = groups;
}

}  // namespace ocelli
