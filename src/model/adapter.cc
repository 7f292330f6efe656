#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/half.h"
#include "kernels/matmul.h"
#include "model/tile_ranges.h"

namespace ocelli {
namespace {

WeightFormat format_of(Dtype dtype) {
  return dtype == Dtype::kF16    ? WeightFormat::kF16
         : dtype == Dtype::kBf16 ? WeightFormat::kBf16
                                 : WeightFormat::kF32;
}

bool finite(float value) { return std::isfinite(value); }

// [n, k] as it lies in the file, to tiles of 8 rows of k_padded inputs, with zeros around it.
template <class T, class Value>
bool pack(std::span<const uint8_t> from, int n, int k, int k_padded, uint8_t* to, Value&& value) {
  const int n_padded = round_up(n, kTileRows);
  std::memset(to, 0, sizeof(T) * size_t(n_padded) * size_t(k_padded));
  bool all_finite = true;
  for (int row = 0; row < n; ++row) {
    uint8_t* tile = to + sizeof(T) * size_t(row / kTileRows) * size_t(k_padded) * kTileRows;
    for (int i = 0; i < k; ++i) {
      T word;
      std::memcpy(&word, from.data() + sizeof(T) * (size_t(row) * size_t(k) + size_t(i)),
                  sizeof(T));
      all_finite &= finite(value(word));
      std::memcpy(tile + sizeof(T) * (size_t(i) * kTileRows + size_t(row % kTileRows)), &word,
                  sizeof(T));
    }
  }
  return all_finite;
}

bool pack(Dtype dtype, std::span<const uint8_t> from, int n, int k, int k_padded, uint8_t* to) {
  switch (dtype) {
    case Dtype::kF16:
      return pack<uint16_t>(from, n, k, k_padded, to, f16_to_f32);
    case Dtype::kBf16:
      return pack<uint16_t>(from, n, k, k_padded, to, bf16_to_f32);
    default:
      return pack<float>(from, n, k, k_padded, to, [](float word) { return word; });
  }
}

int64_t packed_bytes(Dtype dtype, int n, int k_padded) {
  const int tiles = round_up(n, kTileRows) / kTileRows;
  return tiles * ((tile_bytes(format_of(dtype), k_padded) + 63) / 64 * 64);
}

Linear view(Dtype dtype, int n, int k, const uint8_t* codes) {
  Linear out;
  out.format = format_of(dtype);
  out.n = n;
  out.k = k;
  out.parts = {{0, out.tiles(), codes, nullptr, nullptr}};
  return out;
}

}  // namespace

Result<std::shared_ptr<const Adapter>> Adapter::make(std::span<const AdapterPair> pairs, int layers,
                                                     uint64_t serial) {
  auto adapter = std::make_shared<Adapter>();
  adapter->serial_ = serial;
  adapter->index_.resize(static_cast<size_t>(layers));
  for (auto& row : adapter->index_) row.fill(-1);
  int64_t bytes = 0;
  for (const AdapterPair& pair : pairs) {
    const int rank = round_up(pair.rank, kTileRows);
    bytes += packed_bytes(pair.a_dtype, rank, pair.k) + packed_bytes(pair.b_dtype, pair.n, rank);
  }
  OCELLI_TRY(adapter->storage_, Buffer<uint8_t>::make(bytes, "an adapter"));
  uint8_t* at = adapter->storage_.data();
  for (const AdapterPair& pair : pairs) {
    const int rank = round_up(pair.rank, kTileRows);
    uint8_t* a = at;
    uint8_t* b = a + packed_bytes(pair.a_dtype, rank, pair.k);
    at = b + packed_bytes(pair.b_dtype, pair.n, rank);
    const bool finite = pack(pair.a_dtype, pair.a, pair.rank, pair.k, pair.k, a) &&
                        pack(pair.b_dtype, pair.b, pair.n, pair.rank, rank, b);
    if (!finite) {
      return fail(Status::kInvalidAdapter, "layer " + std::to_string(pair.layer) +
                                               " of the adapter has values that are not finite");
    }
    adapter->index_[static_cast<size_t>(pair.layer)][static_cast<size_t>(pair.target)] =
        static_cast<int>(adapter->pairs_.size());
    adapter->pairs_.push_back(
        {view(pair.a_dtype, rank, pair.k, a), view(pair.b_dtype, pair.n, rank, b), pair.scale});
  }
  return adapter;
}

const Adapter::Pair* Adapter::find(int layer, AdapterTarget target) const {
  const int at = index_[static_cast<size_t>(layer)][static_cast<size_t>(target)];
  return at < 0 ? nullptr : &pairs_[static_cast<size_t>(at)];
}

Result<void> AdapterPass::make_room(int rows_max) {
  if (low_.data()) return {};
  OCELLI_TRY(low_, Buffer<float>::make(int64_t{rows_max} * kAdapterOutputsMax * kAdapterRankMax,
                                       "the scratch for adapters"));
  tasks_.reserve(static_cast<size_t>(rows_max) * kAdapterOutputsMax);
  return {};
}

void AdapterPass::run(Pool& pool, int layer, std::span<const AdapterRows> rows, const float* x,
                      int64_t x_stride, std::span<const ProjectionOutput> outputs,
                      AdapterTarget first) {
  tasks_.clear();
  float* low = low_.data();
  for (const AdapterRows& some : rows) {
    if (!some.adapter) continue;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const ProjectionOutput& output = outputs[i];
      const auto target = static_cast<AdapterTarget>(static_cast<size_t>(first) + i);
      const Adapter::Pair* pair = some.adapter->find(layer, target);
      if (!pair) continue;
      tasks_.push_back({pair, x + some.row_begin * x_stride, low,
                        output.y + some.row_begin * output.y_stride, x_stride, output.y_stride,
                        some.rows});
      low += int64_t{some.rows} * pair->a.n;
    }
  }
  if (tasks_.empty()) return;
  OCELLI_CHECK(low <= low_.data() + low_.count());
  const auto a = [&](size_t i) -> const Linear& { return tasks_[i].pair->a; };
  parallel_tiles(pool, tasks_.size(), a, [&](size_t i, int begin, int end) {
    const Task& task = tasks_[i];
    matmul_f32(task.pair->a, begin, end, task.x, task.rows, task.x_stride, task.low,
               task.pair->a.n);
  });
  const auto b = [&](size_t i) -> const Linear& { return tasks_[i].pair->b; };
  parallel_tiles(pool, tasks_.size(), b, [&](size_t i, int begin, int end) {
    const Task& task = tasks_[i];
    matmul_f32_add(task.pair->b, begin, end, task.low, task.rows, task.pair->a.n, task.pair->scale,
                   task.y, task.y_stride);
  });
}

}  // namespace ocelli
