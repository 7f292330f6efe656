// Upsampling rules (libjpeg-turbo 2.1 and later): 2:1 along one or both axes interpolates with
// weights 3:1 towards the nearer sample, and rounding alternates between neighbours; components of
// at most 2 columns and all other ratios repeat samples, except 1:2 (rows only), which interpolates
// at any width.
#include "image/jpeg_color.h"

#include <algorithm>

namespace ocelli {
namespace {

void repeat_columns(const uint8_t* in, int width, int times, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    for (int i = 0; i < times; ++i) *out++ = in[x];
  }
}

// width > 2
void widen(const uint8_t* in, int width, uint8_t* out) {
  out[0] = in[0];
  out[1] = static_cast<uint8_t>((in[0] * 3 + in[1] + 2) >> 2);
  for (int x = 1; x < width - 1; ++x) {
    out[2 * x] = static_cast<uint8_t>((in[x] * 3 + in[x - 1] + 1) >> 2);
    out[2 * x + 1] = static_cast<uint8_t>((in[x] * 3 + in[x + 1] + 2) >> 2);
  }
  out[2 * width - 2] = static_cast<uint8_t>((in[width - 1] * 3 + in[width - 2] + 1) >> 2);
  out[2 * width - 1] = in[width - 1];
}

// The same on sums that carry a factor of 4 from the vertical step. width > 2
void widen_sums(const uint16_t* in, int width, uint8_t* out) {
  out[0] = static_cast<uint8_t>((in[0] * 4 + 8) >> 4);
  out[1] = static_cast<uint8_t>((in[0] * 3 + in[1] + 7) >> 4);
  for (int x = 1; x < width - 1; ++x) {
    out[2 * x] = static_cast<uint8_t>((in[x] * 3 + in[x - 1] + 8) >> 4);
    out[2 * x + 1] = static_cast<uint8_t>((in[x] * 3 + in[x + 1] + 7) >> 4);
  }
  out[2 * width - 2] = static_cast<uint8_t>((in[width - 1] * 3 + in[width - 2] + 8) >> 4);
  out[2 * width - 1] = static_cast<uint8_t>((in[width - 1] * 4 + 7) >> 4);
}

constexpr uint8_t clip(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

// ITU-R BT.601 with 16 fraction bits; JFIF 1.02.
struct Rgb {
  uint8_t r, g, b;
};
inline Rgb from_ycbcr(int y, int cb, int cr) {
  constexpr int kHalf = 1 << 15;
  cb -= 128;
  cr -= 128;
  return {clip(y + ((91881 * cr + kHalf) >> 16)),
          clip(y + ((-22554 * cb - 46802 * cr + kHalf) >> 16)),
          clip(y + ((116130 * cb + kHalf) >> 16))};
}

constexpr int times_255th(int a, int b) {  // a * b / 255, rounded
  const int product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// c, m, y, k: amounts of ink, 0..255.
inline Rgb from_cmyk(int c, int m, int y, int k) {
  const int light = 255 - k;
  return {clip(light - times_255th(c, light)), clip(light - times_255th(m, light)),
          clip(light - times_255th(y, light))};
}

}  // namespace

Result<JpegUpsampler> JpegUpsampler::create(const JpegPlane& plane) {
  JpegUpsampler upsampler;
  upsampler.plane_ = plane;
  const size_t width = static_cast<size_t>(plane.width);
  OCELLI_TRY(upsampler.row_, make_block<uint8_t>(width * static_cast<size_t>(plane.h_expand),
                                                 "a row of JPEG samples"));
  OCELLI_TRY(upsampler.sums_, make_block<uint16_t>(width, "a row of JPEG samples"));
  return upsampler;
}

const uint8_t* JpegUpsampler::row(int y) {
  const auto& p = plane_;
  const auto sample_row = [&](int i) {
    return p.samples + static_cast<ptrdiff_t>(std::clamp(i, 0, p.height - 1)) * p.stride;
  };
  const int nearest = y / p.v_expand;
  const uint8_t* near = sample_row(nearest);
  if (p.h_expand == 1 && p.v_expand == 1) return near;

  const bool tall = p.v_expand == 2;
  const bool upper = y % 2 == 0;
  const uint8_t* far = tall ? sample_row(upper ? nearest - 1 : nearest + 1) : nullptr;
  if (p.h_expand == 1 && tall) {
    const int bias = upper ? 1 : 2;
    for (int x = 0; x < p.width; ++x) {
      row_[x] = static_cast<uint8_t>((near[x] * 3 + far[x] + bias) >> 2);
    }
  } else if (p.h_expand == 2 && p.v_expand == 1 && p.width > 2) {
    widen(near, p.width, row_.get());
  } else if (p.h_expand == 2 && tall && p.width > 2) {
    for (int x = 0; x < p.width; ++x) sums_[x] = static_cast<uint16_t>(near[x] * 3 + far[x]);
    widen_sums(sums_.get(), p.width, row_.get());
  } else {
    repeat_columns(near, p.width, p.h_expand, row_.get());
  }
  return row_.get();
}

void jpeg_to_rgb(JpegColor color, const uint8_t* const components[4], int width, uint8_t* rgb) {
  const uint8_t *c0 = components[0], *c1 = components[1], *c2 = components[2], *c3 = components[3];
  const auto each = [&](auto pixel) {
    for (int x = 0; x < width; ++x) {
      const Rgb value = pixel(x);
      rgb[3 * x] = value.r;
      rgb[3 * x + 1] = value.g;
      rgb[3 * x + 2] = value.b;
    }
  };
  switch (color) {
    case JpegColor::kGrey:
      return each([&](int x) { return Rgb{c0[x], c0[x], c0[x]}; });
    case JpegColor::kRgb:
      return each([&](int x) { return Rgb{c0[x], c1[x], c2[x]}; });
    case JpegColor::kYcbcr:
      return each([&](int x) { return from_ycbcr(c0[x], c1[x], c2[x]); });
    case JpegColor::kCmyk:
      return each(
          [&](int x) { return from_cmyk(255 - c0[x], 255 - c1[x], 255 - c2[x], 255 - c3[x]); });
    case JpegColor::kYcck:
      // libjpeg turns YCC into 255 - RGB, Pillow inverts that back: the inks are 255 - (255 - RGB).
      return each([&](int x) {
        const Rgb ink = from_ycbcr(c0[x], c1[x], c2[x]);
        return from_cmyk(ink.r, ink.g, ink.b, 255 - c3[x]);
      });
  }
}

}  // namespace ocelli
