#include "model/projection.h"

#include "kernels/matmul.h"
#include "model/tile_ranges.h"

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
  const auto matrix = [&](size_t i) -> const Linear& { return *outputs[i].weights; };
  parallel_tiles(*pool_, outputs.size(), matrix, [&](size_t i, int begin, int end) {
    const auto& [weights, y, y_stride] = outputs[i];
    if (fast_ && is_packed(*weights)) {
      matmul_q8(*weights, begin, end, codes, rows, y, y_stride);
    } else {
      matmul_f32(*weights, begin, end, x, rows, x_stride, y, y_stride);
    }
  });
}

}  // namespace ocelli
