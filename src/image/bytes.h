// ByteReader: bounds-checked reads from encoded bytes, for the container parsers of this folder.
// Reading past the end yields zeros and turns ok() false, so a parser may read a whole header and
// check once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace ocelli {

using Bytes = std::span<const uint8_t>;

inline bool has_prefix(Bytes bytes, std::string_view prefix, size_t at = 0) {
  return bytes.size() >= at && bytes.size() - at >= prefix.size() &&
         std::memcmp(bytes.data() + at, prefix.data(), prefix.size()) == 0;
}

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes, bool big_endian = true) : bytes_(bytes), big_(big_endian) {}

  bool ok() const { return ok_; }
  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  uint8_t u8() {
    if (left() < 1) {
      ok_ = false;
      return 0;
    }
    return bytes_[position_++];
  }
  uint16_t u16() {
    const uint32_t first = u8(), second = u8();
    return static_cast<uint16_t>(big_ ? first << 8 | second : second << 8 | first);
  }
  uint32_t u32() {
    const uint32_t first = u16(), second = u16();
    return big_ ? first << 16 | second : second << 16 | first;
  }
  // The next `count` bytes; empty and not ok() when there are fewer.
  Bytes take(size_t count) {
    if (left() < count) {
      ok_ = false;
      return {};
    }
    const Bytes taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }
  void skip(size_t count) { take(count); }

 private:
  Bytes bytes_;
  size_t position_ = 0;
  bool big_;
  bool ok_ = true;
};

}  // namespace ocelli
