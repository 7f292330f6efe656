// Merged rows of images by what they were made from. The scheduler's: requests that show the same
// picture share its rows, at once or one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "format/sha256.h"

namespace ocelli {

class ImageCache {
 public:
  using Rows = std::shared_ptr<const Buffer<float>>;  // [tokens, D] f32

  // The rows that are there under this key, or null.
  Rows find(const Digest& key);
  void put(const Digest& key, Rows rows, int64_t tokens);
  // Lets go of rows that nobody else holds, of those first whose use is longest ago, until all
  // rows together have at most `tokens` tokens, if that can be.
  void shrink(int64_t tokens);
  int64_t tokens() const { return tokens_; }
  int64_t idle_tokens() const;  // of rows that nobody else holds

 private:
  struct Entry {
    Digest key;
    Rows rows;
    int64_t tokens;
  };
  std::vector<Entry> entries_;  // the latest used last
  int64_t tokens_ = 0;
};

}  // namespace ocelli
