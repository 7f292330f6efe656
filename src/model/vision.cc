// Rows are kept in window order from the patch embedding to the merger; only the merger scatters
// back. Full-attention blocks use the same order: attention over a whole frame does not care about
// it.
#include "model/vision.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/ops.h"

namespace ocelli {
namespace {

int64_t patch_values(const VisionConfig& c) {
  return int64_t{c.in_channels} * c.temporal_patch * c.patch * c.patch;
}

// Values of the widest row that any stage writes into the scratch.
int widest_row(const VisionConfig& c) {
  const int merged = c.hidden * c.merge * c.merge;
  return std::max({static_cast<int>(patch_values(c)), merged, c.intermediate, 3 * c.hidden, c.out});
}

// Reference compute attends in f32.
KvFormat kv_format(const VisionConfig& c, bool fast) {
  return fast && c.hidden / c.heads % kKvInt8Multiple == 0 ? KvFormat::kInt8 : KvFormat::kF32;
}

// Blocks of tokens for the keys and values of one block of the ViT: each segment begins a new one.
int64_t kv_blocks(int64_t patches, int64_t segments) { return patches / kKvBlock + segments; }

// Windows of an image of `units` units, at most: whole ones, and those cut at two edges, which the
// longest allowed shape has most of.
int64_t segments_max(const VisionConfig& c, int64_t units) {
  const double side = c.window / c.merge / c.patch, area = static_cast<double>(units);
  const double edges = std::sqrt(area * kAspectRatioMax) + std::sqrt(area / kAspectRatioMax);
  return static_cast<int64_t>(area / (side * side) + edges / side) + 2;
}

}  // namespace

WindowOrder window_order(const PatchGrid& grid, const VisionConfig& config) {
  const int side = config.window / config.merge / config.patch;  // units
  const int rows = grid.h / config.merge, columns = grid.w / config.merge;
  const int patches_per_unit = config.merge * config.merge;
  WindowOrder order;
  order.units.reserve(static_cast<size_t>(grid.t) * rows * columns);
  for (int t = 0; t < grid.t; ++t) {
    for (int top = 0; top < rows; top += side) {
      for (int left = 0; left < columns; left += side) {
        for (int y = top; y < std::min(top + side, rows); ++y) {
          for (int x = left; x < std::min(left + side, columns); ++x) {
            order.units.push_back((t * rows + y) * columns + x);
          }
        }
        order.window_end.push_back(static_cast<int32_t>(order.units.size()) * patches_per_unit);
      }
    }
  }
  return order;
}

int64_t VisionTower::bytes(const VisionConfig& c, bool fast) {
  const int widest = widest_row(c);
  return int64_t{3} * kSliceRows * widest * 4 +
         (fast ? Projection::scratch_bytes(kSliceRows, widest) : 0);
}

Result<VisionTower> VisionTower::make(const VisionConfig& c, const Weights& weights, Pool& pool,
                                      bool fast) {
  VisionTower tower;
  tower.config_ = &c;
  tower.weights_ = &weights;
  tower.kv_format_ = kv_format(c, fast);
  const int widest = widest_row(c);
  OCELLI_TRY(tower.projection_, Projection::make(pool, fast, kSliceRows, widest));
  const auto buffer = [&] {
    return Buffer<float>::make(int64_t{kSliceRows} * widest, "the vision scratch");
  };
  OCELLI_TRY(tower.normed_, buffer());
  OCELLI_TRY(tower.gate_, buffer());
  OCELLI_TRY(tower.up_, buffer());
  return tower;
}

int64_t VisionJob::bytes(const VisionConfig& c, int64_t patches, bool fast) {
  const int64_t units = patches / (c.merge * c.merge);
  const int64_t kv = 2 * kv_blocks(patches, segments_max(c, units)) *
                     kv_block_bytes(kv_format(c, fast), c.heads, c.hidden / c.heads);
  return patches * 3 * c.hidden * 4 + kv + units * (c.out * 4 + 8);
}

Result<VisionJob> VisionJob::make(VisionTower& tower, const PatchGrid& grid, PatchSource patches) {
  const VisionConfig& c = *tower.config_;
  const int64_t count = grid.patches();
  VisionJob job;
  job.tower_ = &tower;
  job.grid_ = grid;
  job.patches_ = std::move(patches);
  job.order_ = window_order(grid, c);
  const char* what = "the image's vision rows";
  OCELLI_TRY(job.x_, Buffer<float>::make(count * c.hidden, what));
  OCELLI_TRY(job.q_, Buffer<float>::make(count * c.hidden, what));
  OCELLI_TRY(job.mixed_, Buffer<float>::make(count * c.hidden, what));
  OCELLI_TRY(job.merged_,
             Buffer<float>::make(grid.tokens(c.merge) * c.out, "the image's merged rows"));
  const auto segments =
      static_cast<int64_t>(std::max<size_t>(job.order_.window_end.size(), grid.t));
  const int64_t blocks = kv_blocks(count, segments);
  const int64_t half = blocks * kv_block_bytes(tower.kv_format_, c.heads, c.hidden / c.heads);
  OCELLI_TRY(job.kv_memory_, Buffer<uint8_t>::make(2 * half, what));
  job.kv_ = {job.kv_memory_.data(), job.kv_memory_.data() + half, tower.kv_format_, c.heads,
             c.hidden / c.heads};
  job.blocks_.resize(static_cast<size_t>(blocks));
  std::iota(job.blocks_.begin(), job.blocks_.end(), 0);
  job.place_.resize(job.order_.units.size());
  for (size_t place = 0; place < job.place_.size(); ++place)
    job.place_[job.order_.units[place]] = static_cast<int32_t>(place);
  for (int t = 1; t <= grid.t; ++t) job.frame_end_.push_back(t * grid.h * grid.w);

  // 2-D rope: the first half of the pairs turns with the patch row, the second with its column.
  const int quarter = c.hidden / c.heads / 4;
  const int side = std::max(grid.h, grid.w);
  job.cos_.resize(static_cast<size_t>(side) * quarter);
  job.sin_.resize(job.cos_.size());
  for (int i = 0; i < quarter; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * quarter);
    const float frequency =
        1.0f / static_cast<float>(std::pow(10000.0, static_cast<double>(exponent)));
    for (int at = 0; at < side; ++at) {
      const double angle = static_cast<float>(at) * frequency;
      job.cos_[static_cast<size_t>(at) * quarter + i] = static_cast<float>(std::cos(angle));
      job.sin_[static_cast<size_t>(at) * quarter + i] = static_cast<float>(std::sin(angle));
    }
  }
  return job;
}

