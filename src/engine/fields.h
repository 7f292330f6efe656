// Readers of a request's fields, one per JSON type: absent and null leave the default; another type
// or a value out of range is kInvalidValue that names field, value and range. Called by request.cc
// and request_chat.cc.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ocelli {

// The value of a key, or null when the object lacks it or it is JSON null.
const nlohmann::ordered_json* field(const nlohmann::ordered_json& object, const char* name);

// Whether the key holds this very text.
bool is(const nlohmann::ordered_json& object, const char* name, std::string_view text);

// A value as an error message shows it: JSON, at most some 200 bytes, cut between characters.
std::string shown(const nlohmann::ordered_json& value);

std::unexpected<Error> wrong_type(const char* name, const char* expected,
                                  const nlohmann::ordered_json& value);

Result<void> read_string(const nlohmann::ordered_json& body, const char* name, std::string& out);
Result<void> read_bool(const nlohmann::ordered_json& body, const char* name, bool& out);

// `range` completes "<name> must be ...", e.g. "in [-2, 2]"; holds() is the test itself. It sees
// the f32 that will be computed with: 1e-300 is 0 there, 1e300 is no number.
template <class Holds>
Result<void> read_number(const nlohmann::ordered_json& body, const char* name, const char* range,
                         float& out, Holds holds) {
  const nlohmann::ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_number()) return wrong_type(name, "a number", *value);
  const auto number = static_cast<float>(value->get<double>());
  if (!std::isfinite(number) || !holds(number)) {
    return fail(Status::kInvalidValue,
                std::string(name) + " must be " + range + ", got " + shown(*value) + ".", name);
  }
  out = number;
  return {};
}

// An integer in [low, high]; 10.0 is one, as in Python's clients.
Result<void> read_int64(const nlohmann::ordered_json& body, const char* name, int64_t low,
                        int64_t high, int64_t& out);

template <class Integer>
Result<void> read_integer(const nlohmann::ordered_json& body, const char* name, int64_t low,
                          int64_t high, Integer& out) {
  int64_t number = out;
  OCELLI_TRY_VOID(read_int64(body, name, low, high, number));
  out = static_cast<Integer>(number);
  return {};
}

// Token ids in [0, vocab), or kInvalidTokenId.
Result<void> read_ids(const nlohmann::ordered_json& body, const char* name, int vocab,
                      std::vector<int32_t>& out);

}  // namespace ocelli
