// decode_image: encoded bytes of unknown origin -> RGB. Called by engine/ for every image of a
// request. The pixels are those of Pillow's open + exif_transpose + alpha over white +
// convert("RGB"). Two differences: 16-bit grey keeps its high byte (as 16-bit colour does) instead
// of clipping, and the transparent shade of a 2- or 4-bit grey PNG counts as the file means it
// (Pillow misses it).
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "image/image.h"

namespace ocelli {

struct ImageLimits {
  int64_t pixels_max = 64'000'000;  // width * height, from the header, before anything is allocated
  int64_t bytes_max = int64_t{768} << 20;  // memory a decode may hold at once, its result included
};

// Decodes PNG, JPEG (baseline, progressive), GIF and animated WebP (first frame), BMP and WebP; the
// kind is told by content. Applies EXIF orientation, so width and height are those of the upright
// picture. Errors: kInvalidImage (not an image, damaged or truncated), kUnsupportedImage (a known
// kind that is not decoded), kImageTooLarge (a limit above), kOutOfMemory. Any bytes are safe to
// pass.
Result<Image> decode_image(std::span<const uint8_t> bytes, const ImageLimits& limits = {});

}  // namespace ocelli
