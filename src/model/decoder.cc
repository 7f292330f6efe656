// Every row's arithmetic is the same whatever else is in the step: answers do not depend on
// company, slicing or threads.
#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernels/attention.h"
#include "kernels/ops.h"

namespace ocelli {
namespace {

constexpr int kAttentionRows = 16;  // query rows that share one read of the keys

}  // namespace

int64_t Decoder::bytes(const TextConfig& c, int rows_max, int logit_rows_max, bool fast) {
  const int64_t q = int64_t{c.heads} * c.head_dim, kv = int64_t{c.kv_heads} * c.head_dim;
  const int64_t floats = rows_max * (2 * int64_t{c.hidden} + 2 * q + 2 * kv +
                                     2 * int64_t{c.intermediate} + c.head_dim) +
                         int64_t{logit_rows_max} * round_up(c.vocab, kTileRows);
  const int k_max = std::max({c.hidden, c.intermediate, c.heads * c.head_dim});
  return floats * 4 + (fast ? Projection::scratch_bytes(rows_max, k_max) : 0);
}

Result<Decoder> Decoder::make(const TextConfig& c, const Weights& weights, Pool& pool, bool fast,
                              int rows_max, int logit_rows_max) {
  Decoder d;
  d.config_ = &c;
  d.weights_ = &weights;
  d.rows_max_ = rows_max;
  d.rope_ = MropeTable(c);
  const int q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const int k_max = std::max({c.hidden, c.intermediate, q});
  OCELLI_TRY(d.projection_, Projection::make(pool, fast, rows_max, k_max));
  const auto buffer = [&](int64_t width) {
    return Buffer<float>::make(rows_max * width, "the activations");
  };
  OCELLI_TRY(d.hidden_, buffer(c.hidden));
  OCELLI_TRY(d.normed_, buffer(c.hidden));  // also receives o_proj and down_proj
  OCELLI_TRY(d.q_, buffer(q));
  OCELLI_TRY(d.k_, buffer(kv));
  OCELLI_TRY(d.v_, buffer(kv));
  OCELLI_TRY(d.mixed_, buffer(q));
  OCELLI_TRY(d.gate_, buffer(c.intermediate));
  OCELLI_TRY(d.up_, buffer(c.intermediate));
  OCELLI_TRY(d.cos_, buffer(c.head_dim / 2));
  OCELLI_TRY(d.sin_, buffer(c.head_dim / 2));
  OCELLI_TRY(d.logits_, Buffer<float>::make(int64_t{logit_rows_max} * round_up(c.vocab, kTileRows),
                                            "the logits"));
  d.tasks_.reserve(static_cast<size_t>(rows_max) * c.kv_heads);
  d.balance_.resize(static_cast<size_t>(c.layers));
  d.run_of_.resize(static_cast<size_t>(rows_max));
  d.adapter_rows_.reserve(static_cast<size_t>(rows_max));
  return d;
}

void Decoder::embed_token(int row, int32_t token) {
  dequantize_row(weights_->embed, token, hidden(row));
}

void Decoder::set_position(int row, const Position& position) {
  const int64_t half = config_->head_dim / 2;
  rope_.fill(position, cos_.data() + row * half, sin_.data() + row * half);
}

std::span<float> Decoder::logits(int index) {
  return {logits_.data() + int64_t{index} * round_up(config_->vocab, kTileRows),
          static_cast<size_t>(config_->vocab)};
}

void Decoder::add_and_norm(int64_t row, bool has_branch, const float* weight) {
  const int64_t width = config_->hidden;
  float *stream = hidden_.data() + row * width, *normed = normed_.data() + row * width;
  if (has_branch) add(stream, normed, width);
  rms_norm(stream, weight, config_->hidden, config_->rms_eps, normed);
}

void Decoder::attention(const KvLayer& kv, std::span<const RowRun> runs) {
  tasks_.clear();
  for (size_t run = 0; run < runs.size(); ++run) {
    for (int row = 0; row < runs[run].rows; row += kAttentionRows) {
      const int rows = std::min(kAttentionRows, runs[run].rows - row);
      for (int head = 0; head < config_->kv_heads; ++head) {
        tasks_.push_back({static_cast<int>(run), row, rows, head});
      }
    }
  }
  AttentionCall all;
  all.q_stride = all.out_stride = int64_t{config_->heads} * config_->head_dim;
  all.heads = config_->heads;
  all.scale = 1.0f / std::sqrt(static_cast<float>(config_->head_dim));
  projection_.pool().parallel(
      static_cast<int64_t>(tasks_.size()), [&](int, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const AttentionTask& task = tasks_[i];
          const RowRun& run = runs[task.run];
          const int64_t at = (run.row_begin + task.row_begin) * all.q_stride;
          AttentionCall call = all;
          call.blocks = run.blocks;
          call.q = q_.data() + at;
          call.out = mixed_.data() + at;
          call.rows = task.rows;
          call.first_length = run.cached + task.row_begin + 1;
          call.kv_head = task.kv_head;
          attention_paged(kv, call);
        }
      });
}

