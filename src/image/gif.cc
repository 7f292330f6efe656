// GIF89a, first frame only: interlacing, local palettes, transparency, frames smaller or larger
// than the screen. What the frame leaves free shows the transparent colour, or colour 0, as in
// Pillow.
#include <algorithm>
#include <array>

#include "image/canvas.h"
#include "image/codecs.h"
#include "image/memory.h"

namespace ocelli {
namespace {

std::unexpected<Error> damaged(const char* what) {
  return fail(Status::kInvalidImage, std::string("damaged GIF image: ") + what);
}
std::unexpected<Error> truncated() {
  return fail(Status::kInvalidImage, "truncated GIF image: it ends before its first frame does");
}

using Palette = std::array<uint8_t, 256 * 4>;  // [256, 4] RGBA

// Entries that the file does not give are black.
void read_palette(ByteReader& reader, int packed, Palette& palette) {
  const size_t count = size_t{2} << (packed & 7);
  const Bytes colors = reader.take(count * 3);
  for (size_t i = 0; i < palette.size(); ++i) palette[i] = i % 4 == 3 ? 255 : 0;
  for (size_t i = 0; i < colors.size(); ++i) palette[i / 3 * 4 + i % 3] = colors[i];
}

// The bytes of a chain of sub-blocks, one code at a time.
class CodeReader {
 public:
  explicit CodeReader(ByteReader& reader) : reader_(reader) {}
  // -1 at the end of the chain or the file.
  int next(int bits) {
    while (count_ < bits) {
      if (block_ == 0) block_ = reader_.u8();
      if (block_ == 0) return -1;
      held_ |= uint32_t{reader_.u8()} << count_;
      if (!reader_.ok()) return -1;
      --block_;
      count_ += 8;
    }
    const int code = static_cast<int>(held_ & ((1u << bits) - 1));
    held_ >>= bits;
    count_ -= bits;
    return code;
  }

