// Token bytes in, whole UTF-8 characters out. Called by OutputStream. A character may be spread
// over several tokens: its first bytes wait here. Surprise: bytes that can never become a character
// turn into one U+FFFD per maximal subpart (Unicode 3.9, as WHATWG decoders and Python's "replace"
// do).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ocelli {

class Utf8Stream {
 public:
  // Appends to `out` what is complete; the output is always valid UTF-8.
  void feed(std::string_view bytes, std::string& out);
  // End of the sequence: an unfinished character becomes one U+FFFD.
  void finish(std::string& out);
  // Bytes waiting for the rest of their character (0..3).
  int held() const { return held_; }

 private:
  void begin(uint8_t byte, std::string& out);

  char bytes_[4] = {};
  int held_ = 0;
  int missing_ = 0;                   // continuation bytes still expected
  uint8_t low_ = 0x80, high_ = 0xbf;  // allowed range of the next one
};

}  // namespace ocelli
