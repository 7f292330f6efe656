// The counting allocator of image decoding. A block carries its size in front, so freeing can give
// the bytes back; without an open budget (resizing, say) nothing is limited but memory itself.
#include "image/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace ocelli {
namespace {

constexpr size_t kPrefix = 16;  // keeps malloc's alignment

struct State {
  bool open = false;
  int64_t bytes_max = 0;
  int64_t bytes_used = 0;
  Status refusal = Status::kOk;
  int64_t refused_bytes = 0;
};
thread_local State state;
thread_local size_t fail_above = 0;

size_t size_of(void* block) {
  size_t bytes = 0;
  std::memcpy(&bytes, static_cast<uint8_t*>(block) - kPrefix, sizeof bytes);
  return bytes;
}

bool refuse(Status status, size_t bytes) {
  state.refusal = status;
  state.refused_bytes = static_cast<int64_t>(std::min<uint64_t>(bytes, INT64_MAX));
  return false;
}

bool admit(size_t bytes) {
  if (bytes > static_cast<size_t>(PTRDIFF_MAX) - kPrefix) {
    return refuse(state.open ? Status::kImageTooLarge : Status::kOutOfMemory, bytes);
  }
  if (state.open && static_cast<int64_t>(bytes) > state.bytes_max - state.bytes_used) {
    return refuse(Status::kImageTooLarge, bytes);
  }
  if (fail_above != 0 && bytes > fail_above) return refuse(Status::kOutOfMemory, bytes);
  return true;
}

}  // namespace

MemoryBudget::MemoryBudget(int64_t bytes_max) {
  OCELLI_CHECK(!state.open);
  state = State{.open = true, .bytes_max = bytes_max};
}

MemoryBudget::~MemoryBudget() { state = State{}; }

Status MemoryBudget::refusal() { return state.refusal; }

Error MemoryBudget::error(const std::string& what) {
  const std::string bytes = std::to_string(state.refused_bytes);
  if (state.refusal == Status::kImageTooLarge) {
    return Error{Status::kImageTooLarge,
                 what + " needs " + bytes + " bytes on top of " + std::to_string(state.bytes_used) +
                     ", more than the " + std::to_string(state.bytes_max) +
                     " that decoding an image may hold",
                 {}};
  }
  return Error{Status::kOutOfMemory, "no memory for " + what + ": " + bytes + " bytes", {}};
}

void* image_alloc(size_t bytes) {
  if (!admit(bytes)) return nullptr;
  auto* memory = static_cast<uint8_t*>(std::calloc(1, bytes + kPrefix));
  if (memory == nullptr) {
    refuse(Status::kOutOfMemory, bytes);
    return nullptr;
  }
  std::memcpy(memory, &bytes, sizeof bytes);
  state.bytes_used += static_cast<int64_t>(bytes);
  return memory + kPrefix;
}

void* image_realloc(void* block, size_t bytes) {
  void* larger = image_alloc(bytes);
  if (larger == nullptr || block == nullptr) return larger;
  std::memcpy(larger, block, std::min(bytes, size_of(block)));
  image_free(block);
  return larger;
}

void image_free(void* block) {
  if (block == nullptr) return;
  state.bytes_used -= static_cast<int64_t>(size_of(block));
  std::free(static_cast<uint8_t*>(block) - kPrefix);
}

bool image_reserve(size_t bytes) {
  if (!admit(bytes)) return false;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) return refuse(Status::kOutOfMemory, bytes);
  std::free(memory);
  if (state.open) state.bytes_used += static_cast<int64_t>(bytes);
  return true;
}

void image_fail_allocations_above(size_t bytes) { fail_above = bytes; }

}  // namespace ocelli
