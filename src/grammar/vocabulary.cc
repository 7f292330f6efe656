#include "grammar/vocabulary.h"

#include <algorithm>

namespace ocelli {

Vocabulary::Vocabulary(int vocab, const std::function<std::string_view(int32_t)>& bytes_of,
                       const std::vector<std::pair<int32_t, std::string>>& markers)
    : vocab_(vocab), bytes_(static_cast<size_t>(vocab)) {
  for (int32_t id = 0; id < vocab; ++id) {
    const std::string_view bytes = bytes_of(id);
    if (bytes.size() <= kTokenBytesMax && bytes.find(kMarkerByte) == std::string_view::npos)
      bytes_[static_cast<size_t>(id)] = bytes;
  }
  for (const auto& [id, text] : markers) {
    markers_.push_back(kMarkerByte + text);
    bytes_[static_cast<size_t>(id)] = markers_.back();
  }
  for (int32_t id = 0; id < vocab; ++id) {
    if (!bytes(id).empty()) sorted_.push_back({id, 0});
  }
  // Byte by byte as unsigned numbers; equal ones by id.
  std::ranges::sort(sorted_, [&](const Sorted& a, const Sorted& b) {
    const int order = bytes(a.id).compare(bytes(b.id));
    return order != 0 ? order < 0 : a.id < b.id;
  });
  for (size_t i = 1; i < sorted_.size(); ++i) {
    const std::string_view before = bytes(sorted_[i - 1].id), own = bytes(sorted_[i].id);
    uint32_t shared = 0;
    while (shared < before.size() && shared < own.size() && before[shared] == own[shared]) ++shared;
    sorted_[i].shared = shared;
  }
  size_t at = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    while (at < sorted_.size() && static_cast<uint8_t>(bytes(sorted_[at].id)[0]) < byte) ++at;
    first_[byte] = at;
  }
  first_[256] = sorted_.size();
}

bool Vocabulary::has_marker(std::string_view text) const {
  return std::ranges::any_of(markers_,
                             [&](const std::string& marker) { return marker.substr(1) == text; });
}

}  // namespace ocelli
