// Turns a Hugging Face tokenizer into the tokenizer tensors of the container (models/FORMAT.md
// section 3). Called by convert; the tests use it to open the real Qwen2.5 vocabulary.
//
// Surprise: a file that asks for anything src/text does not do (another pre-tokeniser, stripping
// added tokens, ignored merges) is refused, because it would give other ids without a word.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace ocelli {

// Owns what TokenizerData views. Nothing is padded: the container writer does that.
struct TokenizerTables {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> ends;     // [tokens]
  std::vector<uint32_t> merges;   // [merges, 4]
  std::vector<AddedToken> added;  // by id
  int tokens = 0;

  TokenizerData view() const { return {bytes, ends, merges, added, tokens}; }
};

inline constexpr uint64_t kTokenizerBytesMax = 256 << 20;  // of any of its files

// From the text of tokenizer.json. Errors are kInvalidTokenizer and name the key.
Result<TokenizerTables> import_tokenizer(std::string_view tokenizer_json);

// From vocab.json, merges.txt and the added_tokens_decoder of tokenizer_config.json.
Result<TokenizerTables> import_vocab_merges(std::string_view vocab_json,
                                            std::string_view merges_txt,
                                            std::string_view tokenizer_config_json);

}  // namespace ocelli
