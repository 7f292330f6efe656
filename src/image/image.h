// Image: 8-bit RGB pixels, what decoding yields and resizing and patchifying take. Owned by whoever
// holds it. Row-major, no padding between rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ocelli {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3] u8

  const uint8_t* row(int y) const { return rgb.data() + size_t(y) * size_t(width) * 3; }
  uint8_t* row(int y) { return rgb.data() + size_t(y) * size_t(width) * 3; }
};

}  // namespace ocelli
