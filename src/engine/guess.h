// Guess: the tokens that a text may go on with, since it has said something alike before: a list of
// boxes, a tool call, a text to be repeated. GuessRecord: what guesses have been worth in this text
// so far. The scheduler computes guessed tokens beside the last one, draws as ever and keeps those
// that were drawn. Surprise: nothing here changes an answer, only in how many steps it comes; and a
// guess that gets no row is noted all the same, so that learning costs nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ocelli {

inline constexpr int kGuessMax = 7;  // tokens: with the row before them a step of 8
inline constexpr int kAlikeMax = 8;  // tokens before a place that are compared

struct Guess {
  std::array<int32_t, kGuessMax> tokens = {};
  int count = 0;
  int alike = 0;    // so many tokens before the place it is from are those at the text's end
  int agreed = -1;  // so many of its first tokens follow a second place, too; -1: there is none
  int rows = 0;     // so many of its first tokens are computed in the step at hand
};

// What follows the place that is most alike, the latest of several. Looks at each token once.
Guess guess_next(std::span<const int32_t> text, int count_max);

// Running shares of tokens that were right when those before them were, by how alike their place
// was and by what the second place said.
class GuessRecord {
 public:
  // That the first `count` tokens of a guess are right.
  float chance(const Guess& guess, int count) const;
  // Whether the `index`-th one was, those before it having been right.
  void note(const Guess& guess, int index, bool right);

 private:
  static size_t slot(const Guess& guess, int index);
  // Before anything is noted: what boxes, calls, receipts, code and prose gave, somewhat less.
  std::array<float, size_t{3} * kAlikeMax> shares_ = {
      0.20f, 0.40f, 0.50f, 0.60f, 0.65f, 0.70f, 0.75f, 0.80f,   // no second place
      0.50f, 0.60f, 0.65f, 0.75f, 0.80f, 0.85f, 0.90f, 0.95f,   // it agrees
      0.10f, 0.15f, 0.20f, 0.25f, 0.30f, 0.35f, 0.40f, 0.60f};  // it differs
};

inline constexpr int kGuessingRowsMax = 8;  // a step of more decoding rows takes no guesses

// What a step of 1 to kGuessingRowsMax rows takes, one row taking 1.
float step_cost(int rows);

}  // namespace ocelli
