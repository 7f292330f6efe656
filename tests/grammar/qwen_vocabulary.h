// Qwen2.5's tokens at the 3B model's vocabulary, from a tokenizer.json. Used by the programs that
// walk through grammars with real tokens: tests/bench/grammar, tests/fuzz/schema_documents.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert/tokenizer_import.h"
#include "grammar/vocabulary.h"
#include "text/tokenizer.h"

namespace ocelli {

class QwenVocabulary {
 public:
  static constexpr int kIds = 151'936;  // some of them have no token

  // Ends the program when the file is no tokenizer.
  explicit QwenVocabulary(const char* path) {
    std::string text;
    if (FILE* file = std::fopen(path, "rb")) {
      char block[1 << 16];
      for (size_t got; (got = std::fread(block, 1, sizeof block, file)) > 0;)
        text.append(block, got);
      std::fclose(file);
    }
    auto tables = import_tokenizer(text);
    if (!tables) {
      std::fprintf(stderr, "%s: %s\n", path, tables.error().message.c_str());
      std::exit(1);
    }
    tables_ = std::move(*tables);
    tokenizer_.emplace(std::move(*Tokenizer::open(tables_.view())));
  }

  Vocabulary make() const {
    std::vector<std::pair<int32_t, std::string>> markers;
    for (const char* text : {"<tool_call>", "</tool_call>"})
      markers.emplace_back(*tokenizer_->find_added(text), text);
    return Vocabulary(
        kIds,
        [this](int32_t id) {
          return id >= tokenizer_->size() || tokenizer_->is_added(id) ? std::string_view()
                                                                      : tokenizer_->token_bytes(id);
        },
        markers);
  }

 private:
  TokenizerTables tables_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace ocelli
