// Activations as int8: one f32 scale per 32 inputs, and for the groups that peak a second int8 pass
// ("fine": the residual quantised again, 15 bits together). Made once per layer input by `model`,
// read by matmul_q8. Surprise: the order is group by group, not row by row, so that the tokens of a
// tile lie side by side; fine groups are stored densely, because few rows of a group have one.
#pragma once

#include <cstdint>

namespace ocelli {

// A group gets the fine pass when its max|x| > ratio * mean|x| of the whole row: what counts is the
// error that a group adds to the row's sum, so a peak among small values needs nothing, a peak
// above the row does. What each layer's input costs and gains: README.md.
inline constexpr float kFineAll = 0.0f;  // attention inputs, merger, head: little work, most error
inline constexpr float kFinePeaks = 8.0f;  // the rest

struct QuantizedRows {
  int rows = 0;                 // of every array below
  int k_padded = 0;             // a multiple of 128
  int8_t* codes = nullptr;      // [k_padded/32, rows, 32] in -127..127
  float* scales = nullptr;      // [k_padded/32, rows]
  int32_t* offsets = nullptr;   // [k_padded/32, rows] -128 * sum of the codes: what u8's zero takes
  float* sums = nullptr;        // [k_padded/128, rows] sum of the quantised values, fine ones too
  uint8_t* has_fine = nullptr;  // [k_padded/32, rows]
  // Entries: the fine groups in the order of (group, row), see gather_fine.
  int dense_groups = 0;             // so many groups, from the first on, have one for every row
  int32_t* fine_begin = nullptr;    // [k_padded/32 + 1] first entry of each group
  int32_t* fine_row = nullptr;      // [entries]
  int8_t* fine = nullptr;           // [entries, 32] in -127..127
  float* fine_scales = nullptr;     // [entries]
  int32_t* fine_offsets = nullptr;  // [entries] as offsets

  int groups() const { return k_padded / 32; }
};

// Bytes for `rows` rows; k_padded is a multiple of 128.
int64_t quantized_rows_bytes(int rows, int k_padded);
// Lays the arrays out in `memory` (16-byte aligned, quantized_rows_bytes bytes).
QuantizedRows quantized_rows_at(void* memory, int rows, int k_padded);

// Quantises x // [k] f32 into row `row`; inputs k..k_padded become zeros. A group with a value that
// is not finite gets the scale NaN, so the damage shows in the result instead of hiding. Rows may
// be quantised by different threads.
void quantize_row(const float* x, int k, QuantizedRows& out, int row, float fine_ratio);

// Gives the groups without a fine pass one of zeros, which changes no bit of a sum. Before
// gather_fine.
void fill_fine(QuantizedRows& x);

// Packs the fine groups of all rows into entries. Once, after every row is quantised: until then
// the fine arrays hold them sparsely at [group, row].
void gather_fine(QuantizedRows& x);

}  // namespace ocelli
