// JSON schemas as values: which keywords there are, what both of two schemas allow, whether two
// have nothing in common. Used by json_schema.cc.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocelli {

using Schema = nlohmann::ordered_json;

// What a keyword is to us: a bit per type of value that it says something about, 0 for what says
// nothing (titles, definitions). Unknown and unsupported ones have none.
enum : unsigned {
  kAboutString = 1,
  kAboutNumber = 2,
  kAboutArray = 4,
  kAboutObject = 8,
  kAboutAll = 16,  // type, enum, anyOf, $ref ...
};
std::optional<unsigned> keyword_kind(std::string_view keyword);

// The first keyword whose value has no sensible type, in words: "required that is no list of
// strings"; empty when there is none. What merge(), disjoint() and types_of() read has passed it.
std::string malformed(const Schema& schema);

// The types that a schema allows, of string, number, integer, array, object, boolean, null: those
// it names, else those its keywords are about, else all.
std::set<std::string> types_of(const Schema& schema);
bool has_type(const Schema& value, const std::set<std::string>& types);

// What satisfies both. kUnsupportedFeature when their keywords cannot be joined. `depth` bounds the
// recursion.
Result<Schema> merge(const Schema& a, const Schema& b, int depth = 0);

// True when no value satisfies both, for sure. `resolve` follows a $ref of a schema, if any.
bool disjoint(const Schema& a, const Schema& b,
              const std::function<const Schema*(const Schema&)>& resolve, int depth = 0);

}  // namespace ocelli
