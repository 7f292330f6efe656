// Adapter: the low-rank matrices of a LoRA adapter as the kernels read them, and the pass that adds
// them to what the base weights gave. Made by engine/adapters.cc, used by the decoder. Surprise:
// the base stays as it is, whatever its format, and each row of a step is adapted by its own
// request's adapter or by none, so adapters and the base run in one batch. Source: Hu et al., LoRA
// (2021).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/pool.h"
#include "format/adapter.h"
#include "model/projection.h"
#include "tensor/linear.h"

namespace ocelli {

class Adapter {
 public:
  // One linear's share: y += scale * B (A x). Ranks are padded to 8 with zeros.
  struct Pair {
    Linear a, b;  // [r, k] [n, r]
    float scale = 0;
  };

  // Copies the pairs into tiles. kInvalidAdapter: values that are not finite; kOutOfMemory.
  // `serial` tells this adapter from all others that the engine has ever had; at least 1.
  static Result<std::shared_ptr<const Adapter>> make(std::span<const AdapterPair> pairs, int layers,
                                                     uint64_t serial);

  // Null when the adapter leaves this linear alone.
  const Pair* find(int layer, AdapterTarget target) const;
  uint64_t serial() const { return serial_; }
  int64_t bytes() const { return storage_.count(); }

 private:
  std::vector<std::array<int, kAdapterTargets>> index_;  // [layers], into pairs_; -1: none
  std::vector<Pair> pairs_;
  Buffer<uint8_t> storage_;
  uint64_t serial_ = 0;
};

// Consecutive rows of a step and the adapter they use, or null.
struct AdapterRows {
  int row_begin = 0, rows = 0;
  const Adapter* adapter = nullptr;
};

inline constexpr int kAdapterOutputsMax = 3;  // that share their input: q, k, v

class AdapterPass {
 public:
  // Makes room for steps of `rows_max` rows, once. kOutOfMemory.
  Result<void> make_room(int rows_max);
  // Adds to a projection's outputs what the rows' adapters say. x [rows, x_stride]: its input, as
  // it is after Projection::run. `first`: what outputs[0] is; the others follow in the enum's
  // order.
  void run(Pool& pool, int layer, std::span<const AdapterRows> rows, const float* x,
           int64_t x_stride, std::span<const ProjectionOutput> outputs, AdapterTarget first);

 private:
  struct Task {
    const Adapter::Pair* pair;
    const float* x;
    float* low;  // [rows, rank], A x
    float* y;
    int64_t x_stride, y_stride;
    int rows;
  };
  std::vector<Task> tasks_;
  Buffer<float> low_;  // [rows_max, kAdapterOutputsMax * kAdapterRankMax]
};

}  // namespace ocelli
