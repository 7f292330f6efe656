// Orientation and the white background, row by row.
#include "image/canvas.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "image/memory.h"

namespace ocelli {
namespace {

// Whatever the limits say: 8 bytes a pixel stay within the 31 bits of a wasm32 offset.
constexpr int64_t kPixelsMax = int64_t{1} << 27;

}  // namespace

Result<void> Canvas::check(const char* kind, int64_t width, int64_t height,
                           const ImageLimits& limits) {
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  if (width < 1 || height < 1) {
    return fail(Status::kInvalidImage,
                std::string(kind) + " image is " + size + " px; each side must be at least 1");
  }
  const int64_t pixels_max = std::min(limits.pixels_max, kPixelsMax);
  if (width > pixels_max / height) {
    return fail(Status::kImageTooLarge, std::string(kind) + " image is " + size + " px; at most " +
                                            std::to_string(pixels_max) + " pixels are accepted");
  }
  return {};
}

Result<Canvas> Canvas::create(const char* kind, int64_t width, int64_t height,
                              Orientation orientation, const ImageLimits& limits) {
  OCELLI_TRY_VOID(check(kind, width, height, limits));
  Canvas canvas;
  canvas.width_ = static_cast<int>(width);
  canvas.height_ = static_cast<int>(height);
  const bool turned = orientation >= Orientation::kTransposed;
  canvas.image_.width = turned ? canvas.height_ : canvas.width_;
  canvas.image_.height = turned ? canvas.width_ : canvas.height_;
  OCELLI_TRY_VOID(resize_vector(canvas.image_.rgb,
                                static_cast<size_t>(width) * static_cast<size_t>(height) * 3,
                                "the pixels of an image"));

  // Stored axis -> upright axis, and whether it runs backwards.
  const ptrdiff_t pitch = ptrdiff_t{canvas.image_.width} * 3;
  const ptrdiff_t right = ptrdiff_t{canvas.image_.width - 1} * 3;
  const ptrdiff_t bottom = ptrdiff_t{canvas.image_.height - 1} * pitch;
  bool from_right = false, from_bottom = false;
  switch (orientation) {
    case Orientation::kUpright:
    case Orientation::kTransposed:
      break;
    case Orientation::kMirrored:
    case Orientation::kQuarterTurn:
      from_right = true;
      break;
    case Orientation::kFlipped:
    case Orientation::kThreeQuarterTurn:
      from_bottom = true;
      break;
    case Orientation::kHalfTurn:
    case Orientation::kTransversed:
      from_right = from_bottom = true;
      break;
  }
  canvas.origin_ = (from_right ? right : 0) + (from_bottom ? bottom : 0);
  const ptrdiff_t across = from_right ? -3 : 3, down = from_bottom ? -pitch : pitch;
  canvas.step_x_ = turned ? down : across;
  canvas.step_y_ = turned ? across : down;
  return canvas;
}

void Canvas::put_rgb_row(int y, const uint8_t* rgb) {
  OCELLI_CHECK(y >= 0 && y < height_);
  uint8_t* pixel = image_.rgb.data() + origin_ + y * step_y_;
  if (step_x_ == 3) {
    std::memcpy(pixel, rgb, static_cast<size_t>(width_) * 3);
    return;
  }
  for (ptrdiff_t x = 0; x < width_; ++x) std::memcpy(pixel + x * step_x_, rgb + x * 3, 3);
}

void Canvas::put_rgba_row(int y, const uint8_t* rgba) {
  OCELLI_CHECK(y >= 0 && y < height_);
  uint8_t* first = image_.rgb.data() + origin_ + y * step_y_;
  for (ptrdiff_t x = 0; x < width_; ++x) {
    uint8_t* pixel = first + x * step_x_;
    const uint8_t* source = rgba + x * 4;
    for (int c = 0; c < 3; ++c) pixel[c] = over_white(source[c], source[3]);
  }
}

}  // namespace ocelli
