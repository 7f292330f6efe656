// The small f32 operations of ops.h, on four lanes. Called by `model` between the matrix products.
// Surprise: a ragged tail goes through the same vector code on a zero-filled copy, so an element's
// bits do not depend on where it lies.
#include "kernels/ops.h"

#include <bit>
#include <limits>

#include "kernels/tiles.h"
#include "kernels/vec.h"

namespace ocelli {
namespace {

// Runs f on whole vectors, then once on the zero-filled rest: out[i] = f(a[i], b[i]).
template <class F>
OCELLI_INLINE void map2(const float* a, const float* b, int64_t count, float* out, F&& f) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {  // pairs, for V8's revectorisation
    const f32x4 low = f(load<f32x4>(a + i), load<f32x4>(b + i));
    const f32x4 high = f(load<f32x4>(a + i + 4), load<f32x4>(b + i + 4));
    store(out + i, low);
    store(out + i + 4, high);
  }
  for (; i + 4 <= count; i += 4) store(out + i, f(load<f32x4>(a + i), load<f32x4>(b + i)));
  if (i == count) return;
  f32x4 a_rest = {}, b_rest = {};
  for (int64_t j = i; j < count; ++j) {
    a_rest[j - i] = a[j];
    b_rest[j - i] = b[j];
  }
  const f32x4 rest = f(a_rest, b_rest);
  for (int64_t j = i; j < count; ++j) out[j] = rest[j - i];
}

// erf with an absolute error below 5e-7: odd polynomial inside |x| < 1, outside 1 - exp(-q(|x|))
// with q fitted to -log(erfc) on [1, 4]. Both are least-squares fits at Chebyshev nodes.
OCELLI_INLINE f32x4 erf_f32x4(f32x4 x) {
  const f32x4 u = x * x;
  f32x4 p = u * 7.882497448008507e-05f + -0.0008018855005502701f;
  p = p * u + 0.005189312156289816f;
  p = p * u + -0.02685432881116867f;
  p = p * u + 0.11283597350120544f;
  p = p * u + -0.3761262595653534f;
  p = p * u + 1.1283791065216064f;
  const f32x4 inner = p * x;

  const f32x4 magnitude = abs(x);
  const f32x4 v = min(magnitude, splat(4.0f));
  f32x4 q = v * 1.330939085164573e-05f + -0.0003175720339640975f;
  q = q * v + 0.0034368676133453846f;
  q = q * v + -0.022621985524892807f;
  q = q * v + 0.10331898182630539f;
  q = q * v + 0.6390933394432068f;
  q = q * v + 1.125925898551941f;
  q = q * v + 0.0007569686276838183f;
  const f32x4 outer = 1.0f - exp_f32x4(-q);
  const i32x4 sign = (i32x4)x & static_cast<int32_t>(0x80000000u);
  return select(magnitude < 1.0f, inner, (f32x4)((i32x4)outer | sign));
}

// Natural logarithm of a positive normal double, about 1e-12 relative: own code, since a libm's
// last bit differs between targets.
double log_f64(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  // Mantissa in [sqrt(1/2), sqrt(2)).
  const int64_t shifted = static_cast<int64_t>(bits) - 0x3fe6a09e667f3bcdll;
  const int64_t exponent = shifted >> 52;
  const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(exponent) << 52));
  const double s = (m - 1.0) / (m + 1.0);  // |s| < 0.1716, log m = 2 atanh s
  const double u = s * s;
  double p = 1.0 / 15;
  for (int odd = 13; odd >= 1; odd -= 2) p = p * u + 1.0 / odd;
  return static_cast<double>(exponent) * 0.69314718055994530942 + 2.0 * s * p;
}

}  // namespace

OCELLI_NOINLINE void rms_norm(const float* x, const float* weight, int width, float eps, float* y) {
  f64x2 sum_low = {}, sum_high = {};
  int i = 0;
  for (; i + 4 <= width; i += 4) {
    const f64x2 low = __builtin_convertvector(load<f32x2>(x + i), f64x2);
    const f64x2 high = __builtin_convertvector(load<f32x2>(x + i + 2), f64x2);
    sum_low += low * low;
    sum_high += high * high;
  }
  double sum = (sum_low[0] + sum_low[1]) + (sum_high[0] + sum_high[1]);
  for (; i < width; ++i) sum += double{x[i]} * double{x[i]};
  const double mean = sum / width + double{eps};
  const float inverse = static_cast<float>(1.0 / __builtin_sqrt(mean));
  map2(x, weight, width, y, [inverse](f32x4 a, f32x4 w) { return (a * inverse) * w; });
}

