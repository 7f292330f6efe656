// Canvas: where a codec puts its pixels. It checks the header's size against the limits before
// anything is allocated, turns the picture upright while rows arrive, and lays transparency over
// white.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "image/decode.h"

namespace ocelli {

// EXIF orientation: what has to be done to see the picture upright. Values are those of the EXIF
// tag.
enum class Orientation : uint8_t {
  kUpright = 1,
  kMirrored = 2,
  kHalfTurn = 3,
  kFlipped = 4,
  kTransposed = 5,
  kQuarterTurn = 6,  // to be turned clockwise
  kTransversed = 7,
  kThreeQuarterTurn = 8,
};

// Pillow's 8-bit blend of a colour with coverage `alpha` over white.
constexpr uint8_t over_white(uint32_t color, uint32_t alpha) {
  const uint32_t sum = color * alpha + 255 * (255 - alpha) + 128;
  return static_cast<uint8_t>((sum + (sum >> 8)) >> 8);
}

class Canvas {
 public:
  // width, height: as stored, in px, before orientation. `kind` names the format in messages.
  // Errors: kInvalidImage (a side is 0), kImageTooLarge, kOutOfMemory.
  static Result<Canvas> create(const char* kind, int64_t width, int64_t height,
                               Orientation orientation, const ImageLimits& limits);

  // The checks of create() without the allocation, for codecs that must stop before they parse on.
  static Result<void> check(const char* kind, int64_t width, int64_t height,
                            const ImageLimits& limits);

  int width() const { return width_; }  // as stored
  int height() const { return height_; }

  void put_rgb_row(int y, const uint8_t* rgb);    // [width, 3] u8
  void put_rgba_row(int y, const uint8_t* rgba);  // [width, 4] u8, alpha not premultiplied

  Image take() { return std::move(image_); }

 private:
  int width_ = 0;
  int height_ = 0;
  ptrdiff_t origin_ = 0;  // byte of stored pixel (0, 0) in the upright image, and the steps from it
  ptrdiff_t step_x_ = 0;
  ptrdiff_t step_y_ = 0;
  Image image_;
};

}  // namespace ocelli
