// From JPEG component planes to RGB rows, as libjpeg-turbo does it: "fancy" triangle upsampling of
// chroma and 16-bit fixed-point colour conversion. Used by jpeg.cc only.
#pragma once

#include <cstdint>

#include "image/memory.h"

namespace ocelli {

// One decoded component.
struct JpegPlane {
  const uint8_t* samples = nullptr;  // [height, stride] u8, of which width columns count
  int width = 0;                     // samples, without block padding
  int height = 0;
  int stride = 0;
  int h_expand = 1;  // image columns a sample covers, 1..4
  int v_expand = 1;
};

enum class JpegColor : uint8_t { kGrey, kYcbcr, kRgb, kCmyk, kYcck };

// Gives rows of one component at full image width.
class JpegUpsampler {
 public:
  static Result<JpegUpsampler> create(const JpegPlane& plane);

  // Image row y, at least plane.width * h_expand samples; valid until the next call.
  const uint8_t* row(int y);

 private:
  JpegPlane plane_;
  Block<uint8_t> row_;    // [width * h_expand] u8
  Block<uint16_t> sums_;  // [width] u16, vertical 3:1 sums
};

// components[i] are [width] u8; rgb is [width, 3] u8. CMYK is taken as stored inverted (Adobe),
// which is how Pillow reads every four-component JPEG.
void jpeg_to_rgb(JpegColor color, const uint8_t* const components[4], int width, uint8_t* rgb);

}  // namespace ocelli
