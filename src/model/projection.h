// Projection: one or more matmuls that share their input rows, spread over the pool. The only place
// that decides between f32 and int8 activations.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.h"
#include "base/pool.h"
#include "kernels/quantize.h"
#include "tensor/linear.h"

namespace ocelli {

struct ProjectionOutput {
  const Linear* weights;
  float* y;          // [rows, stride]
  int64_t y_stride;  // at least weights->n
};

class Projection {
 public:
  // Bytes of scratch for int8 activations.
  static int64_t scratch_bytes(int rows_max, int k_max);
  // fast: packed weights meet int8 activations; otherwise everything is f32.
  static Result<Projection> make(Pool& pool, bool fast, int rows_max, int k_max);

  // y = x W^T + bias for every output. x [rows, x_stride]; all weights have the same k. bits: of
  // int8 activations. prepare(row) makes row `row` of x, on the thread
  // that quantises it next: norms and sums of rows belong there, while a row is in the cache.
  template <class F>
  void run(const float* x, int rows, int64_t x_stride, std::span<const ProjectionOutput> outputs,
           ActBits bits, F&& prepare) {
    QuantizedRows codes = codes_for(rows, outputs, bits);
    const int k = outputs[0].weights->k;
    pool_->parallel(rows, [&](int, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        prepare(row);
        if (codes.rows > 0) quantize_row(x + row * x_stride, k, codes, static_cast<int>(row));
      }
    });
    multiply(x, rows, x_stride, outputs, codes);
  }
  Pool& pool() { return *pool_; }

 private:
  // Where rows are quantised to; no rows when no output takes int8 activations.
  QuantizedRows codes_for(int rows, std::span<const ProjectionOutput> outputs, ActBits bits);
  void multiply(const float* x, int rows, int64_t x_stride,
                std::span<const ProjectionOutput> outputs, QuantizedRows& codes);

  Pool* pool_ = nullptr;
  bool fast_ = false;
  Buffer<uint8_t> scratch_;
};

}  // namespace ocelli
