// Scheduler: decides which rows each step computes. Oldest request first; every decoding sequence
// gets its row, and perhaps some of tokens that it is guessed to go on with, the rest of the step
// goes to prompts, and at most one bounded slice of vision work runs per step. Surprise: when the
// KV pool is full the youngest sequence gives its blocks back and is computed again later, but for
// what is still in the cache. Rows do not depend on company, so its answer is the same. Merged rows
// of images stay while their request runs, since computing it again needs them. While weights are
// still coming, a step that reaches the last layer there is gets parked, and the prompt's next
// slice may follow it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/events.h"
#include "engine/image_cache.h"
#include "engine/options.h"
#include "engine/sequence.h"
#include "model/decoder.h"
#include "model/kv_pool.h"
#include "model/vision.h"

namespace ocelli {

struct SchedulerStats {
  int64_t steps = 0, rows = 0, preemptions = 0;
  int64_t layers = 0;                           // layers run, over all steps
  int64_t prefix_queries = 0, prefix_hits = 0;  // tokens of prompts, those of them in the cache
  int64_t guessed = 0, accepted = 0;  // tokens computed before they were drawn; those drawn then
  int rows_last = 0;
};

enum class StepState : uint32_t {
  kIdle = 0,     // nothing to do
  kMore = 1,     // call again
  kWaiting = 2,  // requests are open, but nothing can go on before more weights have come
};

class Scheduler {
 public:
  Scheduler(const ModelConfig& config, const Tokenizer& tokenizer, const Weights& weights,
            Decoder& decoder, VisionTower& tower, KvPool& kv, const EngineOptions& options,
            EventQueue& events);

  void add(std::unique_ptr<Request> request);
  // Tells the prompt and ends: nothing is computed.
  void announce_only(std::unique_ptr<Request> request);
  Request* find(uint32_t handle);
  void cancel(Request& request);  // ends what is unfinished with "abort"
  void remove(uint32_t handle);
  // Counts the first `tokens` tokens of a prompt as computed, with made-up keys and values: what
  // follows has the work of a long context. kInvalidArgument, kOutOfMemory.
  Result<void> assume(Request& request, int tokens);
  int count() const { return static_cast<int>(requests_.size()); }

  StepState step();
  // Tells every unfinished request how far the weights have come.
  void report_weights(int64_t done, int64_t total);
  const SchedulerStats& stats() const { return stats_; }
  // Tokens of the images whose merged rows are held or on their way: at most the context.
  int64_t image_tokens() const;

 private:
  struct StepRun {
    Request* request;
    Sequence* sequence;
    RowRun rows;
    int logit_rows;  // of its last rows
    int guessed;     // of them, those of tokens that are not drawn yet
  };
  // A step that waits for weights: what was gathered for it, and the decoder's rows.
  struct Parked {
    std::vector<StepRun> runs;
    std::vector<RowRun> row_runs;
    std::vector<int> logit_rows;
    int row_count = 0;
    ParkedRows rows;
  };
  void admit();
  void give_back_images();
  void take_over_images();
  bool decoding() const;
  bool vision_work(bool shared);  // false: there was none that could be done
  bool text_work(bool shared);
  void run_step(size_t place);  // as far as weights have come
  bool make_room_to_park();
  void exchange(Parked& parked);
  void abandon_steps_of(const Request& request);
  Result<void> begin_image(RequestImage& image);
  void fail_request(Request& request, const Error& error);
  void gather(bool shared);
  void choose_guesses();
  void guess(const Request& request, Sequence& sequence, int blocks_to_spare);
  int give_rows(int decoding, int room);
  bool gather_sequence(Request& request, Sequence& sequence, int wanted);
  bool ensure_blocks(Sequence& sequence, int tokens);
  bool preempt_younger_than(const Sequence& sequence);
  void fill_row(const Request& request, const Sequence& sequence, int token_index, int row);
  // prefix.cc: what was computed before.
  const Digest& identity(const Request& request, Sequence& sequence, int block);
  bool may_adopt(const Request& request, const Sequence& sequence) const;
  void adopt(Request& request, Sequence& sequence);
  bool comes_in_step(const Request& request, Sequence& sequence);
  void seal_blocks(const Request& request, Sequence& sequence);
  bool needs(const Request& request, const RequestImage& image) const;
  bool has_images(const Request& request, const Sequence& sequence) const;
  // Rows that a sequence may compute now of those `rows`, and how many of them need logits.
  std::pair<int, int> rows_with_logits(const Request& request, const Sequence& sequence,
                                       int rows) const;
  void take_logits(const StepRun& run, int first);
  void take_tokens(const StepRun& run, int first);
  void sample(const StepRun& run, std::span<float> logits);
  void fork(Request& request);
  std::optional<std::span<const uint32_t>> allowed(Request& request, Sequence& sequence);
  void take_token(Request& request, Sequence& sequence, const Sampled& sampled);
  void end_sequence(Request& request, Sequence& sequence);
  void release(Sequence& sequence);
  bool work_left() const;

  const ModelConfig& config_;
  const Tokenizer& tokenizer_;
  const Weights& weights_;
  Decoder& decoder_;
  VisionTower& tower_;
  KvPool& kv_;
  const EngineOptions& options_;
  EventQueue& events_;
  std::vector<std::unique_ptr<Request>> requests_;  // oldest first
  std::vector<StepRun> runs_;
  std::vector<RowRun> row_runs_;
  std::vector<int> logit_rows_;
  std::vector<uint32_t> allowed_;   // bits [V], only used under a grammar
  std::vector<float> logits_copy_;  // [V], only used when a prompt forks
  int rows_ = 0, logits_ = 0;       // of the step that is gathered
  std::vector<Parked> parked_;      // the first parked_count_ hold steps, oldest first
  size_t parked_count_ = 0;
  const Request* vision_request_ = nullptr;  // whose image this step has worked on
  ImageCache images_;
  SchedulerStats stats_;
};

}  // namespace ocelli
