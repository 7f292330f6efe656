// Vision: the ViT with window attention and the merger, as a job that is done in bounded slices, so
// that streams keep flowing while an image is encoded. Source: transformers'
// Qwen2_5_VisionTransformerPretrainedModel.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "format/manifest.h"
#include "kernels/attention.h"
#include "model/projection.h"
#include "model/weights.h"
#include "tensor/patch_grid.h"

namespace ocelli {

// Order in which the ViT works on an image: units of merge x merge patches, window by window.
struct WindowOrder {
  std::vector<int32_t> units;  // [units] unit number at each place ("window_index")
  std::vector<int32_t>
      window_end;  // cumulative patches after each window ("cu_window_seqlens" without the 0)
};
WindowOrder window_order(const PatchGrid& grid, const VisionConfig& config);

// Writes patch rows [begin, end) in raster order of units, [end-begin, channels*frames*patch*patch]
// f32.
using PatchSource = std::function<void(int64_t begin, int64_t end, float* out)>;

// Shared by all jobs: scratch for one slice of rows.
class VisionTower {
 public:
  static constexpr int kSliceRows = 256;
  static int64_t bytes(const VisionConfig& config, bool fast);
  static Result<VisionTower> make(const VisionConfig& config, const Weights& weights, Pool& pool,
                                  bool fast);

 private:
  friend class VisionJob;
  const VisionConfig* config_ = nullptr;
  const Weights* weights_ = nullptr;
  Projection projection_;
  KvFormat kv_format_ = KvFormat::kF32;
  Buffer<float> normed_, gate_, up_;  // [slice, widest]
};

class VisionJob {
 public:
  // Bytes a job of `patches` patches holds until it is done (the merged rows outlive it).
  static int64_t bytes(const VisionConfig& config, int64_t patches, bool fast);
  static Result<VisionJob> make(VisionTower& tower, const PatchGrid& grid, PatchSource patches);

  // Works for about `budget` multiply-adds, at least one slice, or until the weights end that have
  // come so far. True when the job is done.
  bool advance(int64_t budget);
  bool waits() const;  // for weights: advance() could do nothing
  int64_t work_done() const { return work_done_; }
  int64_t work_total() const;  // multiply-adds
  // Merged rows in raster order (t, y, x), [tokens, out] f32. Only when done; may be called once.
  Buffer<float> take_merged() { return std::move(merged_); }

 private:
  enum class Stage { kEmbed, kQkv, kAttention, kMlp, kMerge, kDone };
  int64_t slice();  // one slice of the current stage; its multiply-adds
  void embed(int64_t begin, int64_t rows);
  void qkv(int64_t begin, int64_t rows);
  void attention(int64_t begin, int64_t rows);
  void mlp(int64_t begin, int64_t rows);
  void merge(int64_t begin, int64_t rows);
  int64_t stage_work(Stage stage) const;            // multiply-adds per row
  int64_t attention_work(bool whole_frames) const;  // of kAttention, in one kind of block
  std::span<const int32_t> segment_ends() const;
  // First row of a segment, and its first block of keys and values.
  int segment_begin(int64_t segment) const;
  int segment_block(int64_t segment) const;

  VisionTower* tower_ = nullptr;
  PatchGrid grid_;
  PatchSource patches_;
  WindowOrder order_;
  std::vector<int32_t> place_;      // [units] place of each unit, the inverse of order_.units
  std::vector<int32_t> frame_end_;  // cumulative patches after each frame pair
  std::vector<float> cos_, sin_;    // [max(h, w), C/4]
  std::vector<int32_t> blocks_;     // 0, 1, 2, ...: a segment's blocks follow each other
  Buffer<float> x_, q_, mixed_, merged_;
  Buffer<uint8_t> kv_memory_;
  KvLayer kv_;  // keys and values of the current block of the ViT
  Stage stage_ = Stage::kEmbed;
  int block_ = 0;
  int64_t row_ = 0;
  int64_t work_done_ = 0;
};

}  // namespace ocelli
