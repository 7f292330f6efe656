// Unicode facts the tokenizer needs: UTF-8 in and out, letter/number/space classes, NFC. Called by
// pre_tokenize, tokenizer and nothing else.
//
// Surprise: "Unicode" here is what the Hugging Face tokenizer's libraries know, not the newest
// standard: classes of Unicode 16 (Oniguruma) and an NFC of Unicode 9. Both corrections to utf8proc
// are tables in unicode_tables.inc, made by models/reference/unicode_tables.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocelli {

enum class CharClass : uint8_t {
  kOther,
  kLetter,
  kNumber,
  kSpace
};  // \p{L}, \p{N}, White_Space, the rest

struct DecodedChar {
  char32_t code_point;
  uint32_t bytes;  // 1..4
};

// Decodes the character at text[at]; text must be valid UTF-8 and at < text.size() at a boundary.
DecodedChar decode_utf8(std::string_view text, size_t at);
void append_utf8(char32_t code_point, std::string& out);

// Length of the longest valid prefix; equals text.size() for valid UTF-8. Surrogates, overlong
// forms and code points above U+10FFFF are invalid.
size_t utf8_valid_prefix(std::string_view text);

// The text with every maximal invalid part replaced by one U+FFFD (Unicode 3.9, what Python's
// "replace" does).
std::string replace_invalid_utf8(std::string_view text);

CharClass char_class(char32_t code_point);

// Normalisation form C of valid UTF-8 into `out`; false, with `out` untouched, when the text is
// quickly seen to be in NFC already. Time is O(n log n) even for long runs of combining marks.
bool normalize_nfc(std::string_view text, std::string& out);

}  // namespace ocelli
