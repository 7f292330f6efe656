// See utf8_stream.h. The ranges of the second byte are those of Unicode table 3-7 (well-formed
// UTF-8).
#include "stream/utf8_stream.h"

namespace ocelli {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

}  // namespace

void Utf8Stream::feed(std::string_view bytes, std::string& out) {
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (missing_ > 0) {
      if (byte >= low_ && byte <= high_) {
        low_ = 0x80;
        high_ = 0xbf;
        bytes_[held_++] = c;
        if (--missing_ == 0) {
          out.append(bytes_, static_cast<size_t>(held_));
          held_ = 0;
        }
        continue;
      }
      finish(out);  // this byte starts afresh
    }
    begin(byte, out);
  }
}

void Utf8Stream::begin(uint8_t byte, std::string& out) {
  low_ = 0x80;
  high_ = 0xbf;
  if (byte < 0x80) {
    out.push_back(static_cast<char>(byte));
    return;
  }
  if (byte < 0xc2 || byte > 0xf4) {  // a continuation byte, or one no character begins with
    out.append(kReplacement);
    return;
  }
  missing_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  if (byte == 0xe0) low_ = 0xa0;   // overlong
  if (byte == 0xed) high_ = 0x9f;  // surrogates
  if (byte == 0xf0) low_ = 0x90;   // overlong
  if (byte == 0xf4) high_ = 0x8f;  // beyond U+10FFFF
  bytes_[0] = static_cast<char>(byte);
  held_ = 1;
}

void Utf8Stream::finish(std::string& out) {
  if (held_ > 0) out.append(kReplacement);
  held_ = 0;
  missing_ = 0;
}

}  // namespace ocelli
