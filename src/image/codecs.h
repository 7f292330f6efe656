// The codecs behind decode_image, one function and one file each. All take bytes that were
// recognised by their first bytes only, and trust nothing in them. Called by decode.cc with a
// MemoryBudget open.
#pragma once

#include "base/result.h"
#include "image/bytes.h"
#include "image/decode.h"

namespace ocelli {

Result<Image> decode_bmp(Bytes bytes, const ImageLimits& limits);
Result<Image> decode_gif(Bytes bytes, const ImageLimits& limits);  // first frame
Result<Image> decode_jpeg(Bytes bytes, const ImageLimits& limits);
Result<Image> decode_png(Bytes bytes, const ImageLimits& limits);
Result<Image> decode_webp(Bytes bytes, const ImageLimits& limits);  // first frame

}  // namespace ocelli
