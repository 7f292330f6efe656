// PatchGrid: the size of one image or video in ViT patches, shared by image/ (which cuts the
// patches) and model/ (windows, rotary positions). Height and width are even: patches are merged 2
// by 2.
#pragma once

#include <cstdint>

namespace ocelli {

// Images whose sides differ by more are refused.
inline constexpr double kAspectRatioMax = 200.0;

struct PatchGrid {
  int t = 0;  // pairs of frames; 1 for a still image
  int h = 0;  // patch rows of one frame
  int w = 0;  // patch columns of one frame

  int64_t patches() const { return int64_t{t} * h * w; }
  // Rows the decoder sees: one for merge x merge patches.
  int64_t tokens(int merge) const { return patches() / (int64_t{merge} * merge); }
  bool operator==(const PatchGrid&) const = default;
};

}  // namespace ocelli
