// The size an image is brought to before it is cut into patches, and the resampling itself. Called
// by engine/ between decode_image and patchify. Both repeat the reference bit for bit: Python's
// rounding in smart_resize, Pillow's fixed-point bicubic in resize_bicubic.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "image/image.h"
#include "tensor/patch_grid.h"

namespace ocelli {

struct ResizedSize {
  int height = 0;  // px, a positive multiple of the factor
  int width = 0;
  bool operator==(const ResizedSize&) const = default;
};

// Size in px closest to height x width whose sides are multiples of `factor` (patch * merge) and
// whose area lies in [min_pixels, max_pixels]; the aspect ratio is kept approximately. A very long
// strip may still leave the range, because no side goes below `factor`: guard the product before
// allocating. Errors: kImageAspectRatio when one side is more than 200 times the other;
// kInvalidValue for sizes below 1 or a range that is empty; kImageTooLarge when a side would not
// fit in an int.
Result<ResizedSize> smart_resize(int height, int width, int factor, int64_t min_pixels,
                                 int64_t max_pixels);

// Antialiased bicubic to width x height px (both at least 1), equal to Pillow's
// Image.resize((width, height), BICUBIC) of version 13. Holds one image of size between the two at
// a time. Errors: kOutOfMemory; kInvalidValue when a side is below 1.
Result<Image> resize_bicubic(const Image& image, int width, int height);

}  // namespace ocelli
