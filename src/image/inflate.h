// zlib inflation into a buffer of known size, for PNG. A thin fence around stb_image's inflater.
#pragma once

#include <cstdint>
#include <span>

#include "image/bytes.h"

namespace ocelli {

// out must be this much longer than the bytes wanted, so that a last match running past them fits.
inline constexpr size_t kInflateSlack = 320;

// Inflates a zlib stream; returns how many bytes of `out` were written, also when the stream is
// damaged or longer than the buffer. out.size() at most INT_MAX.
size_t inflate_zlib(Bytes stream, std::span<uint8_t> out);

}  // namespace ocelli
