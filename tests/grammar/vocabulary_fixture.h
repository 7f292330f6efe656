// Small vocabularies for the tests of grammar/, and walks through a grammar by chance.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace ocelli {

// 256 bytes (id = byte), then some longer tokens, then the two markers of tool calls.
struct SmallVocabulary {
  std::vector<std::string> tokens;
  Vocabulary vocabulary;

  SmallVocabulary() : tokens(make_tokens()), vocabulary(make(tokens)) {}
  static std::vector<std::string> make_tokens() {
    std::vector<std::string> out;
    for (int byte = 0; byte < 256; ++byte) out.emplace_back(1, static_cast<char>(byte));
    for (const char* text :
         {"{\"",  "\":",  "\": ",  "\",",   "\"}",    "\"]",    "[\"",      "true",     "false",
          "null", "name", "12",    "345",   "hello",  " world", "\xC3\xA9", "\xE4\xBD", "}}",
          "]}",   ", ",   "\\u00", "<tool", "_call>", "\n{\"",  "a",        "ab",       "abc"})
      out.emplace_back(text);
    out.emplace_back("<tool_call>");
    out.emplace_back("</tool_call>");
    return out;
  }
  static Vocabulary make(const std::vector<std::string>& tokens) {
    const auto count = static_cast<int32_t>(tokens.size());
    return Vocabulary(
        count,
        [&tokens, count](int32_t id) {
          return id < count - 2 ? std::string_view(tokens[static_cast<size_t>(id)])
                                : std::string_view();
        },
        {{count - 2, tokens[tokens.size() - 2]}, {count - 1, tokens[tokens.size() - 1]}});
  }
};

inline bool allows(std::span<const uint32_t> mask, int32_t id) {
  return mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1;
}

// Whether the grammar accepts the whole text, byte by byte, and ends there.
inline bool matches(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  Matcher matcher(grammar);
  for (const char c : text) {
    if (!matcher.accept(static_cast<uint8_t>(c))) return false;
  }
  return matcher.may_end();
}

// A text made of tokens drawn evenly from those allowed; after `calm` tokens, closing ones go
// first. Empty optional: no end within 4000 tokens.
inline std::optional<std::string> walk(const std::shared_ptr<Grammar>& grammar,
                                       const std::vector<std::string>& tokens, std::mt19937& random,
                                       int calm) {
  Matcher matcher(grammar);
  std::string text;
  for (int taken = 0; taken < 4000; ++taken) {
    if (matcher.must_end()) return text;
    const auto mask = matcher.mask();
    if (!mask) return std::nullopt;
    std::vector<int32_t> allowed;
    for (int32_t id = 0; id < static_cast<int32_t>(tokens.size()); ++id) {
      if (allows(*mask, id)) allowed.push_back(id);
    }
    if (matcher.may_end() && (allowed.empty() || taken >= calm || random() % 4 == 0)) return text;
    if (allowed.empty()) return std::nullopt;
    int32_t id = allowed[random() % allowed.size()];
    if (taken >= calm) {
      for (const char closing : {'"', ']', '}'}) {
        if (allows(*mask, closing)) id = closing;
      }
    }
    if (!matcher.accept(id)) return std::nullopt;
    text += tokens[static_cast<size_t>(id)];
  }
  return std::nullopt;
}

inline Result<std::shared_ptr<Grammar>> compile_as(GrammarSource::Kind kind, std::string text,
                                                   const Vocabulary& vocabulary) {
  return compile({kind, std::move(text), "field"}, vocabulary);
}

}  // namespace ocelli
