// How JSON writes its simple values, as parts of Rules. Used by json_schema.cc. White space is
// compact everywhere: at most one space behind ':' and ','.
#pragma once

#include <nlohmann/json.hpp>

#include "grammar/rules.h"

namespace ocelli {

// Digits a number may have: what a double keeps, so that no checker rounds it over a bound.
inline constexpr int kDigitsMax = 15;

// A value as it is written without white space.
std::string compact(const nlohmann::ordered_json& value);

// Reads a count such as minLength, at most kUnbounded; `out` stays when there is none. False, and a
// problem of `rules`: it is no count.
bool read_count(Rules& rules, const nlohmann::ordered_json& schema, const char* name, int64_t& out);

// One character inside of a JSON string, in any of its spellings.
Rules::Part json_character(Rules& rules);
// The whole text of a number without bounds.
Rules::Part json_number(Rules& rules, bool integer);

// `type` is "integer" or "number"; reads minimum, maximum, exclusiveMinimum, exclusiveMaximum and
// multipleOf of the schema. Bounds that cannot be followed exactly are problems of `rules`.
Rules::Part bounded_number(Rules& rules, const nlohmann::ordered_json& schema, bool integer);

// Reads minLength, maxLength, pattern and format; without quotes, and with them.
Rules::Part string_text(Rules& rules, const nlohmann::ordered_json& schema);
Rules::Part bounded_string(Rules& rules, const nlohmann::ordered_json& schema);

}  // namespace ocelli