OCELLI_NOINLINE void add(float* x, const float* y, int64_t count) {
  map2(x, y, count, x, [](f32x4 a, f32x4 b) { return a + b; });
}

OCELLI_NOINLINE void multiply(float* x, const float* y, int64_t count) {
  map2(x, y, count, x, [](f32x4 a, f32x4 b) { return a * b; });
}

OCELLI_NOINLINE void silu_mul(const float* gate, const float* up, int64_t count, float* out) {
  map2(gate, up, count, out, [](f32x4 g, f32x4 u) { return g / (1.0f + exp_f32x4(-g)) * u; });
}

OCELLI_NOINLINE void gelu(float* x, int64_t count) {
  map2(x, x, count, x,
       [](f32x4 a, f32x4) { return (a * 0.5f) * (1.0f + erf_f32x4(a * 0.70710678f)); });
}

OCELLI_NOINLINE void rope_half(float* x, int heads, int head_dim, const float* cos,
                               const float* sin) {
  const int half = head_dim / 2;
  for (int head = 0; head < heads; ++head) {
    float* low = x + int64_t{head} * head_dim;
    float* high = low + half;
    int i = 0;
    for (; i + 4 <= half; i += 4) {
      const f32x4 a = load<f32x4>(low + i), b = load<f32x4>(high + i);
      const f32x4 c = load<f32x4>(cos + i), s = load<f32x4>(sin + i);
      store(low + i, a * c - b * s);
      store(high + i, b * c + a * s);
    }
    for (; i < half; ++i) {
      const float a = low[i], b = high[i];
      low[i] = a * cos[i] - b * sin[i];
      high[i] = b * cos[i] + a * sin[i];
    }
  }
}

OCELLI_NOINLINE float log_sum_exp(const float* x, int count, float* max_out) {
  const float lowest = -std::numeric_limits<float>::infinity();
  f32x4 best = splat(lowest);
  int i = 0;
  for (; i + 4 <= count; i += 4) best = max(load<f32x4>(x + i), best);
  float top = lowest;
  for (int lane = 0; lane < 4; ++lane) top = best[lane] > top ? best[lane] : top;
  for (; i < count; ++i) top = x[i] > top ? x[i] : top;
  if (max_out != nullptr) *max_out = top;
  if (top == lowest) return lowest;

  f64x2 sum_low = {}, sum_high = {};
  const auto collect = [&](f32x4 value) {
    const f32x4 e = exp_f32x4(value - top);
    sum_low += f64x2{e[0], e[1]};
    sum_high += f64x2{e[2], e[3]};
  };
  for (i = 0; i + 4 <= count; i += 4) collect(load<f32x4>(x + i));
  if (i < count) {
    f32x4 rest = splat(lowest);
    for (int j = i; j < count; ++j) rest[j - i] = x[j];
    collect(rest);
  }
  const double sum = (sum_low[0] + sum_low[1]) + (sum_high[0] + sum_high[1]);
  if (!(sum < std::numeric_limits<double>::infinity())) return static_cast<float>(sum);  // NaN
  return static_cast<float>(double{top} + log_f64(sum));
}

OCELLI_NOINLINE int argmax(const float* x, int count) {
  f32x4 best = splat(-std::numeric_limits<float>::infinity());
  int i = 0;
  for (; i + 4 <= count; i += 4) best = max(load<f32x4>(x + i), best);
  float top = -std::numeric_limits<float>::infinity();
  for (int lane = 0; lane < 4; ++lane) top = best[lane] > top ? best[lane] : top;
  for (; i < count; ++i) top = x[i] > top ? x[i] : top;
  for (i = 0; i < count; ++i) {
    if (x[i] == top) return i;
  }
  return 0;  // nothing but NaN
}

OCELLI_NOINLINE void dequantize_row(const Linear& w, int row, float* out) {
  OCELLI_CHECK(row >= 0 && row < w.n);
  constexpr int kInputs = 128;
  alignas(16) float panel[kInputs * kTileRows];
  const int tile = row / kTileRows, lane = row % kTileRows;
  for_each_tile(w, tile, tile + 1, [&](const LinearPart& part, int tile_in_part, int) {
    for (int k = 0; k < w.k; k += kInputs) {
      const int count = std::min(kInputs, w.k - k);
      dequantize_panel(w, part, tile_in_part, k, count, panel);
      for (int i = 0; i < count; ++i) out[k + i] = panel[i * kTileRows + lane];
    }
  });
}

}  // namespace ocelli
