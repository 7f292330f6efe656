// WebP through libwebp's decoder: lossy, lossless, with alpha; of an animation the first frame on
// its canvas. libwebp allocates by itself, so its share is reserved in the budget before it starts.
#include <webp/decode.h>

#include "image/canvas.h"
#include "image/codecs.h"
#include "image/exif.h"
#include "image/memory.h"

namespace ocelli {
namespace {

std::unexpected<Error> failed(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return fail(Status::kOutOfMemory, "no memory to decode a WebP image");
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return fail(Status::kInvalidImage, "truncated WebP image: it ends before its last row");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return fail(Status::kUnsupportedImage, "WebP image uses a feature that is not supported");
    default:
      return fail(Status::kInvalidImage, "damaged WebP image");
  }
}

struct Chunks {
  Bytes exif;
  Bytes first_frame;  // payload of the first ANMF chunk
};

Chunks find_chunks(Bytes bytes) {
  Chunks found;
  ByteReader reader(bytes, /*big_endian=*/false);
  reader.skip(12);
  while (reader.left() >= 8) {
    const Bytes name = reader.take(4);
    const uint32_t size = reader.u32();
    const Bytes data = reader.take(size);
    if (!reader.ok()) break;
    if (has_prefix(name, "EXIF")) found.exif = data;
    if (has_prefix(name, "ANMF") && found.first_frame.empty()) found.first_frame = data;
    if (size % 2) reader.skip(1);
  }
  return found;
}

}  // namespace

Result<Image> decode_webp(Bytes bytes, const ImageLimits& limits) {
  WebPBitstreamFeatures features;
  VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &features);
  if (status != VP8_STATUS_OK) return failed(status);
  OCELLI_TRY_VOID(Canvas::check("WebP", features.width, features.height, limits));
  const Chunks chunks = find_chunks(bytes);

  int left = 0, top = 0, frame_width = features.width, frame_height = features.height;
  Bytes stream = bytes;
  if (features.has_animation) {
    ByteReader reader(chunks.first_frame, /*big_endian=*/false);
    const auto u24 = [&] {
      const int low = reader.u16();
      return low | reader.u8() << 16;
    };
    left = u24() * 2;
    top = u24() * 2;
    frame_width = u24() + 1;
    frame_height = u24() + 1;
    reader.skip(4);
    stream = reader.take(reader.left());
    if (!reader.ok()) return failed(VP8_STATUS_NOT_ENOUGH_DATA);
    WebPBitstreamFeatures frame;
    status = WebPGetFeatures(stream.data(), stream.size(), &frame);
    if (status != VP8_STATUS_OK) return failed(status);
    if (frame.width != frame_width || frame.height != frame_height ||
        left > features.width - frame_width || top > features.height - frame_height) {
      return failed(VP8_STATUS_BITSTREAM_ERROR);
    }
  }

  OCELLI_TRY(Canvas canvas, Canvas::create("WebP", features.width, features.height,
                                           exif_orientation(chunks.exif), limits));
  const size_t frame_row = static_cast<size_t>(frame_width) * 4;
  const size_t frame_bytes = frame_row * static_cast<size_t>(frame_height);
  OCELLI_TRY(auto frame, make_block<uint8_t>(frame_bytes, "the pixels of a WebP image"));
  // Lossless streams keep 4 bytes a pixel, lossy ones at most one for alpha, both a few rows.
  if (!image_reserve(frame_bytes + frame_row * 32)) {
    return std::unexpected(MemoryBudget::error("the WebP decoder"));
  }
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return failed(VP8_STATUS_INVALID_PARAM);
  config.output.colorspace = MODE_RGBA;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = frame.get();
  config.output.u.RGBA.stride = static_cast<int>(frame_row);
  config.output.u.RGBA.size = frame_bytes;
  status = WebPDecode(stream.data(), stream.size(), &config);
  if (status != VP8_STATUS_OK) return failed(status);

  // Outside the frame the canvas is clear: white under alpha, black where the file has none.
  const size_t width = static_cast<size_t>(canvas.width());
  OCELLI_TRY(auto row, make_block<uint8_t>(width * 4, "a row of pixels"));
  for (int y = 0; y < canvas.height(); ++y) {
    std::memset(row.get(), 0, width * 4);
    if (y >= top && y < top + frame_height) {
      std::memcpy(row.get() + static_cast<size_t>(left) * 4,
                  frame.get() + static_cast<size_t>(y - top) * frame_row, frame_row);
    }
    if (!features.has_alpha) {
      for (size_t x = 0; x < width; ++x) row[x * 4 + 3] = 255;
    }
    canvas.put_rgba_row(y, row.get());
  }
  return canvas.take();
}

}  // namespace ocelli
