// Grammar: what a compiled source is; Matcher: how far one sequence has come in it. The engine asks
// the matcher for the tokens that may come next, gives the mask to the sampler and tells the
// matcher what was chosen. Surprise: a mask depends on the automaton's state alone, so it is kept:
// inside a string or a number the next one costs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"
#include "grammar/vocabulary.h"

namespace ocelli {

inline constexpr size_t kMasksKept = 32;  // of a grammar: 0.6 MB at 151,936 tokens

class Grammar {
 public:
  Grammar(Rules rules, const Vocabulary& vocabulary)
      : automaton_(std::move(rules)), vocabulary_(vocabulary) {}

  // Bits of the tokens that are allowed in a state, without the ends of a text.
  std::span<const uint32_t> mask(int32_t state);
  Automaton& automaton() { return automaton_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Between tokens: keeps states and masks within their limits.
  void trim();
  size_t bytes() const;

 private:
  Automaton automaton_;
  const Vocabulary& vocabulary_;
  std::unordered_map<int32_t, std::vector<uint32_t>> masks_;
};

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) { settle(); }

  // Bit i % 32 of word i / 32: token i may come next. Valid until the next call. kInvalidValue when
  // the grammar has become too ambiguous to follow, or the vocabulary has no token for it.
  Result<std::span<const uint32_t>> mask();
  // False, and nothing changes: the token is not allowed.
  bool accept(int32_t token);
  bool may_end() const;   // what was accepted is a whole text of the grammar
  bool must_end() const;  // and nothing can follow

 private:
  void settle();  // into the state of text_, after states were forgotten

  std::shared_ptr<Grammar> grammar_;
  std::string text_;  // the bytes accepted so far
  int32_t state_ = 0;
  uint32_t generation_ = 0;
};

}  // namespace ocelli
