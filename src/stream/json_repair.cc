// See json_repair.h. One state machine over characters: `want_` says what may come next inside the
// innermost container; whatever else comes is made to fit (a missing comma, colon, key or value is
// written for it).
#include "stream/json_repair.h"

#include <utility>

namespace ocelli {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
bool is_number(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i > start;
  };
  if (i < text.size() && text[i] == '-') ++i;
  if (i < text.size() && text[i] == '0') {
    ++i;
  } else if (!digits()) {
    return false;
  }
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < text.size() && (text[i] | 0x20) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

void put_utf8(uint32_t point, std::string& out) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xc0 | point >> 6);
    put(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    put(0xe0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  } else {
    put(0xf0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3f));
    put(0x80 | (point >> 6 & 0x3f));
    put(0x80 | (point & 0x3f));
  }
}

void put_hex_escape(uint32_t unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out.push_back(kHex[unit >> shift & 15]);
}

// One byte of a string's content, escaped where json.dumps escapes.
void put_char(char c, std::string& out) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      if (static_cast<unsigned char>(c) < 0x20) {
        put_hex_escape(static_cast<unsigned char>(c), out);
      } else {
        out.push_back(c);
      }
  }
}

// The character a one-letter escape stands for, 0 if it is none.
char escaped(char letter) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  const size_t at = kLetters.find(letter);
  return at == std::string_view::npos ? '\0' : kMeanings[at];
}

}  // namespace

void JsonRepair::reset() { *this = JsonRepair(); }

JsonRepair::Step JsonRepair::feed(char c, std::string& out) {
  if (quote_ != 0) return string_char(c, out);
  if (!token_.empty()) {
    if (!is_space(c) && std::string_view(",:{}[]\"'").find(c) == std::string_view::npos) {
      token_.push_back(c);
      return Step::kMore;
    }
    end_token(out);
    if (end_item() == Step::kDone) return Step::kDoneBefore;
  }
  return is_space(c) ? Step::kMore : structural(c, out);
}

JsonRepair::Step JsonRepair::structural(char c, std::string& out) {
  switch (c) {
    case '{':
    case '[':
      begin_item(false, out);
      stack_.push_back(c);
      out.push_back(c);
      want_ = Want::kItem;
      first_ = true;
      return Step::kMore;
    case '}':
    case ']':
      return closer(c, out);
    case ',':
      if (stack_.empty()) return nothing(out);
      fill_gap(out);
      if (want_ != Want::kNext) repaired_ = true;
      want_ = Want::kItem;
      comma_ = true;
      return Step::kMore;
    case ':':
      if (want_ == Want::kColon) {
        out += ": ";
        want_ = Want::kValue;
      } else {
        repaired_ = true;
      }
      return Step::kMore;
    default: {
      const bool key =
          !stack_.empty() && stack_.back() == '{' && (want_ == Want::kItem || want_ == Want::kNext);
      begin_item(key, out);
      key_ = key;
      if (c == '"' || c == '\'') {
        quote_ = c;
        repaired_ |= c == '\'';
        out.push_back('"');
      } else {
        token_.assign(1, c);
      }
      return Step::kMore;
    }
  }
}

// A closer of an outer container closes those inside it, too; one that fits nothing is the parent's
// or noise.
JsonRepair::Step JsonRepair::closer(char c, std::string& out) {
  if (stack_.empty()) return nothing(out);
  const char opener = c == '}' ? '{' : '[';
  if (stack_.find(opener) == std::string::npos) {
    repaired_ = true;
    if (c == ']') return Step::kMore;
    while (!stack_.empty()) pop(out);
    return Step::kDoneBefore;
  }
  while (stack_.back() != opener) {
    repaired_ = true;
    pop(out);
  }
  pop(out);
  return stack_.empty() ? Step::kDone : Step::kMore;
}

// A delimiter where the value should begin: there is no value.
JsonRepair::Step JsonRepair::nothing(std::string& out) {
  repaired_ = true;
  begun_ = true;
  out += "null";
  return Step::kDoneBefore;
}

// Writes what is due before an item of the innermost container.
void JsonRepair::begin_item(bool key, std::string& out) {
  begun_ = true;
  if (stack_.empty()) return;
  if (want_ == Want::kItem || want_ == Want::kNext) {
    repaired_ |= want_ == Want::kNext;
    if (!first_) out += ", ";
    if (stack_.back() == '{' && !key) {
      repaired_ = true;
      out += "\"\": ";
    }
  } else if (want_ == Want::kColon) {
    repaired_ = true;
    out += ": ";
  }
  first_ = false;
  comma_ = false;
}

// Completes a key that has no value.
void JsonRepair::fill_gap(std::string& out) {
  if (want_ != Want::kColon && want_ != Want::kValue) return;
  repaired_ = true;
  out += want_ == Want::kColon ? ": null" : "null";
  want_ = Want::kNext;
}

JsonRepair::Step JsonRepair::end_item() {
  if (stack_.empty()) return Step::kDone;
  want_ = std::exchange(key_, false) ? Want::kColon : Want::kNext;
  return Step::kMore;
}

