// The pixel half of PNG: from inflated bytes to rows on a canvas. Called by png.cc, which reads the
// chunks.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "image/canvas.h"

namespace ocelli {

enum PngColor : int { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

struct PngFormat {
  int width = 0, height = 0;
  int depth = 0;                              // bits a sample: 1, 2, 4, 8, 16
  int color = 0;                              // PngColor
  bool interlaced = false;                    // Adam7
  std::array<uint8_t, 256 * 4> palette = {};  // [256, 4] RGBA
  bool has_key = false;                       // one colour, as stored, is transparent
  uint16_t key[3] = {};

  int channels() const {
    return color == kRgb ? 3 : color == kRgba ? 4 : color == kGreyAlpha ? 2 : 1;
  }
  uint64_t row_bytes(int pixels) const {
    return (static_cast<uint64_t>(pixels) * static_cast<uint64_t>(channels() * depth) + 7) / 8;
  }
};

// Bytes that the zlib stream of such an image inflates to: rows of all passes, a filter byte before
// each.
uint64_t png_raw_bytes(const PngFormat& format);

// Undoes the filters of `raw` in place and draws its rows. raw: png_raw_bytes(format) bytes.
// Errors: kInvalidImage (unknown filter), kImageTooLarge and kOutOfMemory for row buffers.
Result<void> draw_png(const PngFormat& format, std::span<uint8_t> raw, Canvas& canvas);

}  // namespace ocelli
