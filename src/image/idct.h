// The 8x8 inverse DCT of JPEG in the accurate integer form (Loeffler, Ligtenberg, Moschytz 1989),
// with the word lengths of the Independent JPEG Group's "islow", so that pixels equal
// libjpeg-turbo's. Used by jpeg.cc in place of stb_image's own transform, which differs by a level
// here and there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ocelli {

// coefficients: [8, 8] i16, dequantised, row = vertical frequency. Writes [8, 8] u8 samples,
// `stride` bytes from row to row. Sums wrap instead of overflowing: hostile files reach any value.
void idct_8x8(uint8_t* out, int stride, const int16_t* coefficients);

}  // namespace ocelli
