// Cuts patches and normalises through one table of 256 values a channel.
#include "image/patchify.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace ocelli {
namespace {

using Table = std::array<std::array<float, 256>, 3>;

// Hugging Face's slow processor: v * (1/255) in double, rounded to f32, then mean and std in f32.
Table normalised(const ImageConfig& config) {
  Table table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t v = 0; v < 256; ++v) {
      const float scaled = static_cast<float>(static_cast<double>(v) * (1.0 / 255.0));
      table[c][v] = (scaled - config.mean[c]) / config.std[c];
    }
  }
  return table;
}

}  // namespace

PatchGrid patch_grid(int width, int height, int frames, const ImageConfig& config) {
  OCELLI_CHECK(frames >= 1 && width >= 1 && height >= 1);
  OCELLI_CHECK(width % config.factor() == 0 && height % config.factor() == 0);
  return {.t = (frames + config.temporal_patch - 1) / config.temporal_patch,
          .h = height / config.patch,
          .w = width / config.patch};
}

void patchify(std::span<const Image> frames, const ImageConfig& config, int64_t row_begin,
              int64_t row_end, float* out) {
  OCELLI_CHECK(!frames.empty() && config.channels == 3);
  const int width = frames[0].width, height = frames[0].height;
  const PatchGrid grid = patch_grid(width, height, static_cast<int>(frames.size()), config);
  for (const Image& frame : frames) {
    OCELLI_CHECK(frame.width == width && frame.height == height &&
                 frame.rgb.size() == static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  }
  OCELLI_CHECK(row_begin >= 0 && row_begin <= row_end && row_end <= grid.patches());

  const Table table = normalised(config);
  const int64_t patch = config.patch, merge = config.merge, pair = config.temporal_patch;
  const int64_t plane = patch * patch;  // features of one channel of one frame
  for (int64_t row = row_begin; row < row_end; ++row, out += config.row_features()) {
    // row = (((t * h/merge + block_y) * w/merge + block_x) * merge + in_y) * merge + in_x
    const int64_t in_x = row % merge, in_y = row / merge % merge;
    const int64_t block = row / (merge * merge);
    const int64_t block_x = block % (grid.w / merge);
    const int64_t block_y = block / (grid.w / merge) % (grid.h / merge);
    const int64_t t = block / (int64_t{grid.w / merge} * (grid.h / merge));
    const int64_t x = (block_x * merge + in_x) * patch, y = (block_y * merge + in_y) * patch;
    for (int64_t f = 0; f < pair; ++f) {
      const int64_t index =
          std::min<int64_t>(t * pair + f, static_cast<int64_t>(frames.size()) - 1);
      if (f > 0 && t * pair + f > index) {  // a repeated frame: copy what the one before gave
        for (int64_t c = 0; c < 3; ++c) {
          std::memcpy(out + (c * pair + f) * plane, out + (c * pair + f - 1) * plane,
                      static_cast<size_t>(plane) * sizeof(float));
        }
        continue;
      }
      const Image& frame = frames[static_cast<size_t>(index)];
      for (int64_t py = 0; py < patch; ++py) {
        const uint8_t* pixel = frame.row(static_cast<int>(y + py)) + x * 3;
        float* feature = out + f * plane + py * patch;
        for (int64_t px = 0; px < patch; ++px, pixel += 3, ++feature) {
          for (int64_t c = 0; c < 3; ++c) {
            feature[c * pair * plane] = table[static_cast<size_t>(c)][pixel[c]];
          }
        }
      }
    }
  }
}

void patchify(const Image& image, const ImageConfig& config, int64_t row_begin, int64_t row_end,
              float* out) {
  patchify(std::span<const Image>(&image, 1), config, row_begin, row_end, out);
}

}  // namespace ocelli
