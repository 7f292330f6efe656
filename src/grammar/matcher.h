// Grammar: what a compiled source is; Matcher: how far one sequence has come in it. The engine asks
// the matcher for the tokens that may come next, gives the mask to the sampler and tells the
// matcher what was chosen. Surprise: a mask depends on the automaton's state alone, so it is kept:
// inside a string or a number the next one costs nothing. Where characters are counted each has a
// state of its own, but short tokens see no difference until the count is nearly full: they have a
// mask in common, and only the few long ones are looked at each time.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"
#include "grammar/vocabulary.h"

namespace ocelli {

inline constexpr size_t kMasksKept = 64;  // of a grammar: 1.2 MB at 151,936 tokens

class Grammar {
 public:
  Grammar(Rules rules, const Vocabulary& vocabulary)
      : automaton_(std::move(rules)), vocabulary_(vocabulary) {}

  // Bits of the tokens that are allowed in a state, without the ends of a text. Valid until the
  // next call.
  std::span<const uint32_t> mask(int32_t state);
  Automaton& automaton() { return automaton_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // States that matchers are in: trim() renames them. Used by Matcher alone.
  std::list<int32_t>& held() { return held_; }
  // Between tokens: keeps states and masks within their limits.
  void trim();
  size_t bytes() const;

 private:
  struct Mask {
    std::vector<uint32_t> bits;
    uint64_t used;  // the turn it was last asked for
  };
  std::vector<uint32_t>& kept(int32_t state, bool whole, bool& fresh);
  void walk(const TokenTree& tokens, int32_t state, std::vector<uint32_t>& bits);

  Automaton automaton_;
  const Vocabulary& vocabulary_;
  std::list<int32_t> held_;
  std::unordered_map<int64_t, Mask> masks_;  // 2 state: of short tokens; 2 state + 1: of all
  std::vector<uint32_t> bits_;               // of a state whose mask is not kept
  uint64_t turn_ = 0;
};

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar);
  Matcher(const Matcher& other);
  Matcher(Matcher&& other) noexcept = default;
  Matcher& operator=(Matcher other) noexcept;
  ~Matcher();

  // Bit i % 32 of word i / 32: token i may come next. Valid until the next call. kInvalidValue when
  // the grammar has become too ambiguous to follow, or the vocabulary has no token for it.
  Result<std::span<const uint32_t>> mask();
  // False, and nothing changes: the token is not allowed.
  bool accept(int32_t token);
  bool may_end() const;   // what was accepted is a whole text of the grammar
  bool must_end() const;  // and nothing can follow

 private:
  std::shared_ptr<Grammar> grammar_;      // null when moved from
  std::list<int32_t>::iterator state_{};  // in grammar_->held()
  size_t bytes_ = 0;                      // accepted so far
};

}  // namespace ocelli
