// Tokenizers for the tests of text/: the real one of Qwen2.5 and a tiny one made by hand.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convert/tokenizer_import.h"
#include "gtest/gtest.h"
#include "text/tokenizer.h"

namespace ocelli {

// The whole file, empty when it cannot be read. (The C library of WASI has no file streams.)
inline std::string read_file(const std::string& path) {
  std::string out;
  FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return out;
  char block[1 << 16];
  for (size_t got; (got = std::fread(block, 1, sizeof block, file)) > 0;) out.append(block, got);
  std::fclose(file);
  return out;
}

// Path of the real tokenizer.json: environment first, then what the build was configured with.
inline std::string real_tokenizer_path() {
  const char* variable = std::getenv("OCELLI_QWEN_TOKENIZER");
  return variable != nullptr ? variable : OCELLI_QWEN_TOKENIZER;
}

// Opens the real vocabulary; a test without it fails, it is not skipped.
class RealVocabulary : public testing::Test {
 protected:
  void SetUp() override {
    const std::string text = read_file(real_tokenizer_path());
    ASSERT_FALSE(text.empty()) << real_tokenizer_path() << " is missing: run npm ci";
    auto tables = import_tokenizer(text);
    ASSERT_TRUE(tables) << tables.error().message;
    tables_ = std::move(*tables);
    auto opened = Tokenizer::open(tables_.view());
    ASSERT_TRUE(opened) << opened.error().message;
    tokenizer_.emplace(std::move(*opened));
  }

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  std::vector<int32_t> ids(std::string_view text, bool match_added = false) const {
    std::vector<int32_t> out;
    tokenizer_->encode(text, match_added, out);
    return out;
  }

  TokenizerTables tables_;
  std::optional<Tokenizer> tokenizer_;
};

// 256 bytes (id = byte), then merges in order of rank, then added tokens.
struct TinyVocabulary {
  TokenizerTables tables;

  TinyVocabulary() {
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  }
  int32_t add(std::string_view text) {
    tables.bytes.insert(tables.bytes.end(), text.begin(), text.end());
    tables.ends.push_back(static_cast<uint32_t>(tables.bytes.size()));
    return tables.tokens++;
  }
  std::string text_of(int32_t id) const {
    const uint32_t begin = id == 0 ? 0 : tables.ends[static_cast<size_t>(id) - 1];
    return {tables.bytes.begin() + begin,
            tables.bytes.begin() + tables.ends[static_cast<size_t>(id)]};
  }
  int32_t merge(int32_t left, int32_t right) {
    const int32_t id = add(text_of(left) + text_of(right));
    tables.merges.insert(
        tables.merges.end(),
        {static_cast<uint32_t>(left), static_cast<uint32_t>(right), static_cast<uint32_t>(id), 0});
    return id;
  }
  int32_t add_added(std::string content, bool special = true) {
    const int32_t id = add(content);
    tables.added.push_back({id, std::move(content), special});
    return id;
  }
  // The control tokens of a chat, in the order of the ids.
  void add_chat() {
    for (const char* content : {"<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
                                "<|image_pad|>", "<|video_pad|>"})
      add_added(content);
    add_added("<tool_call>", false);
    add_added("</tool_call>", false);
  }
  // Views into this object.
  Tokenizer open() const {
    auto opened = Tokenizer::open(tables.view());
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(opened).value();
  }
};

}  // namespace ocelli
