// Matrix products y = W x + bias over the tiles of a Linear; `model` hands each thread a tile
// range. Every output is computed by one lane, in one order over k: its bits depend neither on the
// number of rows in the call, nor on the tile range, nor on the tier. Exact arithmetic: README.md.
#pragma once

#include <cstdint>

#include "kernels/quantize.h"
#include "tensor/linear.h"

namespace ocelli {

// y[m][n] = sum_k W[n][k] x[m][k] + bias[n], any weight format, f32 arithmetic.
//   x  // [rows, x_stride] f32, the first w.k columns are read
//   y  // [rows, y_stride] f32, columns 8*tile_begin .. min(8*tile_end, w.n) are written, no others
void matmul_f32(const Linear& w, int tile_begin, int tile_end, const float* x, int rows,
                int64_t x_stride, float* y, int64_t y_stride);

// y[m][n] += scale * sum_k W[n][k] x[m][k], else as matmul_f32; w.bias is not read.
void matmul_f32_add(const Linear& w, int tile_begin, int tile_end, const float* x, int rows,
                    int64_t x_stride, float scale, float* y, int64_t y_stride);

// matmul_f32 for u4 and u8 weights with int8 activations and i32 dot products.
//   x  quantised and gathered rows with x.k_padded >= w.k_padded(); the first `rows` are used
void matmul_q8(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x, int rows,
               float* y, int64_t y_stride);

// The scalar specification of matmul_q8, compiled into every build for the self test.
void matmul_q8_scalar(const Linear& w, int tile_begin, int tile_end, const QuantizedRows& x,
                      int rows, float* y, int64_t y_stride);

// The tier that matmul_q8 runs here: "simd128", "relaxed, unsigned bytes", ...
const char* kernel_tier();

}  // namespace ocelli
