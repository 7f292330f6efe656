// SHA-256 against published vectors, in one piece and in pieces of every length.
#include "format/sha256.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace ocelli {
namespace {

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex(bytes_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::vector<uint8_t>(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameAsTheWhole) {
  std::vector<uint8_t> data(300);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 7 + 1);
  for (size_t length = 0; length <= data.size(); length += 13) {
    const std::span<const uint8_t> whole = std::span(data).first(length);
    const std::string expected = sha256_hex(whole);
    for (size_t piece = 1; piece < 130; piece += 9) {
      Sha256 hash;
      for (size_t at = 0; at < length; at += piece)
        hash.update(whole.subspan(at, std::min(piece, length - at)));
      EXPECT_EQ(hash.finish_hex(), expected) << length << " in pieces of " << piece;
    }
  }
}

}  // namespace
}  // namespace ocelli
