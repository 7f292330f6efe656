#include "grammar/regex.h"

#include <vector>

#include "grammar/lookahead.h"

namespace ocelli {
namespace {

constexpr int32_t kCountMax = 100'000;

CharSet digits() {
  CharSet set;
  set.add('0', '9');
  return set;
}

CharSet word_chars() {
  CharSet set = CharSet::of("_");
  set.add('0', '9');
  set.add('A', 'Z');
  set.add('a', 'z');
  return set;
}

// White space of ECMAScript.
CharSet spaces() {
  CharSet set = CharSet::of(" ");
  set.add(9, 13);
  for (const uint32_t c : {0xA0u, 0x1680u, 0x2028u, 0x2029u, 0x202Fu, 0x205Fu, 0x3000u, 0xFEFFu})
    set.add(c, c);
  set.add(0x2000, 0x200A);
  return set;
}

CharSet line_ends() {
  CharSet set = CharSet::of("\n\r");
  set.add(0x2028, 0x2029);
  return set;
}

bool read_hex(std::string_view source, size_t& at, size_t digits, uint32_t& c) {
  c = 0;
  for (size_t i = 0; i < digits; ++i, ++at) {
    if (at >= source.size()) return false;
    const char d = source[at];
    const int value = d >= '0' && d <= '9'   ? d - '0'
                      : d >= 'a' && d <= 'f' ? d - 'a' + 10
                      : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                             : -1;
    if (value < 0) return false;
    c = c * 16 + static_cast<uint32_t>(value);
  }
  return true;
}

// How a JSON string writes a character that it must escape.
std::string json_escape(uint32_t c) {
  static constexpr std::string_view kShort = "\"\\\b\f\n\r\t", kName = "\"\\bfnrt";
  const size_t found = kShort.find(static_cast<char>(c));
  if (found != std::string_view::npos) return {'\\', kName[found]};
  static constexpr char kHex[] = "0123456789abcdef";
  return std::string("\\u00") + kHex[c >> 4] + kHex[c & 15];
}

bool needs_escape(uint32_t c) { return c < 0x20 || c == '"' || c == '\\'; }

class Parser {
 public:
  Parser(Rules& rules, std::string_view source, Spelling spelling, bool search)
      : rules_(rules), source_(source), spelling_(spelling), search_(search) {}

  Rules::Part whole() {
    const Rules::Part part = alternatives(0);
    if (at_ < source_.size()) bad("an unmatched )");
    return part;
  }

