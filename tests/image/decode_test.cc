// decode_image against Pillow's pixels, bit for bit, and against files that lie.
#include "image/decode.h"

#include <gtest/gtest.h>

#include "image/fixtures.h"
#include "image/memory.h"

namespace ocelli {
namespace {

Error error_of(std::span<const uint8_t> bytes, const ImageLimits& limits = {}) {
  auto image = decode_image(bytes, limits);
  EXPECT_FALSE(image.has_value());
  return image ? Error{Status::kOk, "decoded", {}} : image.error();
}

std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

TEST(Decode, EveryGoldenImageEqualsPillow) {
  const auto& images = golden_images()["images"];
  ASSERT_GT(images.size(), 100u);
  for (const auto& expected : images) {
    const auto name = expected["file"].get<std::string>();
    const auto bytes = read_golden_image(name);
    ASSERT_FALSE(bytes.empty()) << name;
    const auto image = decode_image(bytes);
    ASSERT_TRUE(image.has_value()) << name << ": " << image.error().message;
    EXPECT_EQ(image->width, expected["width"].get<int>()) << name;
    EXPECT_EQ(image->height, expected["height"].get<int>()) << name;
    EXPECT_EQ(fnv1a(image->rgb), expected["fnv1a"].get<std::string>()) << name;
  }
}

TEST(Decode, BytesThatAreNoImage) {
  EXPECT_EQ(error_of({}).status, Status::kInvalidImage);
  const Error error = error_of(bytes_of("hello, this is plain text"));
  EXPECT_EQ(error.status, Status::kInvalidImage);
  EXPECT_NE(error.message.find("25 bytes"), std::string::npos) << error.message;
}

TEST(Decode, KnownKindsThatAreNotDecodedAreNamed) {
  using std::string_view_literals::operator""sv;
  const std::pair<std::string_view, const char*> cases[] = {
      {"\0\0\0\x1c"
       "ftypavif\0\0\0\0"sv,
       "AVIF"},
      {"\0\0\0\x18"
       "ftypheic\0\0\0\0"sv,
       "HEIC"},
      {"II*\0\x08\0\0\0"sv, "TIFF"},
      {"MM\0*\0\0\0\x08"sv, "TIFF"},
      {"<?xml version='1.0'?><svg/>"sv, "SVG"},
      {" <svg xmlns='http://www.w3.org/2000/svg'/>"sv, "SVG"},
      {"\0\0\1\0\1\0"sv, "ICO"},
      {"%PDF-1.7"sv, "PDF"},
  };
  for (const auto& [bytes, name] : cases) {
    const Error error = error_of(bytes_of(bytes));
    EXPECT_EQ(error.status, Status::kUnsupportedImage) << name;
    EXPECT_NE(error.message.find(name), std::string::npos) << error.message;
  }
}

// A file cut anywhere is an error, never a half-grey picture; at its last bytes it may be whole
// already.
TEST(Decode, TruncatedFilesAreRefused) {
  for (const char* name :
       {"q75_420.jpg", "q75_420_progressive.jpg", "color2_8.png", "color6_16_interlaced.png",
        "palette0.gif", "mode_RGB.bmp", "rle8.bmp", "rgb_lossless.webp", "rgba_lossy.webp"}) {
    const auto bytes = read_golden_image(name);
    for (size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 97) {
      // The PNG's pixels end 16 bytes (checksum, end chunk) before the file, others' within 2.
      if (bytes.size() - size <= 20) continue;
      if (std::string_view(name) == "rgba_lossy.webp" && size > bytes.size() - 200)
        continue;  // EXIF
      const auto image = decode_image(std::span(bytes).first(size));
      ASSERT_FALSE(image.has_value()) << name << " cut to " << size << " of " << bytes.size();
      EXPECT_EQ(image.error().status, Status::kInvalidImage)
          << name << ": " << image.error().message;
    }
  }
}

TEST(Decode, HugeHeadersAreRefusedBeforeAnythingIsAllocated) {
  auto png = read_golden_image("color2_8.png");
  auto bmp = read_golden_image("mode_RGB.bmp");
  auto gif = read_golden_image("palette0.gif");
  auto jpeg = read_golden_image("q75_420.jpg");
  const auto put_big = [](auto& bytes, size_t at, std::initializer_list<uint8_t> values) {
    std::copy(values.begin(), values.end(), bytes.begin() + static_cast<ptrdiff_t>(at));
  };
  put_big(png, 16, {0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10});  // 10000 x 10000
  // The header's checksum, so that it is the size that is refused.
  uint32_t crc = 0xffffffffu;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= png[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xedb88320u ^ (crc >> 1) : crc >> 1;
  }
  crc = ~crc;
  for (size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
  put_big(bmp, 18, {0x10, 0x27, 0, 0, 0x10, 0x27, 0, 0});
  put_big(gif, 6, {0x10, 0x27, 0x10, 0x27});
  size_t frame = 2;
  while (!(jpeg[frame] == 0xff && jpeg[frame + 1] == 0xc0)) ++frame;
  put_big(jpeg, frame + 5, {0x27, 0x10, 0x27, 0x10});
  image_fail_allocations_above(1 << 20);
  for (const auto* bytes : {&png, &bmp, &gif, &jpeg}) {
    const Error error = error_of(*bytes);
    EXPECT_EQ(error.status, Status::kImageTooLarge) << error.message;
    EXPECT_NE(error.message.find("10000x10000"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("64000000"), std::string::npos) << error.message;
  }
  image_fail_allocations_above(0);
}

TEST(Decode, MemoryIsBoundedAndItsLackIsReported) {
  for (const char* name : {"q75_420.jpg", "q75_420_progressive.jpg", "color2_8.png", "palette0.gif",
                           "mode_RGB.bmp", "rgb_lossless.webp"}) {
    const auto bytes = read_golden_image(name);
    const Error limited = error_of(bytes, {.bytes_max = 300});
    EXPECT_EQ(limited.status, Status::kImageTooLarge) << name << ": " << limited.message;
    EXPECT_NE(limited.message.find("300"), std::string::npos) << limited.message;
    for (const size_t size : {1, 100, 400, 2000}) {
      image_fail_allocations_above(size);
      const auto image = decode_image(bytes);
      image_fail_allocations_above(0);
      if (size == 1) ASSERT_FALSE(image.has_value()) << name;
      if (!image) EXPECT_EQ(image.error().status, Status::kOutOfMemory) << image.error().message;
    }
    EXPECT_TRUE(decode_image(bytes).has_value()) << name;  // nothing of it stays behind
  }
}

TEST(Decode, PixelLimitIsInclusive) {
  const auto bytes = read_golden_image("palette0.gif");  // 37 x 23
  EXPECT_TRUE(decode_image(bytes, {.pixels_max = 37 * 23}).has_value());
  EXPECT_EQ(error_of(bytes, {.pixels_max = 37 * 23 - 1}).status, Status::kImageTooLarge);
}

TEST(Decode, DamagedChecksumOfPng) {
  auto bytes = read_golden_image("color2_8.png");
  bytes[bytes.size() - 20] ^= 1;  // inside the pixels
  const Error error = error_of(bytes);
  EXPECT_EQ(error.status, Status::kInvalidImage);
  EXPECT_NE(error.message.find("checksum"), std::string::npos) << error.message;
}

TEST(Decode, UnsupportedJpegProcessesAreNamed) {
  for (const uint8_t process : {uint8_t{0xc3}, uint8_t{0xc9}}) {
    auto bytes = read_golden_image("q75_420.jpg");
    size_t frame = 2;
    while (!(bytes[frame] == 0xff && bytes[frame + 1] == 0xc0)) ++frame;
    bytes[frame + 1] = process;
    EXPECT_EQ(error_of(bytes).status, Status::kUnsupportedImage);
    bytes[frame + 1] = 0xc0;
    bytes[frame + 4] = 12;
    const Error error = error_of(bytes);
    EXPECT_EQ(error.status, Status::kUnsupportedImage);
    EXPECT_NE(error.message.find("12 bits"), std::string::npos) << error.message;
  }
}

// A scan is a pass over the picture for a few bytes: files with very many are refused.
TEST(Decode, JpegWithTooManyScans) {
  auto bytes = read_golden_image("q75_420.jpg");
  size_t scan = 2;
  while (!(bytes[scan] == 0xff && bytes[scan + 1] == 0xda)) ++scan;
  const std::vector<uint8_t> again(bytes.begin() + static_cast<ptrdiff_t>(scan), bytes.end() - 2);
  bytes.resize(bytes.size() - 2);
  for (int i = 0; i < 100; ++i) bytes.insert(bytes.end(), again.begin(), again.end());
  bytes.push_back(0xff);
  bytes.push_back(0xd9);
  const Error error = error_of(bytes);
  EXPECT_EQ(error.status, Status::kInvalidImage);
  EXPECT_NE(error.message.find("100 scans"), std::string::npos) << error.message;
}

// Every byte of every kind, set to odd values: an error or a picture, and the same one each time.
TEST(Decode, DamagedBytesNeverCrash) {
  for (const char* name : {"edge_6x17.jpg", "restart_progressive.jpg", "ycck.jpg",
                           "color3_4_interlaced.png", "palette1.gif", "rle4.bmp", "alpha.bmp",
                           "rgba_lossy.webp", "animated.webp", "exif_5.jpg"}) {
    const auto bytes = read_golden_image(name);
    for (size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 400) {
      for (const uint8_t value : {0x00, 0x7f, 0xff}) {
        auto damaged = bytes;
        damaged[at] = value;
        const auto first = decode_image(damaged, {.pixels_max = 1'000'000});
        const auto second = decode_image(damaged, {.pixels_max = 1'000'000});
        ASSERT_EQ(first.has_value(), second.has_value()) << name << " at " << at;
        if (first) {
          ASSERT_EQ(first->rgb.size(), size_t(first->width) * size_t(first->height) * 3);
          ASSERT_EQ(first->rgb, second->rgb) << name << " at " << at;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ocelli
