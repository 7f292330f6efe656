// PNG (second edition, 2003): all colour types and depths, Adam7, tRNS, eXIf; samples of 16 bits
// keep their high byte. Chunks, filters and colours are ours, inflating is inflate.h's. The
// checksums of critical chunks must hold. Of an animated PNG it is the default image that counts.
#include <array>
#include <climits>

#include "image/codecs.h"
#include "image/exif.h"
#include "image/inflate.h"
#include "image/memory.h"
#include "image/png_pixels.h"

namespace ocelli {
namespace {

std::unexpected<Error> damaged(const std::string& what) {
  return fail(Status::kInvalidImage, "damaged PNG image: " + what);
}
std::unexpected<Error> truncated(uint64_t have, uint64_t want) {
  return fail(Status::kInvalidImage, "truncated PNG image: it holds at most " +
                                         std::to_string(have) + " of " + std::to_string(want) +
                                         " bytes of pixels");
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

struct Png {
  PngFormat format;
  Orientation orientation = Orientation::kUpright;
  bool has_palette = false;
  Bytes data;             // the zlib stream
  Block<uint8_t> joined;  // holds it when it came in pieces
};

Result<void> read_header(Bytes chunk, const ImageLimits& limits, PngFormat& png) {
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
  for (size_t i = 0; i < chunk.size(); ++i) png.format.palette[i / 3 * 4 + i % 3] = chunk[i];
  png.has_palette = true;
  return {};
}

void read_transparency(Bytes chunk, PngFormat& png) {
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
      OCELLI_TRY_VOID(read_header(data, limits, png.format));
    } else if (has_prefix(type, "PLTE") && parts.empty()) {
      OCELLI_TRY_VOID(read_palette(data, png));
    } else if (has_prefix(type, "tRNS") && parts.empty()) {
      read_transparency(data, png.format);
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
  if (png.format.color == kPalette && !png.has_palette) return damaged("its palette is missing");
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

}  // namespace

Result<Image> decode_png(Bytes bytes, const ImageLimits& limits) {
  Png png;
  OCELLI_TRY_VOID(read_chunks(bytes, limits, png));
  const uint64_t wanted = png_raw_bytes(png.format);
  if (wanted > INT_MAX - kInflateSlack) {
    return fail(Status::kImageTooLarge,
                "PNG image unpacks to " + std::to_string(wanted) + " bytes; at most " +
                    std::to_string(INT_MAX - kInflateSlack) + " are accepted");
  }
  // Deflate shrinks by 1032 at best: a huge header over a few bytes is not worth an allocation.
  const uint64_t possible = uint64_t{1032} * png.data.size();
  if (wanted > possible) return truncated(possible, wanted);
  const size_t raw_bytes = static_cast<size_t>(wanted);
  OCELLI_TRY(auto raw, make_block<uint8_t>(raw_bytes + kInflateSlack, "the pixels of a PNG image"));
  const size_t written = inflate_zlib(png.data, {raw.get(), raw_bytes + kInflateSlack});
  if (written < raw_bytes) return truncated(written, wanted);
  png.joined.reset();

  const PngFormat& format = png.format;
  OCELLI_TRY(Canvas canvas,
             Canvas::create("PNG", format.width, format.height, png.orientation, limits));
  OCELLI_TRY_VOID(draw_png(format, {raw.get(), raw_bytes}, canvas));
  return canvas.take();
}

}  // namespace ocelli
