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

  // y = x W^T + bias for every output. x [rows, x_stride]; all weights have the same k. fine_ratio:
  // kFineAll or kFinePeaks, for int8 activations.
  void run(const float* x, int rows, int64_t x_stride, std::span<const ProjectionOutput> outputs,
           float fine_ratio);
  Pool& pool() { return *pool_; }

 private:
  Pool* pool_ = nullptr;
  bool fast_ = false;
  Buffer<uint8_t> scratch_;
};

}  // namespace ocelli
