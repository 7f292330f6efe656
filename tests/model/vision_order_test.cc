// The order in which the vision tower works on an image, against lists worked out by hand from the
// reference's rule (windows of 4 x 4 units, row by row).
#include <gtest/gtest.h>

#include <algorithm>

#include "model/vision.h"

namespace ocelli {
namespace {

using Numbers = std::vector<int32_t>;

WindowOrder order_of(int t, int h, int w) { return window_order({t, h, w}, VisionConfig{}); }

TEST(WindowOrder, SixByTenUnits) {
  const WindowOrder order = order_of(1, 12, 20);
  EXPECT_EQ(order.units, (Numbers{0,  1,  2,  3,  10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32,
                                  33, 4,  5,  6,  7,  14, 15, 16, 17, 24, 25, 26, 27, 34, 35,
                                  36, 37, 8,  9,  18, 19, 28, 29, 38, 39, 40, 41, 42, 43, 50,
                                  51, 52, 53, 44, 45, 46, 47, 54, 55, 56, 57, 48, 49, 58, 59}));
  EXPECT_EQ(order.window_end, (Numbers{64, 128, 160, 192, 224, 240}));
  // Not its own inverse, so using one for the other shows.
  Numbers inverse(60);
  for (int place = 0; place < 60; ++place) inverse[order.units[place]] = place;
  EXPECT_EQ(Numbers(inverse.begin(), inverse.begin() + 20),
            (Numbers{0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 4, 5, 6, 7, 20, 21, 22, 23, 34, 35}));
  EXPECT_NE(inverse, order.units);
}

TEST(WindowOrder, WholeWindowsHaveNoEmptyOnes) {
  const WindowOrder order = order_of(1, 16, 16);
  EXPECT_EQ(Numbers(order.units.begin(), order.units.begin() + 29),
            (Numbers{0,  1, 2, 3, 8, 9,  10, 11, 16, 17, 18, 19, 24, 25, 26,
                     27, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28}));
  EXPECT_EQ(order.window_end, (Numbers{64, 128, 192, 256}));
}

TEST(WindowOrder, AnImageInsideOneWindowKeepsItsOrder) {
  const WindowOrder order = order_of(1, 4, 6);
  EXPECT_EQ(order.units, (Numbers{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(order.window_end, Numbers{24});
}

TEST(WindowOrder, FramesAreWindowedEachForItself) {
  const WindowOrder order = order_of(2, 4, 10);
  EXPECT_EQ(order.units,
            (Numbers{0, 1, 2, 3, 5, 6, 7, 8, 4, 9, 10, 11, 12, 13, 15, 16, 17, 18, 14, 19}));
  EXPECT_EQ(order.window_end, (Numbers{32, 40, 72, 80}));
}

TEST(WindowOrder, EveryUnitOnce) {
  for (int h = 2; h <= 26; h += 6) {
    for (int w = 2; w <= 34; w += 4) {
      Numbers units = order_of(1, h, w).units;
      ASSERT_EQ(units.size(), static_cast<size_t>(h * w / 4));
      std::sort(units.begin(), units.end());
      for (size_t i = 0; i < units.size(); ++i) ASSERT_EQ(units[i], static_cast<int32_t>(i));
      EXPECT_EQ(order_of(1, h, w).window_end.back(), h * w);
    }
  }
}

}  // namespace
}  // namespace ocelli