void Decoder::layer(int index, int rows, std::span<const RowRun> runs, KvPool& pool) {
  const DecoderLayer& w = weights_->layers[index];
  const KvLayer& kv = pool.layer(index);
  const TextConfig& c = *config_;
  const int64_t hidden = c.hidden, q_width = int64_t{c.heads} * c.head_dim,
                kv_width = int64_t{c.kv_heads} * c.head_dim, ffn = c.intermediate,
                half = c.head_dim / 2;
  float* normed = normed_.data();  // also o_proj's and down_proj's output, until it is added

  const ProjectionOutput qkv[] = {
      {&w.q, q_.data(), q_width}, {&w.k, k_.data(), kv_width}, {&w.v, v_.data(), kv_width}};
  projection_.run(normed, rows, hidden, qkv, ActBits::k15, [&](int64_t row) {
    add_and_norm(row, index > 0, w.input_norm);
  });  // [T, H*C] [T, K*C] [T, K*C]
  adapt(index, normed, hidden, qkv, AdapterTarget::kQ);
  KvBalance* balance = nullptr;
  if (kv.format == KvFormat::kInt8) {
    balance = &balance_[static_cast<size_t>(index)];
    if (balance->q.empty()) *balance = kv_balance(c, w);
  }
  projection_.pool().parallel(rows, [&](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float *cos = cos_.data() + row * half, *sin = sin_.data() + row * half;
      float *q = q_.data() + row * q_width, *k = k_.data() + row * kv_width;
      float* v = v_.data() + row * kv_width;
      rope_half(q, c.heads, c.head_dim, cos, sin);
      rope_half(k, c.kv_heads, c.head_dim, cos, sin);
      if (balance) {
        multiply(q, balance->q.data(), q_width);
        multiply(k, balance->k.data(), kv_width);
        multiply(v, balance->v.data(), kv_width);
      }
      const RowRun& run = runs[run_of_[row]];
      const int64_t position = run.cached + row - run.row_begin;
      kv_store(kv, run.blocks[position / kKvBlock], static_cast<int>(position % kKvBlock), k, v);
    }
  });
  attention(kv, runs);  // [T, H*C]
  const ProjectionOutput o[] = {{&w.o, normed, hidden}};
  projection_.run(mixed_.data(), rows, q_width, o, ActBits::k15, [&](int64_t row) {
    if (balance) multiply(mixed_.data() + row * q_width, balance->out.data(), q_width);
  });  // [T, D]
  adapt(index, mixed_.data(), q_width, o, AdapterTarget::kO);

  const ProjectionOutput gate_up[] = {{&w.gate, gate_.data(), ffn}, {&w.up, up_.data(), ffn}};
  projection_.run(normed, rows, hidden, gate_up, ActBits::k8,
                  [&](int64_t row) { add_and_norm(row, true, w.post_norm); });  // [T, F] [T, F]
  adapt(index, normed, hidden, gate_up, AdapterTarget::kGate);
  const ProjectionOutput down[] = {{&w.down, normed, hidden}};
  projection_.run(gate_.data(), rows, ffn, down, ActBits::k15, [&](int64_t row) {
    float* gate = gate_.data() + row * ffn;
    silu_mul(gate, up_.data() + row * ffn, ffn, gate);
  });  // [T, D]
  adapt(index, gate_.data(), ffn, down, AdapterTarget::kDown);
}

void Decoder::begin(int rows) {
  OCELLI_CHECK(rows <= rows_max_);
  rows_ = rows;
  layer_ = 0;
}

bool Decoder::can_advance(int layer) const {
  return layer < config_->layers ? weights_->has_layer(layer) : weights_->has_head();
}

