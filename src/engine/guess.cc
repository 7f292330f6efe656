#include "engine/guess.h"

#include <algorithm>

namespace ocelli {
namespace {

constexpr float kNewShare = 0.125f;  // of what was noted last

// How many tokens before `place` are those at the text's end.
int alike_at(std::span<const int32_t> text, size_t place) {
  const size_t most = std::min<size_t>(kAlikeMax, place);
  size_t count = 0;
  while (count < most && text[place - 1 - count] == text[text.size() - 1 - count]) ++count;
  return static_cast<int>(count);
}

}  // namespace

Guess guess_next(std::span<const int32_t> text, int count_max) {
  Guess guess;
  if (text.empty() || count_max <= 0) return guess;
  size_t first = 0, second = 0;
  int second_alike = 0;
  for (size_t place = text.size() - 1; place > 0 && second_alike < kAlikeMax; --place) {
    if (text[place - 1] != text.back()) continue;
    const int alike = alike_at(text, place);
    if (alike > guess.alike) {
      second = first;
      second_alike = guess.alike;
      first = place;
      guess.alike = alike;
    } else if (alike > second_alike) {
      second = place;
      second_alike = alike;
    }
  }
  if (guess.alike == 0) return guess;
  guess.count = std::min(count_max, kGuessMax);
  if (second_alike > 0) guess.agreed = 0;
  for (int i = 0; i < guess.count; ++i) {
    // A place near the end is followed by the guess itself, which then goes round.
    const auto at = [&](size_t place) {
      const size_t index = place + static_cast<size_t>(i);
      return index < text.size() ? text[index] : guess.tokens[index - text.size()];
    };
    guess.tokens[static_cast<size_t>(i)] = at(first);
    if (guess.agreed == i && at(second) == guess.tokens[static_cast<size_t>(i)]) ++guess.agreed;
  }
  return guess;
}

size_t GuessRecord::slot(const Guess& guess, int index) {
  // What comes before the token is as alike as its place, and the guess so far.
  const int alike = std::min(guess.alike + index, kAlikeMax);
  const int witness = guess.agreed < 0 || index > guess.agreed ? 0 : index < guess.agreed ? 1 : 2;
  return static_cast<size_t>(witness * kAlikeMax + alike - 1);
}

float GuessRecord::chance(const Guess& guess, int count) const {
  float chance = 1;
  for (int i = 0; i < count; ++i) chance *= shares_[slot(guess, i)];
  return chance;
}

void GuessRecord::note(const Guess& guess, int index, bool right) {
  float& share = shares_[slot(guess, index)];
  share += (static_cast<float>(right) - share) * kNewShare;
}

float step_cost(int rows) {
  // The 3B shape on two threads takes 1.4, 1.8 and 2.4 for 2, 4 and 8 rows with revectorised
  // kernels, up to 3.2 for 8 in other builds; whichever of these decides, little is lost.
  static constexpr float kCosts[kGuessingRowsMax + 1] = {0,    1,    1.45f, 1.9f, 1.9f,
                                                         2.6f, 2.6f, 2.6f,  2.6f};
  return kCosts[rows];
}

}  // namespace ocelli