std::span<const int32_t> VisionJob::segment_ends() const {
  const std::vector<int>& full = tower_->config_->full_blocks;
  const bool whole_frames = std::find(full.begin(), full.end(), block_) != full.end();
  return whole_frames ? frame_end_ : order_.window_end;
}

int VisionJob::segment_begin(int64_t segment) const {
  return segment == 0 ? 0 : segment_ends()[static_cast<size_t>(segment - 1)];
}

int VisionJob::segment_block(int64_t segment) const {
  return segment_begin(segment) / kKvBlock + static_cast<int>(segment);
}

int64_t VisionJob::attention_work(bool whole_frames) const {
  const VisionConfig& c = *tower_->config_;
  const int64_t frame = int64_t{grid_.h} * grid_.w, side = c.window / c.patch;
  const int64_t keys = whole_frames ? frame : std::min(frame, side * side);
  return 2 * c.hidden * keys;
}

int64_t VisionJob::stage_work(Stage stage) const {
  const VisionConfig& c = *tower_->config_;
  const int64_t d = c.hidden;
  switch (stage) {
    case Stage::kEmbed:
      return patch_values(c) * d;
    case Stage::kQkv:
      return 3 * d * d;
    case Stage::kAttention:
      return attention_work(segment_ends().size() == frame_end_.size());
    case Stage::kMlp:
      return d * d + 3 * d * c.intermediate;
    case Stage::kMerge:
      return d * (d * c.merge * c.merge + c.out);
    case Stage::kDone:
      break;
  }
  return 0;
}

int64_t VisionJob::work_total() const {
  const VisionConfig& c = *tower_->config_;
  const int64_t full = static_cast<int64_t>(c.full_blocks.size());
  const int64_t attention = full * attention_work(true) + (c.depth - full) * attention_work(false);
  return grid_.patches() * (stage_work(Stage::kEmbed) + stage_work(Stage::kMerge) + attention +
                            c.depth * (stage_work(Stage::kQkv) + stage_work(Stage::kMlp)));
}

bool VisionJob::advance(int64_t budget) {
  while (stage_ != Stage::kDone && !waits()) {
    const int64_t work = slice();
    work_done_ += work;
    budget -= work;
    if (budget <= 0) break;
  }
  return stage_ == Stage::kDone;
}

