// JSON as Python's json module reads and writes it, because the chat templates print tools and
// arguments that way and a prompt must have the reference's tokens. Called by the chat templates;
// the engine parses requests with it.
//
// Surprise: an integer that fits no 64-bit type is kept as its digits: a binary value of subtype
// kBigInteger. Everybody but dump_python() sees a value that is no number, and refuses it where a
// number is wanted.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ocelli {

using OrderedJson = nlohmann::ordered_json;

constexpr uint64_t kBigInteger =
    1;                              // subtype of a binary value that holds the digits of an integer
constexpr int kJsonDepthMax = 128;  // nested arrays and objects
constexpr int kJsonKeysMax = 4096;  // keys of one object, which are searched one after the other

// Parses one JSON text; the last of equal keys wins, in the place of the first. kInvalidJson says
// where and why, kInvalidValue that it is too deep or an object too wide.
Result<OrderedJson> parse_json(std::string_view text);

// Appends json.dumps(value, ensure_ascii=False): ", " and ": " between, floats as Python's repr,
// order kept. The value must not be deeper than kJsonDepthMax (OCELLI_CHECK): see json_too_deep().
void dump_python(const OrderedJson& value, std::string& out);

// repr(float): the shortest digits that give the number back, exponent from 1e16 and below 1e-4.
std::string python_float(double value);

// True when arrays and objects are nested more than kJsonDepthMax deep. Does not recurse.
bool json_too_deep(const OrderedJson& value);

}  // namespace ocelli
