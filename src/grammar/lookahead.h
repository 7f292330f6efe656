// Lookahead at the beginning of a pattern, as passwords and names have it:
// "^(?=.*[0-9])(?!.*--).+$". What the text that follows must or must not begin with are conditions
// of the whole text. Used by regex.cc; lookahead elsewhere and lookbehind are none of this.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "grammar/product.h"

namespace ocelli {

// The conditions of a pattern that begins with lookahead: each of them, and the rest; nothing when
// it does not, or not in a way that can be followed.
std::optional<std::vector<Condition>> lookahead(std::string_view pattern, Spelling spelling,
                                                bool search);

}  // namespace ocelli
