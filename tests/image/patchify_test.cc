// patchify: values, order of rows and features, slices, frames.
#include "image/patchify.h"

#include <gtest/gtest.h>

#include "image/fixtures.h"

namespace ocelli {
namespace {

std::vector<float> all_rows(std::span<const Image> frames, const ImageConfig& config) {
  const PatchGrid grid =
      patch_grid(frames[0].width, frames[0].height, static_cast<int>(frames.size()), config);
  std::vector<float> out(static_cast<size_t>(grid.patches() * config.row_features()));
  patchify(frames, config, 0, grid.patches(), out.data());
  return out;
}

TEST(Patchify, Grid) {
  const ImageConfig config;
  EXPECT_EQ(patch_grid(84, 56, 1, config), (PatchGrid{1, 4, 6}));
  EXPECT_EQ(patch_grid(84, 56, 2, config), (PatchGrid{1, 4, 6}));
  EXPECT_EQ(patch_grid(84, 56, 5, config), (PatchGrid{3, 4, 6}));
  EXPECT_EQ(patch_grid(84, 56, 5, config).tokens(config.merge), 18);
  EXPECT_EQ(config.row_features(), 1176);
}

// The values as worked out in double; the exact f32 ones are OrderOfRowsAndFeatures'.
TEST(Patchify, NormalisesLikeTheReference) {
  const ImageConfig config;
  Image image{.width = 28, .height = 28, .rgb = {}};
  const float expected[3][3] = {{-1.79226253f, -1.75209713f, -1.48021977f},
                                {0.0763360735f, 0.168897239f, 0.339948643f},
                                {1.93033625f, 2.07488384f, 2.14589699f}};
  const uint8_t levels[3] = {0, 128, 255};
  for (int i = 0; i < 3; ++i) {
    image.rgb.assign(28 * 28 * 3, levels[i]);
    const auto rows = all_rows({&image, 1}, config);
    for (size_t c = 0; c < 3; ++c) {
      for (size_t f = 0; f < 392; ++f) ASSERT_NEAR(rows[c * 392 + f], expected[i][c], 1e-6);
    }
  }
}

// Every feature against the definition: which pixel of which frame it is.
TEST(Patchify, OrderOfRowsAndFeatures) {
  const ImageConfig config;
  const int origins[12][2] = {{0, 0},   {0, 14},  {14, 0}, {14, 14}, {0, 28},  {0, 42},
                              {14, 28}, {14, 42}, {0, 56}, {0, 70},  {14, 56}, {14, 70}};
  const Image frames[3] = {noise(84, 56, 1), noise(84, 56, 2), noise(84, 56, 3)};
  const auto rows = all_rows(frames, config);
  ASSERT_EQ(rows.size(), 48u * 1176u);
  for (size_t row = 0; row < 48; ++row) {
    const size_t pair = row / 24, in_frame = row % 24;
    const size_t y0 = static_cast<size_t>(origins[in_frame % 12][0]) + 28 * (in_frame / 12);
    const size_t x0 = static_cast<size_t>(origins[in_frame % 12][1]);
    for (size_t c = 0; c < 3; ++c) {
      for (size_t t = 0; t < 2; ++t) {
        const Image& frame = frames[std::min<size_t>(pair * 2 + t, 2)];  // the last one twice
        for (size_t y = 0; y < 14; ++y) {
          for (size_t x = 0; x < 14; ++x) {
            const uint8_t value = frame.rgb[((y0 + y) * 84 + x0 + x) * 3 + c];
            const float scaled = static_cast<float>(value * (1.0 / 255.0));
            const float expected = (scaled - config.mean[c]) / config.std[c];
            ASSERT_EQ(rows[row * 1176 + ((c * 2 + t) * 14 + y) * 14 + x], expected)
                << row << " " << c << " " << t << " " << y << " " << x;
          }
        }
      }
    }
  }
}

TEST(Patchify, SlicesAndStillImagesAgreeWithTheWhole) {
  const ImageConfig config;
  const Image image = noise(112, 84, 9);
  const Image twice[2] = {image, image};
  const auto whole = all_rows(twice, config);
  std::vector<float> pieces(whole.size());
  for (int64_t begin = 0, step = 1; begin < 48; begin += step, step = step % 7 + 1) {
    const int64_t end = std::min<int64_t>(begin + step, 48);
    patchify(image, config, begin, end, pieces.data() + begin * config.row_features());
  }
  EXPECT_EQ(whole, pieces);
}

}  // namespace
}  // namespace ocelli
