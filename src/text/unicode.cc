#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/check.h"

namespace ocelli {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

#include "text/unicode_tables.inc"

template <size_t N>
bool contains(const Range (&ranges)[N], char32_t c) {
  const Range* found =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t value, const Range& range) { return value < range.first; });
  return found != std::begin(ranges) && c <= std::prev(found)->last;
}

// What the bytes at `at` are: a valid character of `bytes` bytes, or a maximal invalid part of
// `bytes` bytes.
struct Scan {
  uint32_t bytes;
  bool valid;
};

Scan scan_utf8(std::string_view text, size_t at) {
  const uint8_t lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {1, true};
  uint32_t length = 0;
  uint8_t low = 0x80,
          high = 0xbf;  // bounds of the second byte keep out overlong forms and surrogates
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return {1, false};
  }
  for (uint32_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {i, false};
    const uint8_t byte = static_cast<uint8_t>(text[at + i]);
    if (byte < low || byte > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {length, true};
}

// White_Space has no utf8proc property; the list has been stable since Unicode 6.3.
bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

CharClass classify(char32_t c) {
  if (is_white_space(c)) return CharClass::kSpace;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::kNumber;
    case UTF8PROC_CATEGORY_CN:  // unassigned for this utf8proc, perhaps not for Unicode 16
      if (contains(kLaterLetters, c)) return CharClass::kLetter;
      if (contains(kLaterNumbers, c)) return CharClass::kNumber;
      return CharClass::kOther;
    default:
      return CharClass::kOther;
  }
}

constexpr CharClass ascii_class(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CharClass::kLetter;
  if (c >= '0' && c <= '9') return CharClass::kNumber;
  return c == ' ' || (c >= 0x9 && c <= 0xd) ? CharClass::kSpace : CharClass::kOther;
}

// Everything below U+0300 is in NFC and stays so whatever stands before it.
bool surely_nfc(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char byte) { return static_cast<uint8_t>(byte) < 0xcc; });
}

// Normalises code_points[0..] and appends it to `out` as UTF-8; the buffer is left empty.
void flush_segment(std::vector<utf8proc_int32_t>& buffer, std::string& out) {
  // utf8proc would sort marks by exchanging neighbours, which is quadratic for a hostile run: sort
  // runs here.
  const auto combining = [](utf8proc_int32_t c) {
    return static_cast<uint64_t>(utf8proc_get_property(c)->combining_class);
  };
  std::vector<uint64_t> marks;  // class, place, code point: equal classes keep their order
  for (size_t i = 0; i < buffer.size(); ++i) {
    marks.clear();
    const size_t start = i;
    for (; i < buffer.size() && combining(buffer[i]) != 0; ++i)
      marks.push_back(combining(buffer[i]) << 56 | uint64_t{i - start} << 21 |
                      static_cast<uint64_t>(buffer[i]));
    if (marks.size() < 2) continue;
    std::sort(marks.begin(), marks.end());
    for (size_t k = 0; k < marks.size(); ++k)
      buffer[start + k] = static_cast<utf8proc_int32_t>(marks[k] & 0x1fffff);
  }
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const utf8proc_ssize_t length = utf8proc_normalize_utf32(
      buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), options);
  OCELLI_CHECK(length >= 0);
  for (utf8proc_ssize_t i = 0; i < length; ++i)
    append_utf8(static_cast<char32_t>(buffer[static_cast<size_t>(i)]), out);
  buffer.clear();
}

}  // namespace

DecodedChar decode_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[at + i]));
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f),
          4};
}

void append_utf8(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

size_t utf8_valid_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Scan scan = scan_utf8(text, at);
    if (!scan.valid) break;
    at += scan.bytes;
  }
  return at;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t at = 0; at < text.size();) {
    const Scan scan = scan_utf8(text, at);
    out += scan.valid ? text.substr(at, scan.bytes) : std::string_view("\xef\xbf\xbd");
    at += scan.bytes;
  }
  return out;
}

CharClass char_class(char32_t c) { return c < 0x80 ? ascii_class(c) : classify(c); }

bool normalize_nfc(std::string_view text, std::string& out) {
  if (surely_nfc(text)) return false;
  out.clear();
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> segment;  // decomposed code points that may still interact
  for (size_t at = 0; at < text.size();) {
    const DecodedChar decoded = decode_utf8(text, at);
    at += decoded.bytes;
    const char32_t c = decoded.code_point;
    if (contains(kOpaqueToNfc,
                 c)) {  // a starter that neither decomposes nor composes: nothing passes it
      flush_segment(segment, out);
      append_utf8(c, out);
      continue;
    }
    utf8proc_int32_t parts[8];  // the longest canonical decomposition has 4
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(c), parts, 8,
        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), &boundary);
    OCELLI_CHECK(count > 0 && count <= 8);
    segment.insert(segment.end(), parts, parts + count);
  }
  flush_segment(segment, out);
  return true;
}

}  // namespace ocelli
