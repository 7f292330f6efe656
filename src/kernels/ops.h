// The small f32 operations between the matrix products. Called by `model` on row ranges, from any
// thread. No libm: the same bits on every target. x and y may be the same buffer where both appear.
#pragma once

#include <cstdint>

#include "tensor/linear.h"

namespace ocelli {

// y[i] = x[i] * (1/sqrt(mean(x^2) + eps)) * weight[i]; the mean is summed in double.
//   x, weight, y  // [width] f32
void rms_norm(const float* x, const float* weight, int width, float eps, float* y);

// x[i] += y[i]
void add(float* x, const float* y, int64_t count);
// x[i] *= y[i]
void multiply(float* x, const float* y, int64_t count);

// out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]; out may be gate or up.
void silu_mul(const float* gate, const float* up, int64_t count, float* out);

// x = x/2 (1 + erf(x/sqrt(2))), the exact form; absolute error of erf below 5e-7.
void gelu(float* x, int64_t count);

// Rotates the pairs (i, i + C/2) of every head: a' = a cos - b sin, b' = b cos + a sin.
//   x  // [heads, C] f32   cos, sin  // [C/2] f32
void rope_half(float* x, int heads, int head_dim, const float* cos, const float* sin);

// log(sum(exp(x))), summed in double around the maximum; max_out (may be null) gets the maximum.
float log_sum_exp(const float* x, int count, float* max_out);

// Index of the largest value, the lowest on ties; NaN never wins. count >= 1.
int argmax(const float* x, int count);

// Row `row` of W as f32: the embedding lookup, any format.   out  // [w.k] f32
void dequantize_row(const Linear& w, int row, float* out);

}  // namespace ocelli
