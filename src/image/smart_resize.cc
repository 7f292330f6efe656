// smart_resize of the reference preprocessing (qwen-vl-utils, Hugging Face), in doubles and with
// Python's rounding to even. Both branches scale from the original size, not from the rounded one.
#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdio>

#include "image/resize.h"

namespace ocelli {
namespace {

std::string size_text(int height, int width) {
  return std::to_string(width) + "x" + std::to_string(height);
}

}  // namespace

Result<ResizedSize> smart_resize(int height, int width, int factor, int64_t min_pixels,
                                 int64_t max_pixels) {
  if (height < 1 || width < 1) {
    return fail(Status::kInvalidValue,
                "image size " + size_text(height, width) + " px; each side must be at least 1");
  }
  if (factor < 1) {
    return fail(Status::kInvalidValue,
                "resize factor " + std::to_string(factor) + " must be at least 1");
  }
  if (min_pixels < 0 || max_pixels < 1 || min_pixels > max_pixels) {
    return fail(Status::kInvalidValue, "min_pixels " + std::to_string(min_pixels) +
                                           " and max_pixels " + std::to_string(max_pixels) +
                                           " must satisfy 0 <= min_pixels <= max_pixels, 1 <= "
                                           "max_pixels");
  }
  const double h = height, w = width, f = factor;
  const double ratio = std::max(h, w) / std::min(h, w);
  if (ratio > kAspectRatioMax) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", ratio);
    return fail(Status::kImageAspectRatio, "image of " + size_text(height, width) +
                                               " px has an aspect ratio of " + text +
                                               "; at most 200 is accepted");
  }

  // std::nearbyint rounds half to even, as Python's round does.
  double h_out = std::max(f, std::nearbyint(h / f) * f);
  double w_out = std::max(f, std::nearbyint(w / f) * f);
  const double area = h * w;
  if (h_out * w_out > static_cast<double>(max_pixels)) {
    const double shrink = std::sqrt(area / static_cast<double>(max_pixels));
    h_out = std::max(f, std::floor(h / shrink / f) * f);
    w_out = std::max(f, std::floor(w / shrink / f) * f);
  } else if (h_out * w_out < static_cast<double>(min_pixels)) {
    const double grow = std::sqrt(static_cast<double>(min_pixels) / area);
    h_out = std::ceil(h * grow / f) * f;
    w_out = std::ceil(w * grow / f) * f;
  }
  if (h_out > INT_MAX || w_out > INT_MAX) {
    return fail(Status::kImageTooLarge, "image of " + size_text(height, width) +
                                            " px would grow beyond " + std::to_string(INT_MAX) +
                                            " px a side to reach min_pixels " +
                                            std::to_string(min_pixels));
  }
  return ResizedSize{.height = static_cast<int>(h_out), .width = static_cast<int>(w_out)};
}

}  // namespace ocelli
