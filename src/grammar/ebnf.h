// Grammars as people write them: EBNF with `name ::= ..` (GBNF, as XGrammar and llama.cpp read it,
// beginning at `root`) and Lark's `name: ..` (beginning at `start`), as parts of Rules.
#pragma once

#include <string_view>

#include "grammar/rules.h"

namespace ocelli {

// Declares and defines all rules of `source` and returns the one to begin with. What it does not
// know (lookahead, %ignore, templates) is a problem of `rules`.
int32_t ebnf(Rules& rules, std::string_view source);

}  // namespace ocelli