bool VisionJob::waits() const {
  const Weights& w = *tower_->weights_;
  switch (stage_) {
    case Stage::kEmbed:
      return !w.has_patch_embed();
    case Stage::kQkv:
    case Stage::kAttention:
    case Stage::kMlp:
      return !w.has_block(block_);
    case Stage::kMerge:
      return !w.has_merger();
    case Stage::kDone:
      break;
  }
  return false;
}

int64_t VisionJob::slice() {
  const int unit = tower_->config_->merge * tower_->config_->merge;
  const int64_t slice_rows = VisionTower::kSliceRows / unit * unit;
  const int64_t rows = std::min<int64_t>(slice_rows, grid_.patches() - row_);
  const int64_t work = stage_work(stage_) * rows;
  switch (stage_) {
    case Stage::kEmbed:
      embed(row_, rows);
      break;
    case Stage::kQkv:
      qkv(row_, rows);
      break;
    case Stage::kAttention:
      attention(row_, rows);
      break;
    case Stage::kMlp:
      mlp(row_, rows);
      break;
    case Stage::kMerge:
      merge(row_, rows);
      break;
    case Stage::kDone:
      return 0;
  }
  row_ += rows;
  if (row_ < grid_.patches()) return work;
  row_ = 0;
  if (stage_ == Stage::kMlp && ++block_ < tower_->config_->depth) {
    stage_ = Stage::kQkv;
  } else {
    stage_ = static_cast<Stage>(std::to_underlying(stage_) + 1);
    if (stage_ == Stage::kDone) {
      x_ = {};
      q_ = {};
      kv_memory_ = {};
      mixed_ = {};
    }
  }
  return work;
}

void VisionJob::embed(int64_t begin, int64_t rows) {
  const VisionConfig& c = *tower_->config_;
  const int64_t width = patch_values(c), d = c.hidden, unit = c.merge * c.merge;
  tower_->projection_.pool().parallel(rows, [&](int, int64_t from, int64_t to) {
    patches_(begin + from, begin + to, tower_->normed_.data() + from * width);
  });
  const ProjectionOutput out[] = {{&tower_->weights_->patch_embed, tower_->gate_.data(), d}};
  tower_->projection_.run(tower_->normed_.data(), static_cast<int>(rows), width, out, ActBits::k15,
                          [](int64_t) {});  // [P, Dv]
  for (int64_t row = 0; row < rows; row += unit) {
    const int64_t place = place_[(begin + row) / unit] * unit;
    std::memcpy(x_.data() + place * d, tower_->gate_.data() + row * d, unit * d * sizeof(float));
  }
}

void VisionJob::qkv(int64_t begin, int64_t rows) {
  const VisionConfig& c = *tower_->config_;
  const VisionBlock& w = tower_->weights_->blocks[block_];
  const int64_t d = c.hidden;
  const int head_dim = c.hidden / c.heads, quarter = head_dim / 4;
  float* normed = tower_->normed_.data();
  float* qkv = tower_->gate_.data();
  const ProjectionOutput out[] = {{&w.qkv, qkv, 3 * d}};
  tower_->projection_.run(normed, static_cast<int>(rows), d, out, ActBits::k8, [&](int64_t row) {
    rms_norm(x_.data() + (begin + row) * d, w.norm1, c.hidden, c.rms_eps, normed + row * d);
  });  // [P, 3, H, C]
  const int unit = c.merge * c.merge, columns = grid_.w / c.merge;
  const int units_per_frame = (grid_.h / c.merge) * columns;
  const std::span<const int32_t> ends = segment_ends();
  tower_->projection_.pool().parallel(rows, [&](int, int64_t from, int64_t to) {
    float cos[kHeadDimMax / 2], sin[kHeadDimMax / 2];
    for (int64_t row = from; row < to; ++row) {
      const int number = order_.units[(begin + row) / unit] % units_per_frame;
      const int inside = static_cast<int>((begin + row) % unit);
      const int y = number / columns * c.merge + inside / c.merge,
                x = number % columns * c.merge + inside % c.merge;
      for (int i = 0; i < quarter; ++i) {
        cos[i] = cos_[y * quarter + i];
        sin[i] = sin_[y * quarter + i];
        cos[quarter + i] = cos_[x * quarter + i];
        sin[quarter + i] = sin_[x * quarter + i];
      }
      float* q = qkv + row * 3 * d;
      rope_half(q, 2 * c.heads, head_dim, cos, sin);  // k lies right behind q
      std::memcpy(q_.data() + (begin + row) * d, q, static_cast<size_t>(d) * sizeof(float));
      const auto place = static_cast<int32_t>(begin + row);
      const int64_t segment = std::upper_bound(ends.begin(), ends.end(), place) - ends.begin();
      const int at = place - segment_begin(segment);
      kv_store(kv_, segment_block(segment) + at / kKvBlock, at % kKvBlock, q + d, q + 2 * d);
    }
  });
}

