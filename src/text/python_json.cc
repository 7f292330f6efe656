#include "text/python_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace ocelli {
namespace {

// Receives the parser's events and builds the value in place. A parent never grows while its child
// is open, so the pointers on the stack stay good.
class Builder {
 public:
  using number_integer_t = OrderedJson::number_integer_t;
  using number_unsigned_t = OrderedJson::number_unsigned_t;
  using number_float_t = OrderedJson::number_float_t;
  using string_t = OrderedJson::string_t;
  using binary_t = OrderedJson::binary_t;

  OrderedJson root;
  Error error;

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(number_integer_t value) { return put(value); }
  bool number_unsigned(number_unsigned_t value) { return put(value); }
  bool number_float(number_float_t value, const string_t& spelling) {
    if (spelling.find_first_of(".eE") != string_t::npos) return put(value);
    return put(OrderedJson::binary({spelling.begin(), spelling.end()}, kBigInteger));
  }
  bool string(string_t& value) { return put(std::move(value)); }
  bool binary(binary_t&) { return false; }  // JSON text has none

  bool start_object(size_t) { return open(OrderedJson::object()); }
  bool start_array(size_t) { return open(OrderedJson::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(string_t& value) {
    OrderedJson& object = *stack_.back();
    next_ = &object[value];
    if (object.size() <= static_cast<size_t>(kJsonKeysMax)) return true;
    return refuse(Status::kInvalidValue,
                  "a JSON object has more than " + std::to_string(kJsonKeysMax) + " keys");
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& why) {
    constexpr int kOutOfRange = 406;
    return refuse(Status::kInvalidJson, (why.id == kOutOfRange ? "number out of range at byte "
                                                               : "malformed JSON at byte ") +
                                            std::to_string(position));
  }

 private:
  OrderedJson* place() {
    if (stack_.empty()) return &root;
    OrderedJson& parent = *stack_.back();
    if (parent.is_object()) return next_;
    parent.push_back(nullptr);
    return &parent.back();
  }

  bool put(OrderedJson&& value) {
    *place() = std::move(value);
    return true;
  }

  bool open(OrderedJson&& value) {
    if (stack_.size() >= static_cast<size_t>(kJsonDepthMax))
      return refuse(Status::kInvalidValue,
                    "JSON is nested more than " + std::to_string(kJsonDepthMax) + " deep");
    OrderedJson* at = place();
    *at = std::move(value);
    stack_.push_back(at);
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  bool refuse(Status status, std::string message) {
    error = {status, std::move(message), {}};
    return false;
  }

  std::vector<OrderedJson*> stack_;
  OrderedJson* next_ = nullptr;  // where the value of the last key goes
};

void dump_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<uint8_t>(c) >> 4];
          out += kHex[static_cast<uint8_t>(c) & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void dump(const OrderedJson& value, int depth, std::string& out) {
  OCELLI_CHECK(depth <= kJsonDepthMax);
  switch (value.type()) {
    case OrderedJson::value_t::null:
    case OrderedJson::value_t::discarded:
      out += "null";
      break;
    case OrderedJson::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      break;
    case OrderedJson::value_t::number_integer:
      out += std::to_string(value.get<int64_t>());
      break;
    case OrderedJson::value_t::number_unsigned:
      out += std::to_string(value.get<uint64_t>());
      break;
    case OrderedJson::value_t::number_float:
      out += python_float(value.get<double>());
      break;
    case OrderedJson::value_t::string:
      dump_string(value.get_ref<const std::string&>(), out);
      break;
    case OrderedJson::value_t::binary: {
      const auto& digits = value.get_binary();
      out.append(digits.begin(), digits.end());
      break;
    }
    case OrderedJson::value_t::array: {
      out += '[';
      for (auto item = value.begin(); item != value.end(); ++item) {
        if (item != value.begin()) out += ", ";
        dump(*item, depth + 1, out);
      }
      out += ']';
      break;
    }
    case OrderedJson::value_t::object: {
      out += '{';
      for (auto item = value.begin(); item != value.end(); ++item) {
        if (item != value.begin()) out += ", ";
        dump_string(item.key(), out);
        out += ": ";
        dump(item.value(), depth + 1, out);
      }
      out += '}';
      break;
    }
  }
}

}  // namespace

Result<OrderedJson> parse_json(std::string_view text) {
  Builder builder;
  if (!OrderedJson::sax_parse(text, &builder)) {
    if (builder.error.message.empty()) return fail(Status::kInvalidJson, "malformed JSON");
    return std::unexpected(std::move(builder.error));
  }
  return std::move(builder.root);
}

void dump_python(const OrderedJson& value, std::string& out) { dump(value, 0, out); }

std::string python_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  const auto [end, status] =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  OCELLI_CHECK(status == std::errc());
  // "-d.ddde-XX", the shortest digits
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  std::string out;
  if (text.starts_with('-')) {
    out += '-';
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  const char* first = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(first, text.data() + text.size(), exponent);
  std::string digits(1, text[0]);
  if (e > 2) digits += text.substr(2, e - 2);

  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (digits.size() > 1) out.append(".").append(digits, 1);
    const int size = std::abs(exponent);
    return out + (exponent < 0 ? "e-" : "e+") + (size < 10 ? "0" : "") + std::to_string(size);
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

bool json_too_deep(const OrderedJson& value) {
  std::vector<std::pair<const OrderedJson*, int>> open = {{&value, 0}};
  while (!open.empty()) {
    const auto [at, depth] = open.back();
    open.pop_back();
    if (!at->is_structured()) continue;
    if (depth >= kJsonDepthMax) return true;
    for (const OrderedJson& item : *at) open.emplace_back(&item, depth + 1);
  }
  return false;
}

}  // namespace ocelli
