#include "text/pre_tokenize.h"

#include "text/unicode.h"

namespace ocelli {
namespace {

struct Char {
  char32_t code_point = 0;
  size_t end = 0;  // offset after it
  CharClass kind = CharClass::kOther;
  bool exists = false;

  bool is_newline() const { return exists && (code_point == '\n' || code_point == '\r'); }
  bool is(CharClass wanted) const { return exists && kind == wanted; }
};

Char char_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const DecodedChar decoded = decode_utf8(text, at);
  return {decoded.code_point, at + decoded.bytes, char_class(decoded.code_point), true};
}

size_t run_end(std::string_view text, size_t at, CharClass kind) {
  for (Char c = char_at(text, at); c.is(kind); c = char_at(text, at)) at = c.end;
  return at;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d) after the apostrophe; returns the end or 0. Case folding also takes
// U+017F for s.
size_t contraction_end(std::string_view text, size_t at) {
  const auto lower = [&](size_t i) {
    if (i >= text.size()) return '\0';
    return text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
  };
  if (text.substr(at, 2) == "\xc5\xbf") return at + 2;
  const char first = lower(at), second = lower(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 1;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 2;
  if (first == 'l' && second == 'l') return at + 2;
  return 0;
}

// White space from `at` on: up to the last newline of the run, else all but a last character that
// leads a word.
size_t space_end(std::string_view text, size_t at) {
  size_t end = at, last = at, after_newline = 0;
  for (Char c = char_at(text, at); c.is(CharClass::kSpace); c = char_at(text, end)) {
    last = end;
    end = c.end;
    if (c.is_newline()) after_newline = end;
  }
  if (after_newline != 0) return after_newline;
  return end == text.size() || last == at ? end : last;
}

}  // namespace

size_t next_piece(std::string_view text, size_t at) {
  const Char first = char_at(text, at);
  if (first.code_point == '\'') {
    if (const size_t end = contraction_end(text, first.end); end != 0) return end;
  }
  if (first.is(CharClass::kLetter)) return run_end(text, first.end, CharClass::kLetter);
  if (first.is(CharClass::kNumber)) return first.end;

  const Char second = char_at(text, first.end);
  if (!first.is_newline() && second.is(CharClass::kLetter))
    return run_end(text, second.end, CharClass::kLetter);

  const bool space_joins = first.code_point == ' ' && second.is(CharClass::kOther);
  if (first.is(CharClass::kOther) || space_joins) {
    size_t end = run_end(text, first.end, CharClass::kOther);
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  return space_end(text, at);
}

}  // namespace ocelli