 private:
  ByteReader& reader_;
  uint32_t held_ = 0;
  int count_ = 0;
  int block_ = 0;  // bytes left in the current sub-block
};

// Variable-width LZW of GIF. A code stands for its prefix code and one more byte.
struct Lzw {
  uint16_t prefix[4096];
  uint8_t last[4096];
  uint8_t first[4096];
  uint16_t length[4096];
};

// Fills `indices`; pixels after an early end code keep what they hold.
Result<void> unpack(ByteReader& reader, std::span<uint8_t> indices) {
  const int width_min = reader.u8();
  if (!reader.ok()) return truncated();
  if (width_min > 8) return damaged("its pixels have more than 8 bits");
  OCELLI_TRY(auto table, make_block<Lzw>(1, "the code table of a GIF image"));
  const int clear = 1 << width_min, end = clear + 1;
  for (int i = 0; i < clear; ++i) {
    table[0].last[i] = table[0].first[i] = static_cast<uint8_t>(i);
    table[0].length[i] = 1;
  }
  CodeReader codes(reader);
  int bits = width_min + 1, next = end + 1, previous = -1;
  size_t at = 0;
  while (at < indices.size()) {
    const int code = codes.next(bits);
    if (code < 0) return truncated();
    if (code == end) break;
    if (code == clear) {
      bits = width_min + 1;
      next = end + 1;
      previous = -1;
      continue;
    }
    if (previous < 0) {
      if (code > clear) return damaged("its first code is not a colour");
    } else {
      if (code > next || (code == next && next == 4096))
        return damaged("a code is not defined yet");
      if (next < 4096) {
        auto& t = table[0];
        t.prefix[next] = static_cast<uint16_t>(previous);
        t.first[next] = t.first[previous];
        t.length[next] = static_cast<uint16_t>(t.length[previous] + 1);
        t.last[next] = t.first[code == next ? previous : code];
        ++next;
        if (next == (1 << bits) && bits < 12) ++bits;
      }
    }
    // Written from the back; what runs past the frame is dropped.
    const size_t length = table[0].length[code];
    int walk = code;
    for (size_t i = length; i-- > 0; walk = table[0].prefix[walk]) {
      if (at + i < indices.size()) indices[at + i] = table[0].last[walk];
    }
    at += length;
    previous = code;
  }
  return {};
}

struct Frame {
  int left = 0, top = 0, width = 0, height = 0;
  bool interlaced = false;
  int transparent = -1;
};

// Stored row -> row of the frame.
int interlaced_row(int i, int height) {
  static constexpr int kStart[4] = {0, 4, 2, 1}, kStep[4] = {8, 8, 4, 2};
  for (int pass = 0; pass < 4; ++pass) {
    const int rows = (height - kStart[pass] + kStep[pass] - 1) / kStep[pass];
    if (height > kStart[pass] && i < rows) return kStart[pass] + i * kStep[pass];
    if (height > kStart[pass]) i -= rows;
  }
  return height - 1;
}

}  // namespace

Result<Image> decode_gif(Bytes bytes, const ImageLimits& limits) {
  ByteReader reader(bytes, /*big_endian=*/false);
  reader.skip(6);
  const int screen_width = reader.u16(), screen_height = reader.u16();
  const int screen_packed = reader.u8();
  reader.skip(2);
  Palette palette;  // a file without one means shades of grey
  for (size_t i = 0; i < palette.size(); ++i) {
    palette[i] = i % 4 == 3 ? 255 : static_cast<uint8_t>(i / 4);
  }
  if (screen_packed & 0x80) read_palette(reader, screen_packed, palette);

  Frame frame;
  for (;;) {
    const int block = reader.u8();
    if (!reader.ok()) return truncated();
    if (block == 0x2c) break;
    if (block == 0x3b) return damaged("it has no frame");
    if (block != 0x21) continue;  // stray bytes between blocks are common
    const int label = reader.u8();
    for (int size = reader.u8(); size != 0; size = reader.u8()) {
      const Bytes data = reader.take(static_cast<size_t>(size));
      if (!reader.ok()) return truncated();
      if (label == 0xf9 && data.size() >= 4) frame.transparent = data[0] & 1 ? data[3] : -1;
    }
  }
  frame.left = reader.u16();
  frame.top = reader.u16();
  frame.width = reader.u16();
  frame.height = reader.u16();
  const int packed = reader.u8();
  if (!reader.ok()) return truncated();
  frame.interlaced = packed & 0x40;
  if (packed & 0x80) read_palette(reader, packed, palette);
  if (frame.transparent >= 0) palette[static_cast<size_t>(frame.transparent) * 4 + 3] = 0;

  const int width = std::max(screen_width, frame.left + frame.width);
  const int height = std::max(screen_height, frame.top + frame.height);
  OCELLI_TRY(Canvas canvas, Canvas::create("GIF", width, height, Orientation::kUpright, limits));
  const size_t pixels = static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height);
  const uint8_t background = static_cast<uint8_t>(std::max(frame.transparent, 0));
  OCELLI_TRY(auto indices, make_block<uint8_t>(pixels, "the pixels of a GIF image"));
  std::fill_n(indices.get(), pixels, background);
  OCELLI_TRY_VOID(unpack(reader, {indices.get(), pixels}));

  OCELLI_TRY(auto row_of, make_block<int>(static_cast<size_t>(height), "the rows of a GIF image"));
  for (int y = 0; y < height; ++y) row_of[y] = -1;
  for (int i = 0; i < frame.height; ++i) {
    row_of[frame.top + (frame.interlaced ? interlaced_row(i, frame.height) : i)] = i;
  }
  OCELLI_TRY(auto rgba, make_block<uint8_t>(static_cast<size_t>(width) * 4, "a row of pixels"));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside = row_of[y] >= 0 && x >= frame.left && x < frame.left + frame.width;
      const size_t at = inside ? static_cast<size_t>(row_of[y]) * static_cast<size_t>(frame.width) +
                                     static_cast<size_t>(x - frame.left)
                               : 0;
      const size_t index = inside ? indices[at] : background;
      std::memcpy(rgba.get() + static_cast<size_t>(x) * 4, &palette[index * 4], 4);
    }
    canvas.put_rgba_row(y, rgba.get());
  }
  return canvas.take();
}

}  // namespace ocelli
