// Texts that meet several conditions at once, as a part of Rules: each condition is a grammar of
// its own, and the product of their automata is written out, with a count of characters where
// there are bounds. Used for lookahead, for lengths beside a pattern and for names of properties.
// Surprise: states are multiplied, so what grows too large is a problem of the rules; loops of
// Rules, which count without that, are for what needs no product.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "grammar/regex.h"
#include "grammar/rules.h"

namespace ocelli {

struct Condition {
  std::function<Rules::Part(Rules&)> text;  // built into rules of its own
  bool holds = true;                        // false: the text must not match
};

// Texts of `least` to `most` characters, as `spelling` writes them, that meet all conditions.
Rules::Part meeting(Rules& rules, std::span<const Condition> conditions, Spelling spelling,
                    int64_t least = 0, int64_t most = kUnbounded);

// Whether a text meets them. Problems, such as a pattern that is none, go to `rules`.
bool meets(Rules& rules, std::span<const Condition> conditions, std::string_view text);

}  // namespace ocelli
