// stb_image reduced to its inflater, which allocates nothing when the buffer is given.
#include "image/inflate.h"

#include <algorithm>
#include <climits>

#include "base/check.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_ZLIB
#define STBI_SUPPORT_ZLIB
#define STBI_NO_STDIO
#define STBI_NO_SIMD
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_FAILURE_STRINGS
#define STBI_ASSERT(condition) static_cast<void>(0)
#define STBI_MALLOC(size) nullptr
#define STBI_REALLOC(block, size) nullptr
#define STBI_FREE(block) static_cast<void>(block)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Weverything"
#include <stb_image.h>
#pragma clang diagnostic pop

namespace ocelli {

size_t inflate_zlib(Bytes stream, std::span<uint8_t> out) {
  OCELLI_CHECK(out.size() <= INT_MAX && stream.size() <= INT_MAX);
  stbi__zbuf state = {};
  state.zbuffer = const_cast<stbi_uc*>(stream.data());  // only read
  state.zbuffer_end = state.zbuffer + stream.size();
  char* begin = reinterpret_cast<char*>(out.data());
  stbi__do_zlib(&state, begin, static_cast<int>(out.size()), 0, 1);
  return state.zout == nullptr ? 0 : static_cast<size_t>(state.zout - begin);
}

}  // namespace ocelli