 private:
  void bad(const std::string& what) {
    rules_.problem("has " + what + " at byte " + std::to_string(at_) + " of the pattern " +
                   std::string(source_.substr(0, 200)));
    at_ = source_.size();
  }
  bool next_is(char c) const { return at_ < source_.size() && source_[at_] == c; }
  bool take(std::string_view text) {
    if (source_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }

  Rules::Part anything() {
    return rules_.repeat(character(rules_, CharSet::all(), spelling_), 0, kUnbounded);
  }

  Rules::Part alternatives(int depth) {
    std::vector<Rules::Part> parts;
    if (depth > kGrammarDepthMax) bad("groups nested too deeply");
    do {
      parts.push_back(sequence(depth));
    } while (take("|"));
    return parts.size() == 1 ? parts[0] : rules_.choice(parts);
  }

  // Anchors are known at the two ends of a top-level alternative.
  Rules::Part sequence(int depth) {
    const bool open = search_ && depth == 0;
    bool anchored = false, closed = false;
    if (depth == 0) {
      while (take("^")) anchored = true;
    }
    Rules::Part part = open && !anchored ? anything() : rules_.nothing();
    while (at_ < source_.size() && !next_is('|') && !next_is(')')) {
      if (depth == 0 && next_is('$')) {
        while (take("$")) closed = true;
        if (at_ < source_.size() && !next_is('|')) bad("text after $");
        break;
      }
      part = rules_.sequence(part, counted(atom(depth)));
    }
    return open && !closed ? rules_.sequence(part, anything()) : part;
  }

  Rules::Part counted(Rules::Part part) {
    int32_t least = 1, most = 1;
    if (take("*")) {
      least = 0, most = kUnbounded;
    } else if (take("+")) {
      most = kUnbounded;
    } else if (take("?")) {
      least = 0;
    } else if (next_is('{')) {
      size_t at = at_ + 1;
      if (!read_counts(source_, at, least, most)) {
        bad("a { that is no count");
        return part;
      }
      at_ = at;
    } else {
      return part;
    }
    take("?");  // greedy or not, the language is the same
    if (next_is('*') || next_is('+') || next_is('?')) bad("a count of a count");
    return rules_.repeat(part, least, most);
  }

  Rules::Part atom(int depth) {
    CharSet set;
    const char c = source_[at_];
    if (take("(")) {
      if (take("?")) {
        if (take("<") && !next_is('=') && !next_is('!')) {
          while (at_ < source_.size() && source_[at_] != '>') ++at_;
          take(">");
        } else if (!take(":")) {
          bad("lookbehind, flags, or lookahead that is not at the beginning (unsupported)");
        }
      }
      const Rules::Part part = alternatives(depth + 1);
      if (!take(")")) bad("an unmatched (");
      return part;
    }
    if (c == '*' || c == '+' || c == '?' || c == '{') {
      bad("a count of nothing");
    } else if (c == '^' || c == '$') {
      bad("an anchor that is not at an end (unsupported)");
    } else if (take(".")) {
      set = line_ends().complement();
    } else if (c == '[') {
      if (!read_class(source_, at_, set)) bad("a class that is not well formed or not supported");
    } else if (take("\\")) {
      if (!read_escape(source_, at_, set)) bad("an escape that is not supported");
    } else {
      uint32_t code = 0;
      if (!read_char(source_, at_, code)) bad("invalid UTF-8");
      set.add(code, code);
    }
    return character(rules_, set, spelling_);
  }

  Rules& rules_;
  std::string_view source_;
  Spelling spelling_;
  bool search_;
  size_t at_ = 0;
};

}  // namespace

Rules::Part character(Rules& rules, const CharSet& set, Spelling spelling) {
  if (spelling == Spelling::kPlain) return rules.chars(set);
  CharSet plain;
  std::vector<std::string> escaped;
  for (const auto& [low, high] : set.ranges()) {
    uint32_t from = low;
    for (uint32_t c = low; c <= high && c <= '\\'; ++c) {
      if (!needs_escape(c)) continue;
      escaped.push_back(json_escape(c));
      if (from < c) plain.add(from, c - 1);
      from = c + 1;
    }
    if (from <= high) plain.add(from, high);
  }
  if (escaped.empty()) return rules.chars(plain);
  return rules.choice({{rules.chars(plain), rules.one_of(escaped)}});
}

Rules::Part text(Rules& rules, std::string_view utf8, Spelling spelling) {
  if (spelling == Spelling::kPlain) return rules.literal(utf8);
  std::string out;
  for (const char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if (needs_escape(byte)) {
      out += json_escape(byte);
    } else {
      out += c;
    }
  }
  return rules.literal(out);
}

Rules::Part regex(Rules& rules, std::string_view pattern, Spelling spelling, bool search) {
  if (const auto conditions = lookahead(pattern, spelling, search))
    return meeting(rules, *conditions, spelling);
  return Parser(rules, pattern, spelling, search).whole();
}

bool read_char(std::string_view source, size_t& at, uint32_t& c) {
  if (at >= source.size()) return false;
  const auto lead = static_cast<uint8_t>(source[at++]);
  const int more = lead < 0x80 ? 0 : lead < 0xC2 ? -1 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  if (more < 0 || lead > 0xF4) return false;
  c = more == 0 ? lead : lead & (0x3Fu >> more);
  for (int i = 0; i < more; ++i) {
    if (at >= source.size() || (static_cast<uint8_t>(source[at]) & 0xC0) != 0x80) return false;
    c = c << 6 | (static_cast<uint8_t>(source[at++]) & 0x3F);
  }
  return true;
}

bool read_escape(std::string_view source, size_t& at, CharSet& set) {
  uint32_t c = 0;
  if (!read_char(source, at, c)) return false;
  const auto is_letter = [](uint32_t x) {
    return (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9');
  };
  switch (c) {
    case 'd':
      return set.add(digits()), true;
    case 'D':
      return set.add(digits().complement()), true;
    case 'w':
      return set.add(word_chars()), true;
    case 'W':
      return set.add(word_chars().complement()), true;
    case 's':
      return set.add(spaces()), true;
    case 'S':
      return set.add(spaces().complement()), true;
    case 'n':
      c = '\n';
      break;
    case 't':
      c = '\t';
      break;
    case 'r':
      c = '\r';
      break;
    case 'f':
      c = '\f';
      break;
    case 'v':
      c = '\v';
      break;
    case '0':
      c = 0;
      break;
    case 'x':
      if (!read_hex(source, at, 2, c)) return false;
      break;
    case 'u': {
      const bool braces = at < source.size() && source[at] == '{';
      if (!braces) {
        if (!read_hex(source, at, 4, c)) return false;
        uint32_t low = 0;
        size_t behind = at + 2;
        if (c >= 0xD800 && c < 0xDC00 && source.substr(at, 2) == "\\u" &&
            read_hex(source, behind, 4, low) && low >= 0xDC00 && low < 0xE000) {
          c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
          at = behind;
        }
        break;
      }
      const size_t close = source.find('}', ++at);
      if (close == std::string_view::npos || close == at || close - at > 6) return false;
      if (!read_hex(source, at, close - at, c)) return false;
      ++at;
      break;
    }
    default:
      if (c < 0x80 && is_letter(c)) return false;  // \b, \1, \p{..} and what we do not know
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return false;
  set.add(c, c);
  return true;
}

bool read_class(std::string_view source, size_t& at, CharSet& set) {
  ++at;  // the bracket
  const bool negated = at < source.size() && source[at] == '^';
  if (negated) ++at;
  CharSet all;
  // One end of a range, or a whole class.
  const auto item = [&](CharSet& out) {
    if (source[at] == '\\') {
      ++at;
      if (at < source.size() && source[at] == 'b') {  // backspace, here
        ++at;
        return out.add(8, 8), true;
      }
      return read_escape(source, at, out);
    }
    uint32_t c = 0;
    if (!read_char(source, at, c)) return false;
    out.add(c, c);
    return true;
  };
  const auto single = [](const CharSet& chars) {
    return chars.ranges().size() == 1 && chars.ranges()[0].first == chars.ranges()[0].second;
  };
  while (at < source.size() && source[at] != ']') {
    CharSet low;
    if (!item(low)) return false;
    if (at + 1 < source.size() && source[at] == '-' && source[at + 1] != ']') {
      ++at;
      CharSet high;
      if (!item(high) || !single(low) || !single(high)) return false;
      if (low.ranges()[0].first > high.ranges()[0].first) return false;
      all.add(low.ranges()[0].first, high.ranges()[0].first);
    } else {
      all.add(low);
    }
  }
  if (at >= source.size()) return false;
  ++at;
  set.add(negated ? all.complement() : all);
  return true;
}

bool read_counts(std::string_view source, size_t& at, int32_t& least, int32_t& most) {
  size_t i = at;
  const auto number = [&](int32_t& out) {
    const size_t begin = i;
    int64_t value = 0;
    while (i < source.size() && source[i] >= '0' && source[i] <= '9' && value <= kCountMax)
      value = value * 10 + (source[i++] - '0');
    out = static_cast<int32_t>(value);
    return i > begin && value <= kCountMax;
  };
  if (!number(least)) return false;
  most = least;
  if (i < source.size() && source[i] == ',') {
    ++i;
    most = kUnbounded;
    if (i < source.size() && source[i] != '}' && !number(most)) return false;
  }
  if (i >= source.size() || source[i] != '}' || most < least) return false;
  at = i + 1;
  return true;
}

}  // namespace ocelli
