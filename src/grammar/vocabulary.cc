#include "grammar/vocabulary.h"

#include <algorithm>

namespace ocelli {

TokenTree::TokenTree(std::vector<int32_t> ids, const std::vector<std::string_view>& bytes_of) {
  // Byte by byte as unsigned numbers; equal ones by id.
  std::ranges::sort(ids, [&](int32_t a, int32_t b) {
    const int order = bytes_of[a].compare(bytes_of[b]);
    return order != 0 ? order < 0 : a < b;
  });
  tokens_.reserve(ids.size() + 1);
  std::string_view before;
  for (const int32_t id : ids) {
    const std::string_view own = bytes_of[id];
    const auto shared = std::ranges::mismatch(before, own).in2 - own.begin();
    tokens_.push_back({static_cast<uint32_t>(id), static_cast<uint32_t>(shared),
                       static_cast<uint32_t>(bytes_.size()), 0});
    bytes_ += own.substr(static_cast<size_t>(shared));
    before = own;
  }
  tokens_.push_back({0, 0, static_cast<uint32_t>(bytes_.size()), 0});
  // From the end: what shares more than this one is jumped over.
  for (size_t i = ids.size(); i-- > 0;)
    tokens_[i].behind = static_cast<uint32_t>(behind(i, tokens_[i].shared));
}

Vocabulary::Vocabulary(int vocab, const std::function<std::string_view(int32_t)>& bytes_of,
                       const std::vector<std::pair<int32_t, std::string>>& markers)
    : bytes_(static_cast<size_t>(vocab)) {
  for (int32_t id = 0; id < vocab; ++id) {
    const std::string_view bytes = bytes_of(id);
    if (bytes.size() <= kTokenBytesMax && bytes.find(kMarkerByte) == std::string_view::npos)
      bytes_[static_cast<size_t>(id)] = bytes;
  }
  for (const auto& [id, text] : markers) {
    markers_.push_back(kMarkerByte + text);
    bytes_[static_cast<size_t>(id)] = markers_.back();
  }
  std::vector<int32_t> ids[2];
  for (int32_t id = 0; id < vocab; ++id) {
    if (!bytes(id).empty()) ids[bytes(id).size() > kShortTokenBytes].push_back(id);
  }
  for (std::vector<int32_t>& some : ids) trees_.emplace_back(std::move(some), bytes_);
}

bool Vocabulary::has_marker(std::string_view text) const {
  return std::ranges::any_of(markers_,
                             [&](const std::string& marker) { return marker.substr(1) == text; });
}

}  // namespace ocelli
