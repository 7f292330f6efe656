// One tile (8 output rows) of a matrix in each layout of models/FORMAT.md section 4.
// matrix_writer.cc calls these tile by tile; they know neither files nor names. Surprise:
// quantisers compute codes against the scale already rounded to f16, the one the kernels will use.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/linear.h"

namespace ocelli {

// Rows of a tile that do not exist (n is no multiple of 8) are null pointers in `rows` and become
// zero rows.
//   rows  // 8 x [k]    out  // [k, 8]
void pack_dense_16(const uint16_t* const rows[kTileRows], int k, uint16_t* out);
void pack_dense_32(const float* const rows[kTileRows], int k, float* out);

// Symmetric int8, groups of 64. False when a group's values are too large for an f16 scale.
//   codes // [k_padded/4, 32] U8   scales // [k_padded/64, 8] f16
bool quantize_u8(const float* const rows[kTileRows], int k, uint8_t* codes, uint16_t* scales);

// Asymmetric int4, round to nearest, groups of 128. False as above.
//   codes // [k_padded/8, 32] U8   scales // [k_padded/128, 8] f16   zeros // [k_padded/128, 8] U8
bool quantize_u4(const float* const rows[kTileRows], int k, uint8_t* codes, uint16_t* scales,
                 uint8_t* zeros);

// AWQ "gemm" as it lies in a checkpoint: words of 8 output columns in the order 0 2 4 6 1 3 5 7.
struct AwqMatrix {
  int n = 0;                // output columns, a multiple of 8
  int k = 0;                // inputs, a multiple of 128
  const uint32_t* qweight;  // [k, n/8]
  const uint32_t* qzeros;   // [k/128, n/8]
  const uint16_t* scales;   // [k/128, n] f16
};

// Column `column` (0..7) of a packed AWQ word.
constexpr uint32_t awq_nibble(uint32_t word, int column) {
  constexpr int kPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  return (word >> (4 * kPlace[column])) & 15u;
}

// Tiles [tile_begin, tile_begin + tiles) as u4, exactly.   codes // [tiles, k/8, 32] and so on as
// above
void repack_awq(const AwqMatrix& matrix, int tile_begin, int tiles, uint8_t* codes,
                uint16_t* scales, uint8_t* zeros);

// Output row `row` as f32, exact: 5 bits times 11 bits.   out // [k]
void dequantize_awq_row(const AwqMatrix& matrix, int row, float* out);

}  // namespace ocelli