void JsonRepair::pop(std::string& out) {
  fill_gap(out);
  repaired_ |= std::exchange(comma_, false);
  out.push_back(stack_.back() == '{' ? '}' : ']');
  stack_.pop_back();
  want_ = Want::kNext;
  first_ = false;
}

void JsonRepair::end_token(std::string& out) {
  const std::string token = std::exchange(token_, {});
  if (!key_) {
    if (token == "true" || token == "false" || token == "null" || is_number(token)) {
      out += token;
      return;
    }
    repaired_ = true;
    if (token == "True" || token == "False" || token == "None") {
      out += token == "True" ? "true" : token == "False" ? "false" : "null";
      return;
    }
  }
  repaired_ = true;
  out.push_back('"');
  for (const char c : token) put_char(c, out);
  out.push_back('"');
}

JsonRepair::Step JsonRepair::string_char(char c, std::string& out) {
  if (!escape_.empty() && escape_char(c, out)) return Step::kMore;
  if (c == '\\') {
    escape_ = "\\";
    return Step::kMore;
  }
  flush_high(out);
  if (c == quote_) {
    quote_ = 0;
    out.push_back('"');
    return end_item();
  }
  repaired_ |= static_cast<unsigned char>(c) < 0x20;
  put_char(c, out);
  return Step::kMore;
}

// Inside a backslash sequence. False: c does not belong to it and is still to be read.
bool JsonRepair::escape_char(char c, std::string& out) {
  if (escape_.size() == 1) {
    if (c == 'u') {
      escape_.push_back(c);
      return true;
    }
    escape_.clear();
    flush_high(out);
    if (const char meaning = escaped(c); meaning != '\0') {
      put_char(meaning, out);
    } else {
      repaired_ = true;
      if (c != '\'') out += "\\\\";  // \d, \x...: the backslash was meant
      put_char(c, out);
    }
    return true;
  }
  if (hex_value(c) < 0) {
    flush_escape(out);
    return false;
  }
  escape_.push_back(c);
  if (escape_.size() == 6) unicode_unit(out);
  return true;
}

// \uXXXX is complete: a character, or half of one.
void JsonRepair::unicode_unit(std::string& out) {
  uint32_t unit = 0;
  for (size_t i = 2; i < 6; ++i) unit = unit << 4 | static_cast<uint32_t>(hex_value(escape_[i]));
  escape_.clear();
  if (unit >= 0xdc00 && unit <= 0xdfff && high_ != 0) {
    put_utf8(0x10000 + ((high_ - 0xd800) << 10) + (unit - 0xdc00), out);
    high_ = 0;
    return;
  }
  flush_high(out);
  if (unit >= 0xd800 && unit <= 0xdbff) {
    high_ = unit;
  } else if (unit >= 0xdc00 && unit <= 0xdfff) {
    put_hex_escape(unit, out);  // half a pair has no UTF-8
  } else if (unit < 0x80) {
    put_char(static_cast<char>(unit), out);
  } else {
    put_utf8(unit, out);
  }
}

void JsonRepair::flush_high(std::string& out) {
  if (high_ != 0) put_hex_escape(high_, out);
  high_ = 0;
}

// An escape that was broken off: its characters as they stand.
void JsonRepair::flush_escape(std::string& out) {
  flush_high(out);
  if (escape_.empty()) return;
  repaired_ = true;
  for (const char c : escape_) put_char(c, out);
  escape_.clear();
}

void JsonRepair::close(std::string& out) {
  if (!begun_) {
    nothing(out);
    return;
  }
  if (quote_ != 0) {
    flush_escape(out);
    repaired_ = true;
    quote_ = 0;
    out.push_back('"');
    end_item();
  } else if (!token_.empty()) {
    end_token(out);
    end_item();
  }
  while (!stack_.empty()) {
    repaired_ = true;
    pop(out);
  }
}

std::string json_unquote(std::string_view json) {
  std::string text;
  for (size_t i = 1; i + 1 < json.size(); ++i) {
    if (json[i] != '\\') {
      text.push_back(json[i]);
    } else if (json[++i] != 'u') {
      text.push_back(escaped(json[i]));
    } else {
      uint32_t unit = 0;
      for (int digit = 0; digit < 4; ++digit) {
        unit = unit << 4 | static_cast<uint32_t>(hex_value(json[++i]));
      }
      put_utf8(unit >= 0xd800 && unit <= 0xdfff ? 0xfffd : unit, text);
    }
  }
  return text;
}

bool json_object(std::string_view text, std::string& normal) {
  normal.clear();
  JsonRepair scanner;
  bool done = false;
  for (const char c : text) {
    if (is_space(c) && (done || !scanner.begun())) continue;
    if (done || (!scanner.begun() && c != '{')) return false;
    done = scanner.feed(c, normal) == JsonRepair::Step::kDone;
    if (scanner.repaired()) return false;
  }
  return done;
}

}  // namespace ocelli
