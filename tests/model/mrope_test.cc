// Positions and rotation angles, against values worked out from the reference's formulas (theta
// 1e6, heads of 128, sections 16 24 24).
#include "model/mrope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ocelli {
namespace {

using Positions = std::vector<Position>;

Position all(int32_t at) { return {at, at, at}; }

TEST(RopePositions, TextCounts) {
  const PromptPositions out = rope_positions(4, {}, 2, 2.0);
  EXPECT_EQ(out.positions, (Positions{all(0), all(1), all(2), all(3)}));
  EXPECT_EQ(out.rope_delta, 0);
  EXPECT_TRUE(rope_positions(0, {}, 2, 2.0).positions.empty());
}

TEST(RopePositions, TextImageText) {
  const VisionSpan spans[] = {{3, {1, 4, 6}, 0.0}};
  const PromptPositions out = rope_positions(11, spans, 2, 2.0);
  EXPECT_EQ(out.positions, (Positions{all(0),
                                      all(1),
                                      all(2),
                                      all(3),
                                      {3, 3, 4},
                                      {3, 3, 5},
                                      {3, 4, 3},
                                      {3, 4, 4},
                                      {3, 4, 5},
                                      all(6),
                                      all(7)}));
  EXPECT_EQ(out.rope_delta, -3);
}

TEST(RopePositions, FramesMoveWithTheirSeconds) {
  const VisionSpan whole[] = {{2, {2, 4, 4}, 1.0}};
  const PromptPositions one = rope_positions(11, whole, 2, 2.0);
  EXPECT_EQ(one.positions, (Positions{all(0),
                                      all(1),
                                      all(2),
                                      {2, 2, 3},
                                      {2, 3, 2},
                                      {2, 3, 3},
                                      {4, 2, 2},
                                      {4, 2, 3},
                                      {4, 3, 2},
                                      {4, 3, 3},
                                      all(5)}));
  EXPECT_EQ(one.rope_delta, -5);
  // Truncated after the product, not before: offsets 0, 1, 3.
  const VisionSpan part[] = {{2, {3, 2, 4}, 0.75}};
  const PromptPositions two = rope_positions(9, part, 2, 2.0);
  EXPECT_EQ(
      two.positions,
      (Positions{
          all(0), all(1), all(2), {2, 2, 3}, {3, 2, 2}, {3, 2, 3}, {5, 2, 2}, {5, 2, 3}, all(6)}));
  EXPECT_EQ(two.rope_delta, -2);
}

TEST(RopePositions, SeveralImages) {
  const VisionSpan spans[] = {{2, {1, 2, 4}, 0.0}, {6, {1, 4, 4}, 0.0}};
  const PromptPositions out = rope_positions(11, spans, 2, 2.0);
  EXPECT_EQ(out.positions, (Positions{all(0),
                                      all(1),
                                      all(2),
                                      {2, 2, 3},
                                      all(4),
                                      all(5),
                                      all(6),
                                      {6, 6, 7},
                                      {6, 7, 6},
                                      {6, 7, 7},
                                      all(8)}));
  EXPECT_EQ(out.rope_delta, -2);
  const VisionSpan last[] = {{1, {1, 8, 2}, 0.0}};  // ends with an image
  EXPECT_EQ(rope_positions(5, last, 2, 2.0).rope_delta, 0);
}

TextConfig qwen() {
  TextConfig config;
  config.head_dim = 128;
  config.rope_theta = 1e6;
  config.mrope_section[0] = 16;
  config.mrope_section[1] = config.mrope_section[2] = 24;
  return config;
}

struct Angles {
  float cos[64], sin[64];
  // Angles below pi only.
  double at(int pair) const { return std::atan2(double{sin[pair]}, double{cos[pair]}); }
  double magnitude(int pair) const { return std::hypot(double{sin[pair]}, double{cos[pair]}); }
};

Angles angles(const TextConfig& config, const Position& position) {
  Angles out;
  MropeTable(config).fill(position, out.cos, out.sin);
  return out;
}

TEST(MropeTable, FrequenciesFallWithTheta) {
  const Angles one = angles(qwen(), all(1));
  const std::pair<int, double> expected[] = {
      {0, 1.0},           {1, 0.805842188},    {2, 0.649381632},    {15, 0.0392418976},
      {16, 0.0316227766}, {39, 2.20673407e-4}, {40, 1.77827941e-4}, {63, 1.24093776e-6}};
  for (const auto& [pair, frequency] : expected) {
    EXPECT_NEAR(one.at(pair) / frequency, 1.0, 1e-6) << pair;
    EXPECT_NEAR(one.magnitude(pair), 1.0, 1e-6);
  }
}

TEST(MropeTable, EachSectionTurnsWithItsAxis) {
  const Angles mixed = angles(qwen(), {3, 4, 5});
  EXPECT_NEAR(mixed.at(0), 3.0, 1e-6);
  EXPECT_NEAR(mixed.at(16), 0.126491106, 1e-7);
  EXPECT_NEAR(mixed.at(40), 8.89139705e-4, 1e-9);
  for (int axis = 0; axis < 3; ++axis) {
    Position position = all(0);
    position[axis] = 1;
    const Angles only = angles(qwen(), position);
    const int begin[] = {0, 16, 40, 64};
    for (int pair = 0; pair < 64; ++pair) {
      const bool turns = pair >= begin[axis] && pair < begin[axis + 1];
      EXPECT_EQ(only.sin[pair] != 0, turns) << axis << " " << pair;
    }
  }
}

TEST(MropeTable, FarPositionsAreRoundedOnceOnly) {
  // f32 product of position and frequency, then a sine that is exact to f32.
  const Angles far = angles(qwen(), all(131071));
  const float angle = 131071.0f * (1.0f / static_cast<float>(std::pow(1e6, 2.0 / 128.0)));
  EXPECT_FLOAT_EQ(far.sin[1], static_cast<float>(std::sin(double{angle})));
  EXPECT_FLOAT_EQ(far.cos[0], static_cast<float>(std::cos(131071.0)));
}

TEST(MropeTable, YarnInterpolatesTheSlowPairs) {
  TextConfig config = qwen();
  config.yarn = true;
  config.yarn_factor = 4;
  config.yarn_original_context = 32768;
  const Angles one = angles(config, all(1));
  const std::pair<int, double> expected[] = {
      {0, 1.0}, {23, 0.00697830585}, {24, 0.00537532149}, {30, 0.00106436098}, {40, 4.44569853e-5}};
  for (const auto& [pair, frequency] : expected) {
    EXPECT_NEAR(one.at(pair) / frequency, 1.0, 1e-6) << pair;
    EXPECT_NEAR(one.magnitude(pair), 1.13862944, 1e-6) << pair;
  }
}

}  // namespace
}  // namespace ocelli
