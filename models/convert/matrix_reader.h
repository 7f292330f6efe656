// Rows of a source matrix as f32 or as raw 16-bit values, whether it lies there dense or
// AWQ-packed. Used by matrix_writer.cc. Surprise: an AWQ matrix is read whole (at most some 100
// MB), since its storage runs along the other axis; dense ones are read a few rows at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "convert/checkpoint.h"
#include "convert/tile_codec.h"
#include "format/weight_table.h"

namespace ocelli {

// The tensors of one matrix in a checkpoint: either `dense` or the other three.
struct MatrixTensors {
  const SourceTensor* dense = nullptr;
  const SourceTensor* qweight = nullptr;
  const SourceTensor* qzeros = nullptr;
  const SourceTensor* scales = nullptr;

  bool awq() const { return dense == nullptr; }
};

// Finds them and checks shapes and dtypes.
Result<MatrixTensors> find_matrix(const Checkpoint& checkpoint, const WeightSpec& spec);

// Values of a float tensor as f32. kTensorDtype when one is NaN or infinite.
Result<std::vector<float>> read_floats(Checkpoint& checkpoint, const SourceTensor& tensor);

class MatrixReader {
 public:
  static Result<MatrixReader> open(Checkpoint& checkpoint, const WeightSpec& spec,
                                   const MatrixTensors& tensors);

  // Rows [begin, begin + count); NaN and infinities are errors naming the tensor.
  Result<void> rows_f32(int begin, int count, std::vector<float>& out);
  Result<void> rows_16(int begin, int count, std::vector<uint16_t>& out);  // dense BF16 or F16 only
  const AwqMatrix& awq() const { return awq_; }                            // AWQ only

  // How a dense matrix would fit f16. Stops reading when the answer is known: at the first value
  // out of range, or, unless range_only, that is not exact.
  struct F16Fit {
    bool exact = true;     // every value is an f16
    bool in_range = true;  // no value overflows when rounded to f16
  };
  Result<F16Fit> scan_f16(bool range_only);

 private:
  MatrixReader(Checkpoint& checkpoint, const WeightSpec& spec, const MatrixTensors& tensors)
      : checkpoint_(&checkpoint), n_(spec.n), k_(spec.k), tensors_(tensors) {}
  Result<void> load_awq();
  Result<void> read_raw(int begin, int count);

  Checkpoint* checkpoint_;
  int n_;
  int k_;
  MatrixTensors tensors_;
  std::vector<uint8_t> raw_;
  AwqMatrix awq_ = {};
  std::vector<uint32_t> qweight_;
  std::vector<uint32_t> qzeros_;
  std::vector<uint16_t> scales_;
};

// Rows read at a time: a multiple of 8, some 4 MiB of f32.
int rows_per_chunk(int k);

}  // namespace ocelli