void VisionJob::attention(int64_t begin, int64_t rows) {
  const VisionConfig& c = *tower_->config_;
  const int64_t end = begin + rows;
  AttentionCall all;
  all.q_stride = all.out_stride = c.hidden;
  all.causal = false;
  all.heads = c.heads;
  all.scale = 1.0f / std::sqrt(static_cast<float>(c.hidden / c.heads));
  const std::span<const int32_t> ends = segment_ends();
  tower_->projection_.pool().parallel(c.heads, [&](int, int64_t from, int64_t to) {
    int64_t segment =
        std::upper_bound(ends.begin(), ends.end(), static_cast<int32_t>(begin)) - ends.begin();
    for (; segment < static_cast<int64_t>(ends.size()); ++segment) {
      const int64_t first = segment_begin(segment);
      if (first >= end) break;
      const int64_t last = ends[static_cast<size_t>(segment)];
      const int64_t at = std::max(first, begin);
      AttentionCall call = all;
      call.blocks = blocks_.data() + segment_block(segment);
      call.q = q_.data() + at * c.hidden;
      call.out = mixed_.data() + at * c.hidden;
      call.rows = static_cast<int>(std::min(last, end) - at);
      call.first_length = static_cast<int>(last - first);
      for (int64_t head = from; head < to; ++head) {
        call.kv_head = static_cast<int>(head);
        attention_paged(kv_, call);
      }
    }
  });
}

void VisionJob::mlp(int64_t begin, int64_t rows) {
  const VisionConfig& c = *tower_->config_;
  const VisionBlock& w = tower_->weights_->blocks[block_];
  Projection& projection = tower_->projection_;
  const int64_t d = c.hidden, ffn = c.intermediate;
  const int count = static_cast<int>(rows);
  float *x = x_.data() + begin * d, *normed = tower_->normed_.data();
  float *gate = tower_->gate_.data(), *up = tower_->up_.data();
  const ProjectionOutput proj[] = {{&w.proj, normed, d}};
  projection.run(mixed_.data() + begin * d, count, d, proj, ActBits::k8, [](int64_t) {});
  const ProjectionOutput gate_up[] = {{&w.gate, gate, ffn}, {&w.up, up, ffn}};
  projection.run(normed, count, d, gate_up, ActBits::k8, [&](int64_t row) {
    add(x + row * d, normed + row * d, d);
    rms_norm(x + row * d, w.norm2, c.hidden, c.rms_eps, normed + row * d);
  });
  const ProjectionOutput down[] = {{&w.down, normed, d}};
  projection.run(gate, count, ffn, down, ActBits::k8LongTails, [&](int64_t row) {
    silu_mul(gate + row * ffn, up + row * ffn, ffn, gate + row * ffn);
  });
  projection.pool().parallel(rows, [&](int, int64_t from, int64_t to) {
    add(x + from * d, normed + from * d, (to - from) * d);
  });
}

void VisionJob::merge(int64_t begin, int64_t rows) {
  const VisionConfig& c = *tower_->config_;
  const Weights& w = *tower_->weights_;
  Projection& projection = tower_->projection_;
  const int64_t d = c.hidden, unit = c.merge * c.merge, merged = d * unit, units = rows / unit,
                out = c.out;
  const int count = static_cast<int>(units);
  float *normed = tower_->normed_.data(), *middle = tower_->gate_.data(),
        *last = tower_->up_.data();
  const ProjectionOutput in[] = {{&w.merger_in, middle, merged}};
  projection.run(normed, count, merged, in, ActBits::k15, [&](int64_t row) {
    for (int64_t patch = row * unit; patch < (row + 1) * unit; ++patch) {
      rms_norm(x_.data() + (begin + patch) * d, w.merger_norm, c.hidden, c.rms_eps,
               normed + patch * d);
    }
  });  // [U, 4*Dv]
  const ProjectionOutput outputs[] = {{&w.merger_out, last, out}};
  projection.run(middle, count, merged, outputs, ActBits::k15,
                 [&](int64_t row) { gelu(middle + row * merged, merged); });  // [U, D]
  for (int64_t i = 0; i < units; ++i) {
    const int64_t number = order_.units[begin / unit + i];
    std::memcpy(merged_.data() + number * out, last + i * out, out * sizeof(float));
  }
}

}  // namespace ocelli
