// Buffer: memory that is owned, 64-byte aligned and may be refused: running out is a Result, never
// a crash.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/result.h"

namespace ocelli {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  // `what` names the buffer in the error message. Contents are not initialised.
  static Result<Buffer> make(int64_t count, const char* what) {
    Buffer buffer;
    const uint64_t bytes = (static_cast<uint64_t>(count) * sizeof(T) + 63) / 64 * 64;
    if (count < 0 || bytes > SIZE_MAX - 64) return out_of_memory(bytes, what);
    if (bytes > 0) {
      buffer.data_ = static_cast<T*>(std::aligned_alloc(64, static_cast<size_t>(bytes)));
      if (!buffer.data_) return out_of_memory(bytes, what);
    }
    buffer.count_ = count;
    return buffer;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t count() const { return count_; }
  T& operator[](int64_t index) { return data_[index]; }

 private:
  static std::unexpected<Error> out_of_memory(uint64_t bytes, const char* what) {
    return fail(Status::kOutOfMemory, "out of memory: " + std::string(what) + " needs " +
                                          std::to_string(bytes) +
                                          " bytes more than this memory has");
  }
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
  }

  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace ocelli
