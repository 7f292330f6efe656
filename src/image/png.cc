// PNG (second edition, 2003): all colour types and depths, Adam7, tRNS, eXIf; samples of 16 bits
// keep their high byte. Chunks, filters and colours are ours, inflating is inflate.h's. The
// checksums of critical chunks must hold. Of an animated PNG it is the default image that counts.
#include <array>
#include <climits>

#include "image/codecs.h"
#include "image/exif.h"
#include "image/inflate.h"
#include "image/memory.h"

namespace ocelli {
namespace {

enum ColorType : int { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

std::unexpected<Error> damaged(const std::string& what) {
  return fail(Status::kInvalidImage, "damaged PNG image: " + what);
}
std::unexpected<Error> truncated(size_t have, size_t want) {
  return fail(Status::kInvalidImage, "truncated PNG image: it holds " + std::to_string(have) +
                                         " of " + std::to_string(want) + " bytes of pixels");
}

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
    table[i] = value;
  }
  return table;
}();

uint32_t crc32(Bytes bytes) {
  uint32_t crc = 0xffffffffu;
  for (const uint8_t byte : bytes) crc = kCrcTable[(crc ^ byte) & 255] ^ (crc >> 8);
  return ~crc;
}

bool checksum_holds([[maybe_unused]] Bytes type_and_data, [[maybe_unused]] uint32_t crc) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  return true;  // lets the fuzzer past a check it cannot guess
#else
  return crc32(type_and_data) == crc;
#endif
}

