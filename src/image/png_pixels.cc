// Filters, sample depths, palettes and Adam7. Interlaced images are woven together row by row while
// they are drawn, so the inflated bytes exist once.
#include "image/png_pixels.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "image/memory.h"

namespace ocelli {
namespace {

// One pass of Adam7, or the only pass of an image that is not interlaced.
struct Pass {
  int x, y, dx, dy;  // its pixels in the image: x + i * dx, y + j * dy
  int width = 0, height = 0;
  uint64_t row_bytes = 0;
  uint64_t offset = 0;  // of its first row in the raw bytes
};
constexpr Pass kAdam7[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                            {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

struct Layout {
  std::array<Pass, 7> passes = {};
  int count = 0;
  uint64_t bytes = 0;
};

Layout make_layout(const PngFormat& format) {
  Layout layout;
  layout.count = format.interlaced ? 7 : 1;
  for (int i = 0; i < layout.count; ++i) {
    Pass& pass = layout.passes[static_cast<size_t>(i)];
    pass = format.interlaced ? kAdam7[i] : Pass{0, 0, 1, 1};
    pass.width = (format.width - pass.x + pass.dx - 1) / pass.dx;
    pass.height = (format.height - pass.y + pass.dy - 1) / pass.dy;
    if (pass.width <= 0 || pass.height <= 0) pass.width = pass.height = 0;
    pass.row_bytes = format.row_bytes(pass.width);
    pass.offset = layout.bytes;
    layout.bytes += (pass.row_bytes + 1) * static_cast<uint64_t>(pass.height);
  }
  return layout;
}

int paeth(int left, int up, int corner) {
  const int to_left = std::abs(up - corner), to_up = std::abs(left - corner);
  const int to_corner = std::abs(left + up - 2 * corner);
  if (to_left <= to_up && to_left <= to_corner) return left;
  return to_up <= to_corner ? up : corner;
}

// Undoes the filter of one row in place. above: the unfiltered row before it, or null.
bool unfilter(int filter, uint8_t* row, const uint8_t* above, size_t bytes, size_t pixel_bytes) {
  if (filter > 4) return false;
  for (size_t i = 0; i < bytes; ++i) {
    const int left = i >= pixel_bytes ? row[i - pixel_bytes] : 0;
    const int up = above ? above[i] : 0;
    const int corner = above && i >= pixel_bytes ? above[i - pixel_bytes] : 0;
    const int guess = filter == 1   ? left
                      : filter == 2 ? up
                      : filter == 3 ? (left + up) / 2
                      : filter == 4 ? paeth(left, up, corner)
                                    : 0;
    row[i] = static_cast<uint8_t>(row[i] + guess);
  }
  return true;
}

// One unfiltered row -> [pixels, 4] u8 RGBA.
void unpack(const PngFormat& png, const uint8_t* row, int pixels, uint8_t* rgba) {
  const int channels = png.channels(), depth = png.depth;
  const int top = (1 << std::min(depth, 8)) - 1;
  for (int i = 0; i < pixels; ++i, rgba += 4) {
    uint16_t sample[4];  // as stored
    for (int c = 0; c < channels; ++c) {
      const size_t at =
          static_cast<size_t>(i) * static_cast<size_t>(channels) + static_cast<size_t>(c);
      if (depth == 16) {
        sample[c] = static_cast<uint16_t>(row[at * 2] << 8 | row[at * 2 + 1]);
      } else if (depth == 8) {
        sample[c] = row[at];
      } else {
        const size_t bit = at * static_cast<size_t>(depth);
        sample[c] = (row[bit / 8] >> (8 - depth - static_cast<int>(bit % 8))) & top;
      }
    }
    if (png.color == kPalette) {
      std::memcpy(rgba, &png.palette[size_t{sample[0]} * 4], 4);
      continue;
    }
    uint8_t value[4];
    for (int c = 0; c < channels; ++c) {
      value[c] = static_cast<uint8_t>(depth == 16 ? sample[c] >> 8 : sample[c] * (255 / top));
    }
    const bool colored = channels >= 3;
    for (int c = 0; c < 3; ++c) rgba[c] = value[colored ? c : 0];
    rgba[3] = channels % 2 == 0 ? value[channels - 1] : 255;
    if (png.has_key) {
      bool hidden = true;
      for (int c = 0; c < channels; ++c) hidden = hidden && sample[c] == png.key[c];
      if (hidden) rgba[3] = 0;
    }
  }
}

}  // namespace

uint64_t png_raw_bytes(const PngFormat& format) { return make_layout(format).bytes; }

Result<void> draw_png(const PngFormat& format, std::span<uint8_t> raw, Canvas& canvas) {
  const Layout layout = make_layout(format);
  OCELLI_CHECK(raw.size() == layout.bytes);
  const std::span<const Pass> passes(layout.passes.data(), static_cast<size_t>(layout.count));
  const auto row_of = [&](const Pass& pass, int y) {  // starts with the filter byte
    return raw.data() +
           static_cast<size_t>(pass.offset + static_cast<uint64_t>(y) * (pass.row_bytes + 1));
  };

  const size_t pixel_bytes = format.depth < 8 ? 1 : static_cast<size_t>(format.row_bytes(1));
  for (const Pass& pass : passes) {
    for (int y = 0; y < pass.height; ++y) {
      uint8_t* row = row_of(pass, y);
      const uint8_t* above = y > 0 ? row_of(pass, y - 1) + 1 : nullptr;
      if (!unfilter(row[0], row + 1, above, static_cast<size_t>(pass.row_bytes), pixel_bytes)) {
        return fail(Status::kInvalidImage, "damaged PNG image: filter " + std::to_string(row[0]) +
                                               " of a row does not exist; 0 to 4 do");
      }
    }
  }

  const size_t width = static_cast<size_t>(format.width);
  OCELLI_TRY(auto rgba, make_block<uint8_t>(width * 4, "a row of pixels"));
  OCELLI_TRY(auto part, make_block<uint8_t>(width * 4, "a row of pixels"));
  const bool plain =
      format.color == kRgb && format.depth == 8 && !format.has_key && !format.interlaced;
  for (int y = 0; y < format.height; ++y) {
    if (plain) {
      canvas.put_rgb_row(y, row_of(passes[0], y) + 1);
      continue;
    }
    for (const Pass& pass : passes) {
      if (pass.width == 0 || y < pass.y || (y - pass.y) % pass.dy != 0) continue;
      const uint8_t* row = row_of(pass, (y - pass.y) / pass.dy) + 1;
      if (!format.interlaced) {
        unpack(format, row, pass.width, rgba.get());
        continue;
      }
      unpack(format, row, pass.width, part.get());
      for (int x = 0; x < pass.width; ++x) {
        std::memcpy(rgba.get() + static_cast<size_t>(pass.x + x * pass.dx) * 4,
                    part.get() + static_cast<size_t>(x) * 4, 4);
      }
    }
    canvas.put_rgba_row(y, rgba.get());
  }
  return {};
}

}  // namespace ocelli
