// patchify: resized RGB -> normalised rows for the vision tower's first matmul. Called by engine/ a
// slice of rows at a time, so that the patch matrix of a large image never exists as a whole. The
// surprise: rows come in merge order (2x2 blocks of patches together), not in raster order.
#pragma once

#include <cstdint>
#include <span>

#include "image/image.h"
#include "tensor/patch_grid.h"

namespace ocelli {

// From preprocessor_config and the vision config; the defaults are those of the released models.
struct ImageConfig {
  int patch = 14;          // px
  int temporal_patch = 2;  // frames
  int merge = 2;           // patches a side that become one token
  int channels = 3;
  int64_t min_pixels = 3136;
  int64_t max_pixels = 12845056;
  float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
  float std[3] = {0.26862954f, 0.26130258f, 0.27577711f};

  int factor() const { return patch * merge; }
  // Features of one patch row, e.g. 1176.
  int row_features() const { return channels * temporal_patch * patch * patch; }
};

// Grid of `frames` pictures of the given size in px; both sides are multiples of config.factor().
// An odd last pair is filled by repeating the last frame, hence t = ceil(frames / temporal_patch).
PatchGrid patch_grid(int width, int height, int frames, const ImageConfig& config);

// Writes patch rows [row_begin, row_end) of frames that all have the same size: out is
// [row_end - row_begin, channels * temporal_patch * patch * patch] f32
// with features in the order (channel, frame of the pair, row, column) and values (v/255 -
// mean)/std in f32. Row r stands for pair r / (h*w), then merge x merge block, then patch in the
// block.
void patchify(std::span<const Image> frames, const ImageConfig& config, int64_t row_begin,
              int64_t row_end, float* out);

// The same for a still image: its only frame counts as every frame of the pair.
void patchify(const Image& image, const ImageConfig& config, int64_t row_begin, int64_t row_end,
              float* out);

}  // namespace ocelli
