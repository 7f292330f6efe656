// Byte-level BPE as Qwen2.5 does it: added tokens, NFC, pre-tokeniser, merges. Text to ids and back
// to bytes. The engine opens one per model from the first shard (models/FORMAT.md section 3) and
// shares it by all requests.
//
// Surprise: the tokenizer keeps views. The arrays of TokenizerData must outlive it (they are the
// shard itself); what open() builds on top is an index of about 1 MB for 151,387 merges.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ocelli {

struct AddedToken {
  int32_t id;
  std::string content;  // exact UTF-8 text, matched before normalisation
  bool special;         // left out of decoded text when special tokens are skipped
};

// The tokenizer tensors of a container. `ends` may be longer than `tokens` (padding is ignored).
struct TokenizerData {
  std::span<const uint8_t> bytes;    // bytes of tokens 0, 1, 2, ...
  std::span<const uint32_t> ends;    // end offset of each token in `bytes`
  std::span<const uint32_t> merges;  // 4 a row: left id, right id, merged id, 0; row number = rank
  std::vector<AddedToken> added;
  int tokens;  // ids with text, added ones included
};

class Tokenizer {
 public:
  // Checks everything an attacker could have put into `data`; kInvalidTokenizer names what is
  // wrong. Afterwards no input text can make encode() fail or read outside the views.
  static Result<Tokenizer> open(const TokenizerData& data);

  // Appends the ids of `text`. Invalid UTF-8 counts as U+FFFD per maximal invalid part, as Python
  // decodes it. match_added: the text may name added tokens (longest match first); off for
  // untrusted text, which then becomes ordinary pieces whatever it spells. Time is O(n log n)
  // whatever the text.
  void encode(std::string_view text, bool match_added, std::vector<int32_t>& ids) const;

  // Raw bytes of a token, possibly a part of a character; empty for ids without text or out of
  // range.
  std::string_view token_bytes(int32_t id) const;
  bool is_special(int32_t id) const;  // an added token with special = true
  bool is_added(int32_t id) const;
  std::optional<int32_t> find_added(
      std::string_view content) const;  // id of an added token by its exact text
  int size() const { return tokens_; }  // ids 0..size()-1

  // Calls literal(text) and added(id) in order for a text whose added tokens count (the template's
  // own words).
  template <class Literal, class Added>
  void split_added(std::string_view text, Literal literal, Added added) const {
    size_t start = 0;
    for (size_t i = 0; i < text.size();) {
      const AddedToken* token = match_added_at(text, i);
      if (token == nullptr) {
        ++i;
        continue;
      }
      if (start < i) literal(text.substr(start, i - start));
      added(token->id);
      i += token->content.size();
      start = i;
    }
    if (start < text.size()) literal(text.substr(start));
  }

 private:
  Tokenizer() = default;
  Result<void> index_merges();
  const AddedToken* find_added_by_id(int32_t id) const;
  const AddedToken* match_added_at(std::string_view text, size_t at) const;  // longest, or null
  uint32_t find_merge(uint32_t left, uint32_t right) const;                  // rank, or kNoMerge
  void encode_plain(std::string_view text, std::vector<int32_t>& ids) const;
  struct Scratch;
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

  std::span<const uint8_t> bytes_;
  std::span<const uint32_t> ends_;
  std::span<const uint32_t> merges_;
  int tokens_ = 0;
  std::vector<uint32_t> merge_slots_;    // open addressing: rank + 1, 0 = free
  std::array<int32_t, 256> byte_ids_{};  // id of each single byte
  std::vector<AddedToken> added_;     // sorted by content, so that a prefix precedes its extensions
  std::vector<int32_t> added_by_id_;  // indices into added_, sorted by id
  std::array<uint16_t, 257> added_first_{};  // added_ range for each first byte
};

}  // namespace ocelli
