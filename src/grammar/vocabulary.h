// Vocabulary: the bytes of all tokens as a tree, depth first, so that a mask is one walk in which
// tokens with a common beginning share its steps. Built once per engine, when a first request needs
// it; read by Matcher. Surprise: a marker (an added token such as <tool_call>) begins with a byte
// that no text has, so that only a grammar that names it can let it through, and a string that
// spells it cannot.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

inline constexpr char kMarkerByte = '\xFF';
inline constexpr size_t kTokenBytesMax = 255;   // longer ones are never chosen under a grammar
inline constexpr size_t kShortTokenBytes = 16;  // nearly all tokens have no more: see matcher.h

// Some tokens in the order of their bytes, each as what it has beyond the one before it. The bytes
// of all of them lie in one row, so that a walk reads memory from front to back.
class TokenTree {
 public:
  struct Token {
    uint32_t id : 24, shared : 8;  // shared: first bytes in common with the one before
    uint32_t begin;                // of its other bytes; they end where the next one's begin
    uint32_t behind;               // the next token that shares no more bytes than this one
  };
  TokenTree(std::vector<int32_t> ids, const std::vector<std::string_view>& bytes_of);

  size_t size() const { return tokens_.size() - 1; }
  const Token& operator[](size_t i) const { return tokens_[i]; }
  const char* bytes(size_t i) const { return bytes_.data() + tokens_[i].begin; }
  // The next token behind `i` that shares at most `depth` bytes with it.
  size_t behind(size_t i, size_t depth) const {
    for (++i; i < size() && tokens_[i].shared > depth;) i = tokens_[i].behind;
    return i;
  }

 private:
  std::vector<Token> tokens_;  // and one more, where the bytes end
  std::string bytes_;
};

class Vocabulary {
 public:
  // vocab: number of ids, so of bits in a mask. bytes_of(id): empty for ids that are never chosen;
  // the views must outlive the vocabulary. markers: added tokens that a grammar may name.
  Vocabulary(int vocab, const std::function<std::string_view(int32_t)>& bytes_of,
             const std::vector<std::pair<int32_t, std::string>>& markers);

  bool has_marker(std::string_view text) const;
  size_t words() const { return (bytes_.size() + 31) / 32; }  // of a mask

  // Of token `id`, as a grammar reads it; empty if it is never chosen.
  std::string_view bytes(int32_t id) const { return bytes_[static_cast<size_t>(id)]; }

  const TokenTree& short_tokens() const { return trees_[0]; }  // up to kShortTokenBytes
  const TokenTree& long_tokens() const { return trees_[1]; }

 private:
  std::deque<std::string> markers_;
  std::vector<std::string_view> bytes_;
  std::vector<TokenTree> trees_;
};

}  // namespace ocelli
