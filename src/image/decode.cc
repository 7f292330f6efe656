// decode_image: opens the memory budget, tells the kind and hands over to its codec.
#include "image/decode.h"

#include <climits>

#include "image/codecs.h"
#include "image/memory.h"
#include "image/sniff.h"

namespace ocelli {

Result<Image> decode_image(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  if (bytes.size() > INT_MAX) {
    return fail(Status::kImageTooLarge, "image file has " + std::to_string(bytes.size()) +
                                            " bytes; at most " + std::to_string(INT_MAX) +
                                            " are accepted");
  }
  const MemoryBudget budget(limits.bytes_max);
  const Sniffed sniffed = sniff_image(bytes);
  switch (sniffed.kind) {
    case ImageKind::kBmp:
      return decode_bmp(bytes, limits);
    case ImageKind::kGif:
      return decode_gif(bytes, limits);
    case ImageKind::kJpeg:
      return decode_jpeg(bytes, limits);
    case ImageKind::kPng:
      return decode_png(bytes, limits);
    case ImageKind::kWebp:
      return decode_webp(bytes, limits);
    case ImageKind::kUnsupported:
      return fail(Status::kUnsupportedImage, std::string(sniffed.name) +
                                                 " images are not supported; PNG, JPEG, GIF, BMP "
                                                 "and WebP are");
    case ImageKind::kUnknown:
      break;
  }
  return fail(Status::kInvalidImage, "the " + std::to_string(bytes.size()) +
                                         " bytes given are not an image; PNG, JPEG, GIF, BMP and "
                                         "WebP are supported");
}

}  // namespace ocelli
