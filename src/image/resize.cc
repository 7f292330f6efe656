// Pillow's bicubic resampling: weights in double, rounded to 22 fraction bits; one axis, back to
// bytes, then the other. Columns go first, except where Pillow 13 turns the order around
// (columns_first below): rounding in between makes that visible. Integer sums make the order of
// additions irrelevant, so both passes run along many lanes at once: the horizontal one across 8
// rows, the vertical one along a row.
#include "image/resize.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "image/memory.h"

namespace ocelli {
namespace {

constexpr int kWeightBits = 22;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);
constexpr int kRowBlock = 8;  // rows that the horizontal pass takes together
constexpr int kLanes = kRowBlock * 3;
constexpr size_t kSumBlock = 3072;  // sums of the vertical pass that stay in the first cache

// Catmull-Rom-like kernel with a = -0.5 (Keys 1981). The order of operations is part of the
// contract.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// For each output position the first input it reads, how many, and their weights.
struct Axis {
  int taps_max = 0;
  Block<int> first;        // [out]
  Block<int> count;        // [out]
  Block<int32_t> weights;  // [out, taps_max], 22 fraction bits
};

Result<Axis> make_axis(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.taps_max = static_cast<int>(std::ceil(support)) * 2 + 1;
  const size_t positions = static_cast<size_t>(out), taps = static_cast<size_t>(axis.taps_max);
  OCELLI_TRY(axis.first, make_block<int>(positions, "resize weights"));
  OCELLI_TRY(axis.count, make_block<int>(positions, "resize weights"));
  OCELLI_TRY(axis.weights, make_block<int32_t>(positions * taps, "resize weights"));
  OCELLI_TRY(auto exact, make_block<double>(taps, "resize weights"));
  for (size_t i = 0; i < positions; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), in);
    double sum = 0.0;
    for (int j = begin; j < end; ++j) {
      exact[j - begin] = bicubic((j - center + 0.5) * inverse);
      sum += exact[j - begin];
    }
    axis.first[i] = begin;
    axis.count[i] = end - begin;
    for (int j = 0; j < end - begin; ++j) {
      const double weight = (sum != 0.0 ? exact[j] / sum : exact[j]) * (1 << kWeightBits);
      axis.weights[i * taps + static_cast<size_t>(j)] =
          static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return axis;
}

inline uint8_t clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// in [rows, in_width, 3] u8 -> out [rows, width, 3] u8.
Result<void> resample_columns(const uint8_t* in, int in_width, const Axis& axis, int width,
                              int rows, uint8_t* out) {
  const size_t columns = static_cast<size_t>(in_width);
  // Columns of 8 rows side by side: [in_width, 8 * 3] u8.
  OCELLI_TRY(auto block, make_block<uint8_t>(columns * kLanes, "rows to resize"));
  const size_t taps = static_cast<size_t>(axis.taps_max);
  const size_t pitch = static_cast<size_t>(width) * 3;
  for (int y = 0; y < rows; y += kRowBlock) {
    const int height = std::min(kRowBlock, rows - y);
    for (int r = 0; r < height; ++r) {
      const uint8_t* source = in + static_cast<size_t>(y + r) * columns * 3;
      for (size_t x = 0; x < columns; ++x) {
        for (size_t c = 0; c < 3; ++c)
          block[x * kLanes + static_cast<size_t>(r) * 3 + c] = source[x * 3 + c];
      }
    }
    for (size_t x = 0; x < static_cast<size_t>(width); ++x) {
      const uint8_t* tap = block.get() + static_cast<size_t>(axis.first[x]) * kLanes;
      const int32_t* weights = axis.weights.get() + x * taps;
      int32_t sums[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] = kHalf;
      for (int j = 0; j < axis.count[x]; ++j, tap += kLanes) {
        for (int lane = 0; lane < kLanes; ++lane) sums[lane] += tap[lane] * weights[j];
      }
      for (int r = 0; r < height; ++r) {
        uint8_t* pixel = out + static_cast<size_t>(y + r) * pitch + x * 3;
        for (int c = 0; c < 3; ++c) pixel[c] = clip(sums[r * 3 + c]);
      }
    }
  }
  return {};
}

// in [rows, row_bytes] u8, whose first row is row `row_begin` of the axis -> out [outputs,
// row_bytes] u8.
void resample_rows(const uint8_t* in, size_t row_bytes, int row_begin, const Axis& axis, int height,
                   uint8_t* out) {
  int32_t sums[kSumBlock];
  for (int y = 0; y < height; ++y, out += row_bytes) {
    const uint8_t* first = in + static_cast<size_t>(axis.first[y] - row_begin) * row_bytes;
    const int32_t* weights =
        axis.weights.get() + static_cast<size_t>(y) * static_cast<size_t>(axis.taps_max);
    for (size_t at = 0; at < row_bytes; at += kSumBlock) {
      const size_t count = std::min(kSumBlock, row_bytes - at);
      std::fill_n(sums, count, kHalf);
      for (int j = 0; j < axis.count[y]; ++j) {
        const uint8_t* row = first + static_cast<size_t>(j) * row_bytes + at;
        const int32_t weight = weights[j];
        for (size_t i = 0; i < count; ++i) sums[i] += row[i] * weight;
      }
      for (size_t i = 0; i < count; ++i) out[at + i] = clip(sums[i]);
    }
  }
}

// Pillow 13 resamples rows first when the height shrinks by more than twice what the width does, in
// px; up to 12.1 columns always went first.
bool columns_first(const Image& image, int width, int height) {
  const int64_t rows_lost = int64_t{image.height} - height;
  const int64_t columns_lost = int64_t{image.width} - width;
  return rows_lost <= 0 || rows_lost <= 2 * columns_lost;
}

}  // namespace

