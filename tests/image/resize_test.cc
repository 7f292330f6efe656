// smart_resize against the reference's table and Python's rounding; resize_bicubic against Pillow's
// bytes.
#include "image/resize.h"

#include <gtest/gtest.h>

#include "image/fixtures.h"
#include "image/memory.h"

namespace ocelli {
namespace {

constexpr int64_t kMin = 3136, kMax = 12845056;  // preprocessor_config of the released models
constexpr int64_t kServedMin = 200704, kServedMax = 1003520;  // 256 to 1280 tokens

struct Row {
  int height, width;
  ResizedSize wide, served;
};

TEST(SmartResize, Table) {
  const Row rows[] = {
      {1365, 2048, {1372, 2044}, {812, 1204}}, {1080, 1920, {1092, 1932}, {728, 1316}},
      {3508, 2480, {3500, 2492}, {1176, 840}}, {6000, 4000, {4368, 2912}, {1204, 812}},
      {3000, 4000, {2996, 4004}, {840, 1148}}, {8000, 8000, {3584, 3584}, {980, 980}},
      {100, 100, {112, 112}, {448, 448}},      {42, 70, {56, 56}, {364, 588}},
      {20, 20, {56, 56}, {448, 448}},          {14, 14, {56, 56}, {448, 448}},
      {2000, 10, {1988, 28}, {6356, 56}},      {1, 200, {28, 196}, {56, 6356}},
  };
  for (const Row& row : rows) {
    const auto wide = smart_resize(row.height, row.width, 28, kMin, kMax);
    const auto served = smart_resize(row.height, row.width, 28, kServedMin, kServedMax);
    ASSERT_TRUE(wide && served) << row.height << "x" << row.width;
    EXPECT_EQ(*wide, row.wide) << wide->height << "x" << wide->width;
    EXPECT_EQ(*served, row.served) << served->height << "x" << served->width;
  }
}

TEST(SmartResize, RoundsHalfToEven) {
  const std::pair<int, int> sides[] = {{42, 56}, {70, 56}, {98, 112}, {126, 112}, {154, 168}};
  for (const auto& [side, rounded] : sides) {
    const auto size = smart_resize(side, 280, 28, 784, kMax);
    ASSERT_TRUE(size);
    EXPECT_EQ(size->height, rounded) << side;
  }
}

TEST(SmartResize, RefusesLongStrips) {
  EXPECT_TRUE(smart_resize(1, 200, 28, kMin, kMax));
  for (const auto& [height, width] : {std::pair{1, 201}, std::pair{201, 1}, std::pair{28, 6000}}) {
    const auto size = smart_resize(height, width, 28, kMin, kMax);
    ASSERT_FALSE(size);
    EXPECT_EQ(size.error().status, Status::kImageAspectRatio);
    EXPECT_NE(size.error().message.find("200"), std::string::npos);
  }
  EXPECT_NE(smart_resize(1, 201, 28, kMin, kMax).error().message.find("201"), std::string::npos);
}

TEST(SmartResize, SidesNeverVanish) {
  const auto size = smart_resize(20000, 100, 28, 784, 3136);  // both sides would round to 0 units
  ASSERT_TRUE(size);
  EXPECT_EQ(size->width, 28);
  EXPECT_GE(size->height, 28);
}

TEST(SmartResize, RefusesNonsense) {
  EXPECT_EQ(smart_resize(0, 10, 28, kMin, kMax).error().status, Status::kInvalidValue);
  EXPECT_EQ(smart_resize(10, 10, 0, kMin, kMax).error().status, Status::kInvalidValue);
  EXPECT_EQ(smart_resize(10, 10, 28, kMax, kMin).error().status, Status::kInvalidValue);
  EXPECT_EQ(smart_resize(1, 200, 28, INT64_MAX, INT64_MAX).error().status, Status::kImageTooLarge);
}

std::vector<int> reds(const Image& image) {
  std::vector<int> values;
  for (size_t i = 0; i < image.rgb.size(); i += 3) values.push_back(image.rgb[i]);
  return values;
}

Image grey_row(const std::vector<int>& values) {
  Image image{.width = static_cast<int>(values.size()), .height = 1, .rgb = {}};
  for (const int value : values) image.rgb.insert(image.rgb.end(), 3, static_cast<uint8_t>(value));
  return image;
}

TEST(ResizeBicubic, RowsWorkedOutByHand) {
  EXPECT_EQ(reds(*resize_bicubic(grey_row({0, 10, 200, 255, 30, 90, 128, 7}), 5, 1)),
            (std::vector<int>{0, 170, 148, 85, 57}));
  EXPECT_EQ(reds(*resize_bicubic(grey_row({0, 255, 255, 0}), 8, 1)),
            (std::vector<int>{0, 48, 199, 255, 255, 199, 48, 0}));
}

TEST(ResizeBicubic, EqualsPillow) {
  const auto& rows = golden_images()["resizes"];
  ASSERT_GT(rows.size(), 50u);
  for (const auto& row : rows) {
    const int width = row["from"][0].get<int>(), height = row["from"][1].get<int>();
    const Image image = noise(width, height, static_cast<uint32_t>(width * 1000 + height));
    const auto resized = resize_bicubic(image, row["to"][0].get<int>(), row["to"][1].get<int>());
    ASSERT_TRUE(resized) << row.dump();
    EXPECT_EQ(resized->width, row["to"][0].get<int>());
    EXPECT_EQ(resized->height, row["to"][1].get<int>());
    EXPECT_EQ(fnv1a(resized->rgb), row["fnv1a"].get<std::string>()) << row.dump();
  }
}

TEST(ResizeBicubic, FlatStaysFlat) {
  Image image{.width = 33, .height = 21, .rgb = {}};
  image.rgb.assign(33 * 21 * 3, 200);
  const auto resized = resize_bicubic(image, 84, 56);
  ASSERT_TRUE(resized);
  for (const uint8_t value : resized->rgb) ASSERT_EQ(value, 200);
}

TEST(ResizeBicubic, Errors) {
  const Image image = noise(64, 64, 1);
  EXPECT_EQ(resize_bicubic(image, 0, 5).error().status, Status::kInvalidValue);
  image_fail_allocations_above(1000);
  const auto resized = resize_bicubic(image, 56, 56);
  image_fail_allocations_above(0);
  ASSERT_FALSE(resized);
  EXPECT_EQ(resized.error().status, Status::kOutOfMemory);
}

}  // namespace
}  // namespace ocelli
