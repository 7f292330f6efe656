// Decoder: the Qwen2 language model with M-RoPE over a batch of rows from many sequences. One call
// is one step. Source: Qwen2.5-VL technical report and transformers' Qwen2_5_VLTextModel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "model/kv_balance.h"
#include "model/kv_pool.h"
#include "model/mrope.h"
#include "model/projection.h"
#include "model/weights.h"

namespace ocelli {

// Consecutive rows of one sequence inside a step.
struct RowRun {
  int row_begin = 0;  // in the step
  int rows = 0;
  int cached = 0;                   // tokens of the sequence already in the cache
  const int32_t* blocks = nullptr;  // block table that covers cached + rows tokens
};

class Decoder {
 public:
  // Bytes that make() will allocate, without the KV pool.
  static int64_t bytes(const TextConfig& config, int rows_max, int logit_rows_max, bool fast);
  static Result<Decoder> make(const TextConfig& config, const Weights& weights, Pool& pool,
                              bool fast, int rows_max, int logit_rows_max);

  // Fill in the rows of a step, then call forward.
  float* hidden(int row) { return hidden_.data() + int64_t{row} * config_->hidden; }  // [D]
  void embed_token(int row, int32_t token);
  void set_position(int row, const Position& position);

  // Runs all layers for rows [0, rows), stores their keys and values, and computes logits for
  // `logit_rows` (ascending).
  void forward(int rows, std::span<const RowRun> runs, KvPool& kv, std::span<const int> logit_rows);
  std::span<float> logits(int index);  // [V] of logit_rows[index]

 private:
  struct AttentionTask {
    int run, row_begin, rows, kv_head;
  };
  void layer(int index, int rows, std::span<const RowRun> runs, KvPool& kv);
  void attention(const KvLayer& kv, std::span<const RowRun> runs);
  // A row of the branch (o_proj's or down_proj's output) joins the stream, which is then normed.
  void add_and_norm(int64_t row, bool has_branch, const float* weight);

  const TextConfig* config_ = nullptr;
  const Weights* weights_ = nullptr;
  Projection projection_;
  MropeTable rope_{TextConfig{}};
  Buffer<float> hidden_, normed_, q_, k_, v_, mixed_, gate_, up_, logits_, cos_, sin_;
  std::vector<AttentionTask> tasks_;
  std::vector<KvBalance> balance_;  // [layers], made when an int8 cache first needs it
  std::vector<int32_t> run_of_;     // [rows] index of the row's run in this step
};

}  // namespace ocelli
