#include "engine/image_cache.h"

#include <algorithm>
#include <utility>

namespace ocelli {

ImageCache::Rows ImageCache::find(const Digest& key) {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found == entries_.end()) return nullptr;
  std::rotate(found, found + 1, entries_.end());
  return entries_.back().rows;
}

void ImageCache::put(const Digest& key, Rows rows, int64_t tokens) {
  entries_.push_back({key, std::move(rows), tokens});
  tokens_ += tokens;
}

void ImageCache::shrink(int64_t tokens) {
  std::erase_if(entries_, [&](const Entry& entry) {
    if (tokens_ <= tokens || entry.rows.use_count() > 1) return false;
    tokens_ -= entry.tokens;
    return true;
  });
}

int64_t ImageCache::idle_tokens() const {
  int64_t tokens = 0;
  for (const Entry& entry : entries_) {
    if (entry.rows.use_count() == 1) tokens += entry.tokens;
  }
  return tokens;
}

}  // namespace ocelli
