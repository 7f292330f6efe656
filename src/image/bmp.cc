// BMP: headers from OS/2 1.x to V5, 1 to 32 bits a pixel, RLE4 and RLE8, bit fields; bottom-up or
// top-down. As in Pillow, the fourth byte of a 32-bit pixel counts as alpha only when bit fields
// say so.
#include <array>
#include <bit>
#include <cstdlib>

#include "image/canvas.h"
#include "image/codecs.h"
#include "image/memory.h"

namespace ocelli {
namespace {

enum Compression : uint32_t { kNone = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3, kAlphaFields = 6 };

std::unexpected<Error> damaged(const std::string& what) {
  return fail(Status::kInvalidImage, "damaged BMP image: " + what);
}
std::unexpected<Error> truncated() {
  return fail(Status::kInvalidImage, "truncated BMP image: it ends before its last row");
}

struct Bmp {
  int width = 0, height = 0, bits = 0;
  bool top_down = false;
  uint32_t compression = kNone;
  uint32_t masks[4] = {};                     // red, green, blue, alpha
  std::array<uint8_t, 256 * 4> palette = {};  // [256, 4] RGBA
  Bytes pixels;
};

Result<Bmp> read_header(Bytes bytes, const ImageLimits& limits) {
  Bmp bmp;
  ByteReader reader(bytes, /*big_endian=*/false);
  reader.skip(10);
  const uint32_t pixels_at = reader.u32();
  const uint32_t header_bytes = reader.u32();
  const bool old = header_bytes == 12;
  if (reader.ok() && !old && (header_bytes < 40 || header_bytes > 1024)) {
    return damaged("a header of " + std::to_string(header_bytes) + " bytes");
  }
  int64_t width = old ? reader.u16() : static_cast<int32_t>(reader.u32());
  int64_t height = old ? reader.u16() : static_cast<int32_t>(reader.u32());
  reader.skip(2);
  bmp.bits = reader.u16();
  uint32_t colors = 0;
  if (!old) {
    bmp.compression = reader.u32();
    reader.skip(12);
    colors = reader.u32();
    reader.skip(4);
  }
  if (!reader.ok()) return truncated();
  bmp.top_down = height < 0;
  if (height < 0) height = -height;
  OCELLI_TRY_VOID(Canvas::check("BMP", width, height, limits));
  bmp.width = static_cast<int>(width);
  bmp.height = static_cast<int>(height);

  const int bits = bmp.bits;
  const bool indexed = bits == 1 || bits == 4 || bits == 8;
  if (!indexed && bits != 16 && bits != 24 && bits != 32) {
    return fail(Status::kUnsupportedImage, "BMP images of " + std::to_string(bits) +
                                               " bits a pixel are not supported; 1, 4, 8, 16, 24 "
                                               "and 32 are");
  }
  const uint32_t compression = bmp.compression;
  const bool fields = compression == kBitFields || compression == kAlphaFields;
  const bool fits = compression == kNone || (compression == kRle8 && bits == 8) ||
                    (compression == kRle4 && bits == 4) || (fields && (bits == 16 || bits == 32));
  if (!fits) {
    return fail(Status::kUnsupportedImage, "BMP compression " + std::to_string(compression) +
                                               " at " + std::to_string(bits) +
                                               " bits a pixel is not supported");
  }
  if (fields) {
    const bool with_alpha = compression == kAlphaFields || header_bytes >= 56;
    for (int c = 0; c < (with_alpha ? 4 : 3); ++c) bmp.masks[c] = reader.u32();
    // Masks of the smallest header lie behind it, those of later ones inside.
  } else if (bits == 16) {
    bmp.masks[0] = 0x7c00, bmp.masks[1] = 0x3e0, bmp.masks[2] = 0x1f;
  } else if (bits == 32) {
    bmp.masks[0] = 0xff0000, bmp.masks[1] = 0xff00, bmp.masks[2] = 0xff;
  }
  for (size_t i = 0; i < 256; ++i) bmp.palette[i * 4 + 3] = 255;  // entries not given are black
  if (indexed) {
    const size_t header_end = size_t{14} + header_bytes;
    if (reader.position() < header_end) reader.skip(header_end - reader.position());
    size_t count = size_t{1} << bits;
    if (colors != 0 && colors < count) count = colors;
    for (size_t i = 0; i < count; ++i) {
      for (int c = 2; c >= 0; --c) bmp.palette[i * 4 + static_cast<size_t>(c)] = reader.u8();
      if (!old) reader.skip(1);
    }
  }
  if (!reader.ok() || pixels_at > bytes.size()) return truncated();
  bmp.pixels = bytes.subspan(pixels_at);
  return bmp;
}

// A pixel's share under a mask, scaled to 0..255 rounding down.
struct Channel {
  uint32_t mask = 0, shift = 0, top = 0;
  explicit Channel(uint32_t m = 0)
      : mask(m), shift(m ? static_cast<uint32_t>(std::countr_zero(m)) : 0), top(m >> shift) {}
  uint8_t of(uint32_t pixel) const {
    return top == 0 ? 0 : static_cast<uint8_t>(uint64_t{(pixel & mask) >> shift} * 255 / top);
  }
};

// Rows of plain pixels, as stored.
Result<void> draw_plain(const Bmp& bmp, Canvas& canvas) {
  const uint64_t width =
      static_cast<uint64_t>(bmp.width);  // 64 bits: 32 times it may not fit in 32
  const uint64_t bits = static_cast<uint64_t>(bmp.bits);
  const uint64_t stride = (width * bits + 31) / 32 * 4;
  const uint64_t row_bytes = (width * bits + 7) / 8;
  OCELLI_TRY(auto rgba, make_block<uint8_t>(static_cast<size_t>(width) * 4, "a row of pixels"));
  const Channel red(bmp.masks[0]), green(bmp.masks[1]), blue(bmp.masks[2]), alpha(bmp.masks[3]);
  for (int i = 0; i < bmp.height; ++i) {
    const uint64_t at = static_cast<uint64_t>(i) * stride;
    if (at > bmp.pixels.size() || bmp.pixels.size() - at < row_bytes) return truncated();
    const uint8_t* row = bmp.pixels.data() + at;
    for (size_t x = 0; x < width; ++x) {
      uint8_t* out = rgba.get() + x * 4;
      out[3] = 255;
      if (bits <= 8) {
        const size_t bit = x * bits;
        const uint32_t index = (row[bit / 8] >> (8 - bits - bit % 8)) & ((1u << bits) - 1);
        std::memcpy(out, &bmp.palette[index * 4], 4);
      } else if (bits == 24) {
        for (size_t c = 0; c < 3; ++c) out[c] = row[x * 3 + 2 - c];
      } else {
        uint32_t pixel = 0;
        for (size_t b = 0; b < bits / 8; ++b) pixel |= uint32_t{row[x * bits / 8 + b]} << (8 * b);
        out[0] = red.of(pixel), out[1] = green.of(pixel), out[2] = blue.of(pixel);
        if (alpha.mask) out[3] = alpha.of(pixel);
      }
    }
    canvas.put_rgba_row(bmp.top_down ? i : bmp.height - 1 - i, rgba.get());
  }
  return {};
}

// RLE4 and RLE8: runs, literal stretches and jumps; what is jumped over keeps colour 0.
Result<void> draw_runs(const Bmp& bmp, Canvas& canvas) {
  const int64_t width = bmp.width, height = bmp.height;
  OCELLI_TRY(auto indices,
             make_block<uint8_t>(static_cast<size_t>(width * height), "the pixels of a BMP image"));
  const bool narrow = bmp.bits == 4;
  ByteReader reader(bmp.pixels, /*big_endian=*/false);
  int64_t x = 0, y = 0;
  const auto put = [&](int index) {
    if (x < width && y < height)
      indices[static_cast<size_t>(y * width + x)] = static_cast<uint8_t>(index);
    ++x;
  };
  bool ended = false;
  while (!ended && y < height) {
    const int count = reader.u8(), value = reader.u8();
    if (!reader.ok()) return truncated();
    if (count > 0) {
      for (int i = 0; i < count; ++i) put(!narrow ? value : i % 2 ? value & 15 : value >> 4);
    } else if (value == 0) {
      x = 0;
      ++y;
    } else if (value == 1) {
      ended = true;
    } else if (value == 2) {
      x += reader.u8();
      y += reader.u8();
    } else {
      const Bytes stretch = reader.take(static_cast<size_t>(narrow ? (value + 1) / 2 : value));
      if (!reader.ok()) return truncated();
      for (int i = 0; i < value; ++i) {
        const int byte = stretch[static_cast<size_t>(narrow ? i / 2 : i)];
        put(!narrow ? byte : i % 2 ? byte & 15 : byte >> 4);
      }
      if (stretch.size() % 2) reader.skip(1);
    }
  }
  OCELLI_TRY(auto rgba, make_block<uint8_t>(static_cast<size_t>(width) * 4, "a row of pixels"));
  for (int i = 0; i < bmp.height; ++i) {
    for (int64_t column = 0; column < width; ++column) {
      const size_t index = indices[static_cast<size_t>(i * width + column)];
      std::memcpy(rgba.get() + column * 4, &bmp.palette[index * 4], 4);
    }
    canvas.put_rgba_row(bmp.top_down ? i : bmp.height - 1 - i, rgba.get());
  }
  return {};
}

}  // namespace

Result<Image> decode_bmp(Bytes bytes, const ImageLimits& limits) {
  OCELLI_TRY(const Bmp bmp, read_header(bytes, limits));
  const bool runs = bmp.compression == kRle8 || bmp.compression == kRle4;
  // Every row of plain pixels is in the file, so a short file is known before anything is
  // allocated.
  const uint64_t stride =
      (uint64_t{static_cast<uint32_t>(bmp.width)} * static_cast<uint32_t>(bmp.bits) + 31) / 32 * 4;
  if (!runs && stride * static_cast<uint64_t>(bmp.height - 1) > bmp.pixels.size())
    return truncated();
  OCELLI_TRY(Canvas canvas,
             Canvas::create("BMP", bmp.width, bmp.height, Orientation::kUpright, limits));
  if (runs) {
    OCELLI_TRY_VOID(draw_runs(bmp, canvas));
  } else {
    OCELLI_TRY_VOID(draw_plain(bmp, canvas));
  }
  return canvas.take();
}

}  // namespace ocelli