// One pass of Adam7, or the only pass of an image that is not interlaced.
struct Pass {
  int x, y, dx, dy;  // its pixels in the image: x + i * dx, y + j * dy
  int width = 0, height = 0;
  size_t offset = 0;  // of its first row in the inflated bytes
};
constexpr Pass kAdam7[7] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                            {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

struct Png {
  int width = 0, height = 0, depth = 0, color = 0;
  bool interlaced = false;
  Orientation orientation = Orientation::kUpright;
  std::array<uint8_t, 256 * 4> palette = {};  // [256, 4] RGBA
  bool has_palette = false;
  bool has_key = false;  // one colour is transparent
  uint16_t key[3] = {};
  Bytes data;             // the zlib stream
  Block<uint8_t> joined;  // holds it when it came in pieces

  int channels() const {
    return color == kRgb ? 3 : color == kRgba ? 4 : color == kGreyAlpha ? 2 : 1;
  }
  size_t row_bytes(int pixels) const {
    return (static_cast<size_t>(pixels) * static_cast<size_t>(channels() * depth) + 7) / 8;
  }
};

Result<void> read_header(Bytes chunk, const ImageLimits& limits, Png& png) {
  ByteReader reader(chunk);
  const int64_t width = reader.u32();
  const int64_t height = reader.u32();
  png.depth = reader.u8();
  png.color = reader.u8();
  const int compression = reader.u8(), filter = reader.u8(), interlace = reader.u8();
  if (chunk.size() != 13) return damaged("its header chunk is not 13 bytes long");
  OCELLI_TRY_VOID(Canvas::check("PNG", width, height, limits));
  png.width = static_cast<int>(width);
  png.height = static_cast<int>(height);
  const int d = png.depth;
  const bool deep = d == 8 || d == 16, shallow = d == 1 || d == 2 || d == 4;
  const bool fits = png.color == kGrey      ? deep || shallow
                    : png.color == kPalette ? d == 8 || shallow
                                            : deep;
  const bool known = png.color == kGrey || png.color == kRgb || png.color == kPalette ||
                     png.color == kGreyAlpha || png.color == kRgba;
  if (!known || !fits) {
    return damaged("colour type " + std::to_string(png.color) + " at " + std::to_string(d) +
                   " bits does not exist");
  }
  if (compression != 0 || filter != 0 || interlace > 1) {
    return damaged("an unknown compression, filter or interlace method");
  }
  png.interlaced = interlace == 1;
  // Entries the file does not give are black.
  for (size_t i = 0; i < 256; ++i) png.palette[i * 4 + 3] = 255;
  return {};
}

Result<void> read_palette(Bytes chunk, Png& png) {
  if (chunk.size() % 3 != 0 || chunk.size() > 768) return damaged("the size of its palette");
  for (size_t i = 0; i < chunk.size(); ++i) png.palette[i / 3 * 4 + i % 3] = chunk[i];
  png.has_palette = true;
  return {};
}

void read_transparency(Bytes chunk, Png& png) {
  if (png.color == kPalette) {
    for (size_t i = 0; i < chunk.size() && i < 256; ++i) png.palette[i * 4 + 3] = chunk[i];
    return;
  }
  if (png.color != kGrey && png.color != kRgb) return;
  ByteReader reader(chunk);
  for (int c = 0; c < png.channels(); ++c) png.key[c] = reader.u16();
  png.has_key = reader.ok();
}

// Walks the chunks and leaves everything but the pixels in `png`.
Result<void> read_chunks(Bytes bytes, const ImageLimits& limits, Png& png) {
  ByteReader reader(bytes);
  reader.skip(8);
  std::vector<Bytes> parts;
  bool first = true, data_done = false, ended = false;
  while (!ended && reader.left() >= 8) {
    const uint32_t length = reader.u32();
    const size_t start = reader.position();
    const Bytes type = reader.take(4);
    // A file cut inside its pixels: take what is there, inflating tells whether it is enough.
    const bool cut = length > reader.left() || reader.left() - length < 4;
    const Bytes data = reader.take(cut ? std::min<size_t>(length, reader.left()) : length);
    const bool critical = (type[0] & 32) == 0;
    if (!cut && !checksum_holds(bytes.subspan(start, length + size_t{4}), reader.u32()) &&
        critical) {
      return damaged("the checksum of a chunk does not hold");
    }
    if (first && !has_prefix(type, "IHDR")) return damaged("it does not start with its header");
    if (has_prefix(type, "IHDR")) {
      if (!first) return damaged("it has two headers");
      OCELLI_TRY_VOID(read_header(data, limits, png));
    } else if (has_prefix(type, "PLTE") && parts.empty()) {
      OCELLI_TRY_VOID(read_palette(data, png));
    } else if (has_prefix(type, "tRNS") && parts.empty()) {
      read_transparency(data, png);
    } else if (has_prefix(type, "IDAT") && !data_done) {
      parts.push_back(data);
    } else if (has_prefix(type, "eXIf")) {
      png.orientation = exif_orientation(data);
    } else if (has_prefix(type, "IEND")) {
      ended = true;
    }
    data_done = data_done || (!parts.empty() && !has_prefix(type, "IDAT"));
    first = false;
    if (cut) break;
  }
  if (first) return fail(Status::kInvalidImage, "truncated PNG image: it ends inside its header");
  if (png.color == kPalette && !png.has_palette) return damaged("its palette is missing");
  if (parts.size() <= 1) {
    png.data = parts.empty() ? Bytes{} : parts[0];
    return {};
  }
  size_t total = 0;
  for (const Bytes part : parts) total += part.size();
  OCELLI_TRY(png.joined, make_block<uint8_t>(total, "the compressed pixels of a PNG image"));
  size_t at = 0;
  for (const Bytes part : parts) {
    if (!part.empty()) std::memcpy(png.joined.get() + at, part.data(), part.size());
    at += part.size();
  }
  png.data = {png.joined.get(), total};
  return {};
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
void unpack(const Png& png, const uint8_t* row, int pixels, uint8_t* rgba) {
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

Result<Image> decode_png(Bytes bytes, const ImageLimits& limits) {
  Png png;
  OCELLI_TRY_VOID(read_chunks(bytes, limits, png));

  Pass passes[7] = {};
  const int pass_count = png.interlaced ? 7 : 1;
  uint64_t total = 0;
  for (int i = 0; i < pass_count; ++i) {
    Pass& pass = passes[i];
    pass = png.interlaced ? kAdam7[i] : Pass{0, 0, 1, 1};
    pass.width = (png.width - pass.x + pass.dx - 1) / pass.dx;
    pass.height = (png.height - pass.y + pass.dy - 1) / pass.dy;
    if (pass.width <= 0 || pass.height <= 0) pass.width = pass.height = 0;
    pass.offset = static_cast<size_t>(total);
    total += (png.row_bytes(pass.width) + uint64_t{1}) * static_cast<uint64_t>(pass.height);
  }
  if (total > INT_MAX - kInflateSlack) {
    return fail(Status::kImageTooLarge, "PNG image unpacks to " + std::to_string(total) +
                                            " bytes; at most 2147483327 are accepted");
  }
  // Deflate shrinks by 1032 at best: a huge header over a few bytes is not worth an allocation.
  if (total > uint64_t{1032} * (png.data.size() + 1))
    return truncated(png.data.size() * 1032, total);
  OCELLI_TRY(auto raw, make_block<uint8_t>(static_cast<size_t>(total) + kInflateSlack,
                                           "the pixels of a PNG image"));
  const size_t written =
      inflate_zlib(png.data, {raw.get(), static_cast<size_t>(total) + kInflateSlack});
  if (written < total) return truncated(written, total);
  png.joined.reset();

  const size_t pixel_bytes = std::max<size_t>(1, png.row_bytes(1) * (png.depth >= 8 ? 1 : 0));
  for (int i = 0; i < pass_count; ++i) {
    const Pass& pass = passes[i];
    const size_t row_bytes = png.row_bytes(pass.width);
    for (int y = 0; y < pass.height; ++y) {
      uint8_t* row = raw.get() + pass.offset + static_cast<size_t>(y) * (row_bytes + 1);
      const uint8_t* above = y > 0 ? row - row_bytes : nullptr;
      if (!unfilter(row[0], row + 1, above, row_bytes, pixel_bytes)) {
        return damaged("filter " + std::to_string(row[0]) + " of a row does not exist");
      }
    }
  }

  OCELLI_TRY(Canvas canvas, Canvas::create("PNG", png.width, png.height, png.orientation, limits));
  const size_t width = static_cast<size_t>(png.width);
  OCELLI_TRY(auto rgba, make_block<uint8_t>(width * 4, "a row of pixels"));
  OCELLI_TRY(auto part, make_block<uint8_t>(width * 4, "a row of pixels"));
  const bool plain = png.color == kRgb && png.depth == 8 && !png.has_key && !png.interlaced;
  for (int y = 0; y < png.height; ++y) {
    for (int i = 0; i < pass_count; ++i) {
      const Pass& pass = passes[i];
      if (pass.width == 0 || y < pass.y || (y - pass.y) % pass.dy != 0) continue;
      const size_t index = static_cast<size_t>((y - pass.y) / pass.dy);
      const uint8_t* row = raw.get() + pass.offset + index * (png.row_bytes(pass.width) + 1) + 1;
      if (plain) {
        canvas.put_rgb_row(y, row);
      } else if (!png.interlaced) {
        unpack(png, row, pass.width, rgba.get());
      } else {
        unpack(png, row, pass.width, part.get());
        for (int x = 0; x < pass.width; ++x) {
          std::memcpy(rgba.get() + static_cast<size_t>(pass.x + x * pass.dx) * 4,
                      part.get() + static_cast<size_t>(x) * 4, 4);
        }
      }
    }
    if (!plain) canvas.put_rgba_row(y, rgba.get());
  }
  return canvas.take();
}

}  // namespace ocelli
