#include "format/json_object.h"

#include <cmath>

namespace ocelli {
namespace {

constexpr int kDepthMax = 64;

const nlohmann::json& empty_object() {
  static const nlohmann::json object = nlohmann::json::object();
  return object;
}

// Objects and lists printed in a message can be deep or long: the scan is bounded by the input
// itself.
bool depth_ok(std::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kDepthMax) return false;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return true;
}

std::string range_text(const std::string& low, const std::string& high) {
  return " must be between " + low + " and " + high;
}

std::string number_text(double value) { return nlohmann::json(value).dump(); }

}  // namespace

std::string json_excerpt(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.size() > 40) {
    size_t cut = 37;
    while (cut > 0 && (static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80)
      --cut;  // whole UTF-8 characters
    text = text.substr(0, cut) + "...";
  }
  return text;
}

void JsonIssues::add(std::string message) {
  if (!first) first = Error{status, file + ": " + std::move(message), file};
}

nlohmann::json parse_json_object(std::string_view text, JsonIssues& issues) {
  if (!depth_ok(text)) {
    issues.add("nested deeper than " + std::to_string(kDepthMax) + " levels");
    return nlohmann::json::object();
  }
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) {
    issues.add("is not valid JSON (" + std::to_string(text.size()) + " bytes)");
    return nlohmann::json::object();
  }
  if (!value.is_object()) {
    issues.add("must hold a JSON object, has " + json_excerpt(value));
    return nlohmann::json::object();
  }
  return value;
}

JsonObject::JsonObject(const nlohmann::json& value, std::string path, JsonIssues& issues)
    : value_(&value), path_(std::move(path)), issues_(&issues) {
  if (!value.is_object()) {
    issues_->add("\"" + path_ + "\" must be an object, is " + json_excerpt(value));
    value_ = &empty_object();
  }
}

const nlohmann::json* JsonObject::find(std::string_view key) const {
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

std::string JsonObject::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

void JsonObject::missing(std::string_view key) const {
  issues_->add("\"" + path_of(key) + "\" is missing");
}

int64_t JsonObject::to_integer(const nlohmann::json& value, const std::string& where, int64_t low,
                               int64_t high) const {
  const bool huge =
      value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (!value.is_number_integer() || huge || value.get<int64_t>() < low ||
      value.get<int64_t>() > high) {
    issues_->add("\"" + where + "\" is " + json_excerpt(value) + ", an integer" +
                 range_text(std::to_string(low), std::to_string(high)));
    return low;
  }
  return value.get<int64_t>();
}

double JsonObject::to_number(const nlohmann::json& value, const std::string& where, double low,
                             double high) const {
  if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
    issues_->add("\"" + where + "\" is " + json_excerpt(value) + ", a number" +
                 range_text(number_text(low), number_text(high)));
    return low;
  }
  return value.get<double>();
}

std::string JsonObject::to_text(const nlohmann::json& value, const std::string& where) const {
  if (!value.is_string()) {
    issues_->add("\"" + where + "\" must be a string, is " + json_excerpt(value));
    return {};
  }
  return value.get<std::string>();
}

int64_t JsonObject::integer(std::string_view key, int64_t low, int64_t high,
                            std::optional<int64_t> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && !fallback) missing(key);
  if (value == nullptr) return fallback.value_or(low);
  return to_integer(*value, path_of(key), low, high);
}

double JsonObject::number(std::string_view key, double low, double high,
                          std::optional<double> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && !fallback) missing(key);
  if (value == nullptr) return fallback.value_or(low);
  return to_number(*value, path_of(key), low, high);
}

bool JsonObject::boolean(std::string_view key, std::optional<bool> fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && !fallback) missing(key);
  if (value == nullptr) return fallback.value_or(false);
  if (!value->is_boolean()) {
    issues_->add("\"" + path_of(key) + "\" must be true or false, is " + json_excerpt(*value));
    return false;
  }
  return value->get<bool>();
}

std::string JsonObject::text(std::string_view key,
                             const std::optional<std::string>& fallback) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr && !fallback) missing(key);
  if (value == nullptr) return fallback.value_or("");
  return to_text(*value, path_of(key));
}

const nlohmann::json* JsonObject::list(std::string_view key, size_t count_max) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) {
    missing(key);
    return nullptr;
  }
  if (!value->is_array() || value->size() > count_max) {
    issues_->add("\"" + path_of(key) + "\" must be a list of at most " + std::to_string(count_max) +
                 " elements, is " + json_excerpt(*value));
    return nullptr;
  }
  return value;
}

std::vector<int64_t> JsonObject::integers(std::string_view key, int64_t low, int64_t high,
                                          size_t count_max) const {
  std::vector<int64_t> out;
  const nlohmann::json* value = list(key, count_max);
  if (value == nullptr) return out;
  for (size_t i = 0; i < value->size(); ++i)
    out.push_back(to_integer((*value)[i], path_of(key) + "[" + std::to_string(i) + "]", low, high));
  return out;
}

std::vector<double> JsonObject::numbers(std::string_view key, double low, double high,
                                        size_t count) const {
  std::vector<double> out(count, low);
  const nlohmann::json* value = list(key, count);
  if (value == nullptr) return out;
  if (value->size() != count) {
    issues_->add("\"" + path_of(key) + "\" must have " + std::to_string(count) + " elements, has " +
                 std::to_string(value->size()));
    return out;
  }
  for (size_t i = 0; i < count; ++i)
    out[i] = to_number((*value)[i], path_of(key) + "[" + std::to_string(i) + "]", low, high);
  return out;
}

std::vector<std::string> JsonObject::texts(std::string_view key, size_t count_max) const {
  std::vector<std::string> out;
  const nlohmann::json* value = list(key, count_max);
  if (value == nullptr) return out;
  for (size_t i = 0; i < value->size(); ++i)
    out.push_back(to_text((*value)[i], path_of(key) + "[" + std::to_string(i) + "]"));
  return out;
}

JsonObject JsonObject::object(std::string_view key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) missing(key);
  return JsonObject(value == nullptr ? empty_object() : *value, path_of(key), *issues_);
}

std::vector<JsonObject> JsonObject::objects(std::string_view key, size_t count_max) const {
  std::vector<JsonObject> out;
  const nlohmann::json* value = list(key, count_max);
  if (value == nullptr) return out;
  for (size_t i = 0; i < value->size(); ++i)
    out.emplace_back((*value)[i], path_of(key) + "[" + std::to_string(i) + "]", *issues_);
  return out;
}

}  // namespace ocelli
