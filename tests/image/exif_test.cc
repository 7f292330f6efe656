// exif_orientation on hand-made TIFF blocks, whole and broken.
#include "image/exif.h"

#include <gtest/gtest.h>

#include <vector>

namespace ocelli {
namespace {

// One directory with one entry, at offset 8.
std::vector<uint8_t> tiff(bool big, int tag, int type, int count, int value) {
  std::vector<uint8_t> bytes;
  const auto put = [&](int number, int size) {
    for (int i = 0; i < size; ++i) {
      bytes.push_back(static_cast<uint8_t>(number >> (8 * (big ? size - 1 - i : i))));
    }
  };
  bytes.insert(bytes.end(), 2, big ? 'M' : 'I');
  put(42, 2), put(8, 4), put(1, 2);
  put(tag, 2), put(type, 2), put(count, 4);
  put(value, type == 4 ? 4 : type == 1 ? 1 : 2);
  while (bytes.size() < 26) bytes.push_back(0);
  return bytes;
}

TEST(Exif, ReadsBothByteOrdersAndTypes) {
  for (const bool big : {false, true}) {
    for (const int type : {1, 3, 4}) {
      for (int value = 1; value <= 8; ++value) {
        EXPECT_EQ(static_cast<int>(exif_orientation(tiff(big, 0x112, type, 1, value))), value);
      }
    }
  }
}

TEST(Exif, SkipsTheJpegPrefix) {
  auto bytes = tiff(false, 0x112, 3, 1, 6);
  const uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  bytes.insert(bytes.begin(), prefix, prefix + 6);
  EXPECT_EQ(exif_orientation(bytes), Orientation::kQuarterTurn);
}

TEST(Exif, AnythingOddIsUpright) {
  EXPECT_EQ(exif_orientation({}), Orientation::kUpright);
  for (const int value : {0, 9, 255, 65535}) {
    EXPECT_EQ(exif_orientation(tiff(true, 0x112, 3, 1, value)), Orientation::kUpright);
  }
  EXPECT_EQ(exif_orientation(tiff(true, 0x112, 3, 2, 6)), Orientation::kUpright);  // two values
  EXPECT_EQ(exif_orientation(tiff(true, 0x112, 2, 1, 6)), Orientation::kUpright);  // a string
  EXPECT_EQ(exif_orientation(tiff(true, 0x113, 3, 1, 6)), Orientation::kUpright);  // another tag
  auto bytes = tiff(false, 0x112, 3, 1, 6);
  for (size_t size = 0; size < 22; ++size) {
    EXPECT_EQ(exif_orientation(Bytes(bytes).first(size)), Orientation::kUpright) << size;
  }
  bytes[4] = 0xff, bytes[5] = 0xff, bytes[6] = 0xff, bytes[7] = 0xff;  // a directory far away
  EXPECT_EQ(exif_orientation(bytes), Orientation::kUpright);
}

}  // namespace
}  // namespace ocelli
