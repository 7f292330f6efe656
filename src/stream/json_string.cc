// See json_string.h. A backslash sequence waits in escape_ until it is whole, the first half of a
// surrogate pair in high_ until what follows it is known.
#include "stream/json_string.h"

namespace ocelli {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
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

// The character a one-letter escape stands for, 0 if it is none.
char escaped(char letter) {
  constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  const size_t at = kLetters.find(letter);
  return at == std::string_view::npos ? '\0' : kMeanings[at];
}

}  // namespace

void put_json_char(char c, std::string& out) {
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

void JsonString::begin(char quote, std::string& out) {
  *this = JsonString();
  quote_ = quote;
  repaired_ = quote != '"';
  out.push_back('"');
}

bool JsonString::feed(char c, std::string& out) {
  if (!escape_.empty() && escape_char(c, out)) return true;
  if (c == '\\') {
    escape_ = "\\";
    return true;
  }
  flush_high(out);
  if (c == quote_) {
    quote_ = 0;
    out.push_back('"');
    return false;
  }
  repaired_ |= static_cast<unsigned char>(c) < 0x20;
  put_json_char(c, out);
  return true;
}

// Inside a backslash sequence. False: c does not belong to it and is still to be read.
bool JsonString::escape_char(char c, std::string& out) {
  if (escape_.size() == 1) {
    if (c == 'u') {
      escape_.push_back(c);
      return true;
    }
    escape_.clear();
    flush_high(out);
    if (const char meaning = escaped(c); meaning != '\0') {
      put_json_char(meaning, out);
    } else {
      repaired_ = true;
      if (c != '\'') out += "\\\\";  // \d, \x...: the backslash was meant
      put_json_char(c, out);
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
void JsonString::unicode_unit(std::string& out) {
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
    put_json_char(static_cast<char>(unit), out);
  } else {
    put_utf8(unit, out);
  }
}

void JsonString::flush_high(std::string& out) {
  if (high_ != 0) put_hex_escape(high_, out);
  high_ = 0;
}

// An escape that was broken off: its characters as they stand.
void JsonString::flush_escape(std::string& out) {
  flush_high(out);
  if (escape_.empty()) return;
  repaired_ = true;
  for (const char c : escape_) put_json_char(c, out);
  escape_.clear();
}

void JsonString::close(std::string& out) {
  flush_escape(out);
  repaired_ = true;
  quote_ = 0;
  out.push_back('"');
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

}  // namespace ocelli