void Decoder::adapt(int index, const float* x, int64_t x_stride,
                    std::span<const ProjectionOutput> outputs, AdapterTarget first) {
  if (adapter_rows_.empty()) return;
  adapters_.run(projection_.pool(), index, adapter_rows_, x, x_stride, outputs, first);
}

void Decoder::note_runs(std::span<const RowRun> runs) {
  adapter_rows_.clear();
  for (const RowRun& run : runs) {
    if (!run.adapter) continue;
    const bool joins = !adapter_rows_.empty() && adapter_rows_.back().adapter == run.adapter &&
                       adapter_rows_.back().row_begin + adapter_rows_.back().rows == run.row_begin;
    if (joins) {
      adapter_rows_.back().rows += run.rows;
    } else {
      adapter_rows_.push_back({run.row_begin, run.rows, run.adapter});
    }
  }
  for (size_t run = 0; run < runs.size(); ++run) {
    const auto first = run_of_.begin() + runs[run].row_begin;
    std::fill(first, first + runs[run].rows, static_cast<int32_t>(run));
  }
}

bool Decoder::advance(std::span<const RowRun> runs, KvPool& kv, std::span<const int> logit_rows,
                      int layers_max) {
  note_runs(runs);
  for (int end = layer_ + layers_max; layer_ < config_->layers; ++layer_) {
    if (layer_ == end || !weights_->has_layer(layer_)) return false;
    layer(layer_, rows_, runs, kv);
  }
  if (logit_rows.empty()) return true;
  if (!weights_->has_head()) return false;
  const int64_t hidden = config_->hidden;
  for (size_t i = 0; i < logit_rows.size(); ++i) {
    OCELLI_CHECK(logit_rows[i] >= static_cast<int>(i) && logit_rows[i] < rows_);
    if (logit_rows[i] == static_cast<int>(i)) continue;
    for (float* x : {hidden_.data(), normed_.data()})
      std::memmove(x + i * hidden, x + logit_rows[i] * hidden, hidden * sizeof(float));
  }
  const ProjectionOutput head[] = {
      {&weights_->lm_head, logits_.data(), round_up(config_->vocab, kTileRows)}};
  projection_.run(normed_.data(), static_cast<int>(logit_rows.size()), hidden, head, ActBits::k15,
                  [&](int64_t row) { add_and_norm(row, true, weights_->norm); });  // [S, V]
  return true;
}

void Decoder::warm_up(int rows, const int32_t* blocks, KvPool& kv) {
  OCELLI_CHECK(rows <= rows_max_ && weights_->has_layer(0));
  for (int row = 0; row < rows; ++row) {
    embed_token(row, row % config_->vocab);
    set_position(row, {row, row, row});
  }
  const RowRun run{0, rows, 0, blocks};
  note_runs({&run, 1});
  layer(0, rows, {&run, 1}, kv);
  // The head itself may not be there yet; the embedding has its shape and, so far, its format.
  const ProjectionOutput head[] = {
      {&weights_->embed, logits_.data(), round_up(config_->vocab, kTileRows)}};
  projection_.run(normed_.data(), 1, config_->hidden, head, ActBits::k15, [](int64_t) {});
}

void Decoder::exchange(ParkedRows& parked) {
  std::swap(hidden_, parked.hidden);
  std::swap(normed_, parked.normed);
  std::swap(cos_, parked.cos);
  std::swap(sin_, parked.sin);
  std::swap(rows_, parked.rows);
  std::swap(layer_, parked.layer);
}

int64_t Decoder::parked_bytes(const TextConfig& c, int rows_max) {
  return int64_t{rows_max} * (2 * int64_t{c.hidden} + c.head_dim) * 4;
}

Result<ParkedRows> Decoder::make_parked() const {
  ParkedRows parked;
  const auto buffer = [&](int64_t width) {
    return Buffer<float>::make(rows_max_ * width, "the rows that wait for weights");
  };
  OCELLI_TRY(parked.hidden, buffer(config_->hidden));
  OCELLI_TRY(parked.normed, buffer(config_->hidden));
  OCELLI_TRY(parked.cos, buffer(config_->head_dim / 2));
  OCELLI_TRY(parked.sin, buffer(config_->head_dim / 2));
  return parked;
}

}  // namespace ocelli
