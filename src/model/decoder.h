// Decoder: the Qwen2 language model with M-RoPE over a batch of rows from many sequences. One call
// is one step. Source: Qwen2.5-VL technical report and transformers' Qwen2_5_VLTextModel.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"
#include "model/adapter.h"
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
  int cached = 0;                    // tokens of the sequence already in the cache
  const int32_t* blocks = nullptr;   // block table that covers cached + rows tokens
  const Adapter* adapter = nullptr;  // none: the base alone
};

// The rows of a step that waits for the weights of its next layer: what the decoder needs to go on.
struct ParkedRows {
  Buffer<float> hidden, normed, cos, sin;  // normed: what down_proj gave, not added yet
  int rows = 0;
  int layer = 0;  // the next one
};

class Decoder {
 public:
  // Bytes that make() will allocate, without the KV pool.
  static int64_t bytes(const TextConfig& config, int rows_max, int logit_rows_max, bool fast);
  static Result<Decoder> make(const TextConfig& config, const Weights& weights, Pool& pool,
                              bool fast, int rows_max, int logit_rows_max);

  // Before the first step with an adapter.
  Result<void> make_room_for_adapters() { return adapters_.make_room(rows_max_); }

  // Fill in the rows of a step, then call begin and advance.
  float* hidden(int row) { return hidden_.data() + int64_t{row} * config_->hidden; }  // [D]
  void embed_token(int row, int32_t token);
  void set_position(int row, const Position& position);

  // A step of rows [0, rows).
  void begin(int rows);
  // Runs the layers whose weights are there, at most `layers_max`, storing keys and values, and
  // after the last one computes logits for `logit_rows` (ascending). True when that is done;
  // otherwise call again, with the same runs, while can_advance(next_layer()).
  bool advance(std::span<const RowRun> runs, KvPool& kv, std::span<const int> logit_rows,
               int layers_max);
  int next_layer() const { return layer_; }
  // Whether advance() would do anything for rows that come to `layer` next.
  bool can_advance(int layer) const;

  // Runs the first layer and the head on rows of no meaning, which are forgotten; `blocks` covers
  // them. For warming up: needs the weights of layer 0, and no step at hand.
  void warm_up(int rows, const int32_t* blocks, KvPool& kv);

  // Exchanges the step at hand with a parked one, so that several prompts' slices can wait at once.
  void exchange(ParkedRows& parked);
  static int64_t parked_bytes(const TextConfig& config, int rows_max);
  Result<ParkedRows> make_parked() const;

  std::span<float> logits(int index);  // [V] of logit_rows[index]

 private:
  struct AttentionTask {
    int run, row_begin, rows, kv_head;
  };
  void note_runs(std::span<const RowRun> runs);  // fills run_of_, adapter_rows_
  void layer(int index, int rows, std::span<const RowRun> runs, KvPool& kv);
  void attention(const KvLayer& kv, std::span<const RowRun> runs);
  // Adds what the rows' adapters make of x.
  void adapt(int index, const float* x, int64_t x_stride, std::span<const ProjectionOutput> outputs,
             AdapterTarget first);
  // A row of the branch (o_proj's or down_proj's output) joins the stream, which is then normed.
  void add_and_norm(int64_t row, bool has_branch, const float* weight);

  const TextConfig* config_ = nullptr;
  const Weights* weights_ = nullptr;
  int rows_max_ = 0;
  int rows_ = 0, layer_ = 0;  // of the step at hand
  Projection projection_;
  AdapterPass adapters_;
  MropeTable rope_{TextConfig{}};
  Buffer<float> hidden_, normed_, q_, k_, v_, mixed_, gate_, up_, logits_, cos_, sin_;
  std::vector<AttentionTask> tasks_;
  std::vector<KvBalance> balance_;         // [layers], made when an int8 cache first needs it
  std::vector<int32_t> run_of_;            // [rows] index of the row's run in this step
  std::vector<AdapterRows> adapter_rows_;  // of this step; none when all rows use the base alone
};

}  // namespace ocelli
