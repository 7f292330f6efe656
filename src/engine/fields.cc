#include "engine/fields.h"

namespace ocelli {

using nlohmann::ordered_json;

const ordered_json* field(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool is(const ordered_json& object, const char* name, std::string_view text) {
  const ordered_json* value = field(object, name);
  return value && value->is_string() && value->get_ref<const std::string&>() == text;
}

std::string shown(const ordered_json& value) {
  // parse_json keeps an integer beyond 64 bits as its digits.
  std::string text = value.is_binary()
                         ? std::string(value.get_binary().begin(), value.get_binary().end())
                         : value.dump();
  if (text.size() <= 200) return text;
  size_t end = 200;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::unexpected<Error> wrong_type(const char* name, const char* expected,
                                  const ordered_json& value) {
  return fail(Status::kInvalidValue,
              std::string(name) + " must be " + expected + ", got " + shown(value), name);
}

Result<void> read_bool(const ordered_json& body, const char* name, bool& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_boolean()) return wrong_type(name, "true or false", *value);
  out = value->get<bool>();
  return {};
}

Result<void> read_string(const ordered_json& body, const char* name, std::string& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_string()) return wrong_type(name, "a string", *value);
  out = value->get<std::string>();
  return {};
}

Result<void> read_int64(const ordered_json& body, const char* name, int64_t low, int64_t high,
                        int64_t& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  constexpr double kExact = 9007199254740992;  // 2^53: above, a double is no certain integer
  const double real = value->is_number_float() ? value->get<double>() : 0.5;
  const bool whole = std::trunc(real) == real && std::fabs(real) <= kExact;
  if (!value->is_number_integer() && !whole) return wrong_type(name, "an integer", *value);
  const bool too_large =
      value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = value->get<int64_t>();
  if (too_large || number < low || number > high) {
    std::string range = "in [" + std::to_string(low) + ", " + std::to_string(high) + "]";
    if (high >= INT32_MAX && !too_large && number < low) range = "at least " + std::to_string(low);
    return fail(Status::kInvalidValue,
                std::string(name) + " must be " + range + ", got " + shown(*value) + ".", name);
  }
  out = number;
  return {};
}

Result<void> read_ids(const ordered_json& body, const char* name, int vocab,
                      std::vector<int32_t>& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_array()) return wrong_type(name, "an array of token ids", *value);
  for (const ordered_json& item : *value) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() >= vocab) {
      return fail(Status::kInvalidTokenId,
                  std::string(name) + " must hold token ids in [0, " + std::to_string(vocab) +
                      "), got " + shown(item),
                  name);
    }
    out.push_back(item.get<int32_t>());
  }
  return {};
}

}  // namespace ocelli
