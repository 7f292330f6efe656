// Vocabulary: the bytes of all tokens, sorted, so that a mask is one walk in which tokens with a
// common beginning share its steps. Built once per engine, when a first request needs it; read by
// Matcher. Surprise: a marker (an added token such as <tool_call>) begins with a byte that no text
// has, so that only a grammar that names it can let it through, and a string that spells it cannot.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

inline constexpr char kMarkerByte = '\xFF';
inline constexpr size_t kTokenBytesMax = 255;  // longer ones are never chosen under a grammar

class Vocabulary {
 public:
  // vocab: number of ids, so of bits in a mask. bytes_of(id): empty for ids that are never chosen;
  // the views must outlive the vocabulary. markers: added tokens that a grammar may name.
  Vocabulary(int vocab, const std::function<std::string_view(int32_t)>& bytes_of,
             const std::vector<std::pair<int32_t, std::string>>& markers);

  bool has_marker(std::string_view text) const;
  size_t words() const { return (static_cast<size_t>(vocab_) + 31) / 32; }  // of a mask

  // Of token `id`, as a grammar reads it; empty if it is never chosen.
  std::string_view bytes(int32_t id) const { return bytes_[static_cast<size_t>(id)]; }

  struct Sorted {
    int32_t id;
    uint32_t shared;  // first bytes in common with the one before it
  };
  const std::vector<Sorted>& sorted() const { return sorted_; }
  // Where in sorted() the tokens begin whose first byte is `byte` or higher.
  size_t first_with(size_t byte) const { return first_[byte]; }

 private:
  int vocab_;
  std::deque<std::string> markers_;
  std::vector<std::string_view> bytes_;
  std::vector<Sorted> sorted_;
  size_t first_[257];
};

}  // namespace ocelli
