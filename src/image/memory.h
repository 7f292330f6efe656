// Memory of one decode: every block a codec asks for is counted against ImageLimits::bytes_max and
// may be refused, so that a hostile header ends in an error instead of a dead instance. Used by the
// codecs of this folder and, through its allocation macros, by stb_image. The budget is per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace ocelli {

// Opened by decode_image for the length of one call; blocks die before it does.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes_max);
  ~MemoryBudget();
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // Status of the last refusal: kImageTooLarge (over the limit), kOutOfMemory (no memory), kOk.
  static Status refusal();
  // The error that fits the last refusal; `what` names the block.
  static Error error(const std::string& what);
};

// Zeroed block or null; resize keeps the old block alive when it fails. Release with image_free.
void* image_alloc(size_t bytes);
void* image_realloc(void* block, size_t bytes);
void image_free(void* block);

// Whether `bytes` can be had right now; if so they count against the open budget until it closes.
// For memory that is then taken by other means: results, libraries with an allocator of their own.
bool image_reserve(size_t bytes);

// Tests: lets the allocator refuse blocks above this size as if memory had run out. 0 lifts it.
void image_fail_allocations_above(size_t bytes);

struct ImageFree {
  void operator()(void* block) const { image_free(block); }
};
template <class T>
using Block = std::unique_ptr<T[], ImageFree>;

// Zeroed array; error naming `what` when it is refused.
template <class T>
Result<Block<T>> make_block(size_t count, const char* what) {
  void* memory = count > SIZE_MAX / sizeof(T) ? nullptr : image_alloc(count * sizeof(T));
  if (memory == nullptr) return std::unexpected(MemoryBudget::error(what));
  return Block<T>(static_cast<T*>(memory));
}

// Makes a vector this long, or reports that there is no room (vectors alone would trap).
inline Result<void> resize_vector(std::vector<uint8_t>& bytes, size_t count, const char* what) {
  if (!image_reserve(count)) return std::unexpected(MemoryBudget::error(what));
  bytes.resize(count);
  return {};
}

}  // namespace ocelli
