// Activations as int8: one f32 scale per 128 inputs, as many as share a weight scale, so that a
// whole group is summed in integers. Made once per layer input by `model`, read by matmul_q8.
// Surprise: 15-bit values are two int8 streams, value = 256 * high + low with |high| <= 127, which
// fits in 16 bits; "wide" rows have both everywhere, the others have the high one only for the
// blocks of 32 inputs that peak, packed apart. And the order is group by group, not row by row: the
// tokens of a tile lie side by side.
#pragma once

#include <cstdint>

namespace ocelli {

// What each layer's input costs and gains: README.md.
enum class ActBits : uint8_t {
  k15,          // attention inputs, merger, head: little work, most of the error
  k8,           // after norms: 8 bits, 15 in the blocks that peak
  k8LongTails,  // after SwiGLU, where many blocks would: 15 bits only above far higher peaks
};

// A block peaks when its max|x| > ratio * mean|x| of the whole row: what counts is the error that
// it adds to the row's sum, so a peak among small values needs nothing, one above the row does.
inline constexpr float kPeakRatio = 4.5f, kPeakRatioLongTails = 16.0f;
inline constexpr int kPeakBlock = 32;

struct QuantizedRows {
  int rows = 0;
  int k_padded = 0;  // a multiple of 128
  float peak_ratio = kPeakRatio;
  bool wide = false;              // two streams a row: 2 * row is the low one, 2 * row + 1 the high
  int8_t* codes = nullptr;        // [k_padded/128, streams, 128]
  float* scales = nullptr;        // [k_padded/128, rows]
  int32_t* sums = nullptr;        // [k_padded/128, streams] minus the sum of the codes
  int32_t* block_sums = nullptr;  // [k_padded/32, streams] the same for blocks
  int16_t* pairs = nullptr;       // [k_padded/128, rows, 128] the values, see pair_codes; or null
  // Of rows that are not wide: entries are the high bytes of the blocks that peak, in the order of
  // (block, row), see gather_peaks.
  uint8_t* peak_parts = nullptr;   // [entries] bit i: not all of inputs [8i, 8i + 8) are zero
  int32_t* peak_begin = nullptr;   // [k_padded/32 + 1] first entry of each block
  int32_t* peak_blocks = nullptr;  // [k_padded/32 + 1] the blocks with entries, and -1
  int32_t* peak_row = nullptr;     // [entries]
  int8_t* peak_codes = nullptr;    // [entries, 32]
  float* peak_scales = nullptr;    // [entries] 256 * the group's scale
  int32_t* peak_sums = nullptr;    // [entries] minus the sum of the codes

  int streams() const { return wide ? 2 * rows : rows; }
  int blocks() const { return k_padded / kPeakBlock; }
};

// Bytes for `rows` rows, wide or not; k_padded is a multiple of 128.
int64_t quantized_rows_bytes(int rows, int k_padded);
// Lays the arrays out in `memory` (16-byte aligned, quantized_rows_bytes bytes).
QuantizedRows quantized_rows_at(void* memory, int rows, int k_padded, ActBits bits);

// Quantises x // [k] f32 into row `row`; inputs k..k_padded become zeros. A group with a value that
// is not finite gets the scale NaN, so the damage shows in the result instead of hiding. Rows may
// be quantised by different threads.
void quantize_row(const float* x, int k, QuantizedRows& out, int row);

// The values of a row's group of 128 as 16 bits, of each four the first, third, second, fourth: as
// products of 16 bits meet the codes of weights. Part of quantize_row, in builds that have `pairs`.
void pair_codes(QuantizedRows& x, int group, int row);

// Packs the peaks of all rows into entries. Once, after every row is quantised: until then the
// arrays hold them sparsely at [block, row], and no parts say that there is none.
void gather_peaks(QuantizedRows& x);

}  // namespace ocelli
