// Activations as int8: one f32 scale per 32 inputs, and for the groups that peak a second int8 pass
// ("fine": the residual quantised again, 15 bits together). Made once per layer input by `model`,
// read by matmul_q8. Surprise: fine codes of a group without a fine pass are zeros, not garbage: a
// row that shares its tile with a peaked row then adds an exact zero.
#pragma once

#include <cstdint>

namespace ocelli {

// A group gets the fine pass when its max|x| > ratio * mean|x| of the whole row: what counts is the
// error that a group adds to the row's sum, so a peak among small values needs nothing, a peak
// above the row does. Chosen by simulation, see README.md: with these, the error to f32 is below
// that of a bf16 run.
inline constexpr float kOutlierRatio = 2.5f;      // attention, gate/up and head inputs
inline constexpr float kOutlierRatioDown = 4.0f;  // the down projection's: few large, most small

struct QuantizedRows {
  int rows = 0;                  // capacity
  int k_padded = 0;              // a multiple of 128
  int8_t* codes = nullptr;       // [rows, k_padded] in -127..127
  float* scales = nullptr;       // [rows, k_padded/32]
  int32_t* sums = nullptr;       // [rows, k_padded/32] sum of the group's codes
  int8_t* fine = nullptr;        // [rows, k_padded] in -127..127, zeros without has_fine
  float* fine_scales = nullptr;  // [rows, k_padded/32]
  int32_t* fine_sums = nullptr;  // [rows, k_padded/32]
  uint8_t* has_fine = nullptr;   // [rows, k_padded/32]
};

// Bytes for `rows` rows; k_padded is a multiple of 128.
int64_t quantized_rows_bytes(int rows, int k_padded);
// Lays the arrays out in `memory` (16-byte aligned, quantized_rows_bytes bytes).
QuantizedRows quantized_rows_at(void* memory, int rows, int k_padded);

// Quantises x // [k] f32 into row `row`; inputs k..k_padded become zeros. A group with a value that
// is not finite gets the scale NaN, so the damage shows in the result instead of hiding.
void quantize_row(const float* x, int k, QuantizedRows& out, int row, float outlier_ratio);

}  // namespace ocelli
