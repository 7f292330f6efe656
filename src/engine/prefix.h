// What blocks of the KV cache and rows of images are known by: digests of everything that they were
// computed from. Used by the scheduler; two prompts share what has the same identity.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/sequence.h"
#include "format/sha256.h"

namespace ocelli {

// Where a prompt's identities begin. `adapter`: the serial number of what computes it, 0 for the
// base alone; prompts with different salts (cache_salt) share nothing.
Digest prefix_root(uint64_t adapter, std::string_view salt);

// Of the block of tokens [begin, begin + kKvBlock) that follows the one called `before`.
Digest block_identity(const Digest& before, std::span<const int32_t> tokens, int begin,
                      std::span<const RequestImage> images, int merge);

// Of an image file's bytes.
Digest media_digest(std::span<const uint8_t> encoded);

// Of the rows of that file at a size.
Digest image_key(const Digest& media, int width, int height, std::string_view salt);

}  // namespace ocelli
