// Regular expressions, as JSON schemas write them, as parts of Rules. Surprise: in Spelling::kJson
// a part matches how a JSON string writes the text, so "\n" for a line feed.
#pragma once

#include <string_view>

#include "grammar/rules.h"

namespace ocelli {

enum class Spelling { kPlain, kJson };

// One character of the set.
Rules::Part character(Rules& rules, const CharSet& set, Spelling spelling);
// A text, as it stands or as a JSON string writes it (without quotes).
Rules::Part text(Rules& rules, std::string_view utf8, Spelling spelling);

// The whole text matches, or with `search` some part of it, unless ^ and $ say otherwise.
// Lookahead is followed at the beginning (lookahead.h); elsewhere, and lookbehind, back references,
// word boundaries and properties are problems of `rules`.
Rules::Part regex(Rules& rules, std::string_view pattern, Spelling spelling, bool search = false);

// Reads a character or class of a regex or EBNF from "[" on; `at` moves behind "]". False: not well
// formed.
bool read_class(std::string_view source, size_t& at, CharSet& set);
// Reads what follows a backslash (`at` is behind it): a character, or a class such as \d.
bool read_escape(std::string_view source, size_t& at, CharSet& set);
// The next code point; false on invalid UTF-8.
bool read_char(std::string_view source, size_t& at, uint32_t& c);
// "{2}", "{2,}", "{2,5}" with `at` behind the brace; false when it is no such thing, and `at`
// stays.
bool read_counts(std::string_view source, size_t& at, int32_t& least, int32_t& most);

}  // namespace ocelli