Result<Image> resize_bicubic(const Image& image, int width, int height) {
  const size_t columns_in = static_cast<size_t>(image.width),
               rows_in = static_cast<size_t>(image.height);
  OCELLI_CHECK(image.width >= 1 && image.height >= 1 &&
               image.rgb.size() == columns_in * rows_in * 3);
  if (width < 1 || height < 1) {
    return fail(Status::kInvalidValue, "cannot resize to " + std::to_string(width) + "x" +
                                           std::to_string(height) +
                                           " px; each side must be at least 1");
  }
  const size_t pitch_in = columns_in * 3, pitch = static_cast<size_t>(width) * 3;
  Image resized{.width = width, .height = height, .rgb = {}};
  OCELLI_TRY_VOID(
      resize_vector(resized.rgb, pitch * static_cast<size_t>(height), "a resized image"));
  uint8_t* out = resized.rgb.data();
  const char* between = "an image between two passes of resizing";

  const bool columns_change = image.width != width, rows_change = image.height != height;
  if (!columns_change && !rows_change) {
    std::copy(image.rgb.begin(), image.rgb.end(), out);
    return resized;
  }
  Axis columns, rows;
  if (columns_change) {
    OCELLI_TRY(columns, make_axis(image.width, width));
  }
  if (rows_change) {
    OCELLI_TRY(rows, make_axis(image.height, height));
  }
  if (!rows_change) {
    OCELLI_TRY_VOID(resample_columns(image.row(0), image.width, columns, width, height, out));
  } else if (!columns_change) {
    resample_rows(image.row(0), pitch, 0, rows, height, out);
  } else if (columns_first(image, width, height)) {
    const int begin = rows.first[0];
    const int count = rows.first[height - 1] + rows.count[height - 1] - begin;
    OCELLI_TRY(auto narrow, make_block<uint8_t>(pitch * static_cast<size_t>(count), between));
    OCELLI_TRY_VOID(
        resample_columns(image.row(begin), image.width, columns, width, count, narrow.get()));
    resample_rows(narrow.get(), pitch, begin, rows, height, out);
  } else {
    OCELLI_TRY(auto low, make_block<uint8_t>(pitch_in * static_cast<size_t>(height), between));
    resample_rows(image.row(0), pitch_in, 0, rows, height, low.get());
    OCELLI_TRY_VOID(resample_columns(low.get(), image.width, columns, width, height, out));
  }
  return resized;
}

}  // namespace ocelli
