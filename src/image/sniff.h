// What kind of file some bytes are, by content alone. Called by decode_image.
#pragma once

#include "image/bytes.h"

namespace ocelli {

enum class ImageKind : uint8_t { kUnknown, kUnsupported, kBmp, kGif, kJpeg, kPng, kWebp };

struct Sniffed {
  ImageKind kind = ImageKind::kUnknown;
  const char* name = "";  // of an unsupported kind, e.g. "AVIF"
};

Sniffed sniff_image(Bytes bytes);

}  // namespace ocelli
