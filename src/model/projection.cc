#include "model/projection.h"

#include <algorithm>

#include "kernels/matmul.h"

namespace ocelli {
namespace {

bool is_packed(const Linear& weights) {
  return weights.format == WeightFormat::kU4 || weights.format == WeightFormat::kU8;
}

}  // namespace

int64_t Projection::scratch_bytes(int rows_max, int k_max) {
  return quantized_rows_bytes(rows_max, round_up(k_max, kGroupAct));
}

Result<Projection> Projection::make(Pool& pool, bool fast, int rows_max, int k_max) {
  Projection projection;
  projection.pool_ = &pool;
  projection.fast_ = fast;
  if (fast) {
    OCELLI_TRY(projection.scratch_, Buffer<uint8_t>::make(scratch_bytes(rows_max, k_max),
                                                          "the scratch for int8 activations"));
  }
  return projection;
}

QuantizedRows Projection::codes_for(int rows, std::span<const ProjectionOutput> outputs,
                                    ActBits bits) {
  for (const ProjectionOutput& output : outputs) {
    if (fast_ && is_packed(*output.weights))
      return quantized_rows_at(scratch_.data(), rows, round_up(output.weights->k, kGroupAct), bits);
  }
  return {};
}

void Projection::multiply(const float* x, int rows, int64_t x_stride,
                          std::span<const ProjectionOutput> outputs, QuantizedRows& codes) {
  if (codes.rows > 0) gather_peaks(codes);
  int64_t tiles_total = 0;
  for (const ProjectionOutput& output : outputs) tiles_total += output.weights->tiles();
  // The tiles of all outputs form one range, so one dispatch serves them all.
  pool_->parallel(tiles_total, [&](int, int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const ProjectionOutput& output : outputs) {
      const Linear& weights = *output.weights;
      const int64_t from = std::max(begin, first) - first;
      const int64_t to = std::min<int64_t>(end - first, weights.tiles());
      first += weights.tiles();
      if (from >= to) continue;
      const int tile_begin = static_cast<int>(from), tile_end = static_cast<int>(to);
      if (fast_ && is_packed(weights)) {
        matmul_q8(weights, tile_begin, tile_end, codes, rows, output.y, output.y_stride);
      } else {
        matmul_f32(weights, tile_begin, tile_end, x, rows, x_stride, output.y, output.y_stride);
      }
    }
  });
}

}  // namespace ocelli
