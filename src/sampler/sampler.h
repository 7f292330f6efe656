// Chooses the next token of one sequence from its logits, and says how likely it was. Called by
// engine, once per generated token. Surprise: log-probabilities are those of the model (raw logits
// over the whole vocabulary), whatever penalties, temperature and cuts did to the choice.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sampler/select.h"

namespace ocelli {

// Values as validated by the engine: ranges are those of a chat-completions body.
struct SamplingParams {
  float temperature = 1;         // >= 0; see effective_temperature()
  float top_p = 1;               // (0, 1]
  float min_p = 0;               // [0, 1]
  int top_k = 0;                 // <= 0: off
  float repetition_penalty = 1;  // > 0, over prompt and output ids
  float presence_penalty = 0;    // over output ids only
  float frequency_penalty = 0;   // over output ids only, times their count
  std::vector<std::pair<int32_t, float>> logit_bias = {};
  bool has_seed = false;  // whether the request named the seed; `seed` is used either way
  uint64_t seed = 0;
  int min_tokens = 0;
  std::vector<int32_t> eos_ids =
      {};                   // ends and stop_token_ids: not chosen before min_tokens tokens
  bool ignore_eos = false;  // for the engine's stop rule; changes nothing in the choice
  int top_logprobs = -1;    // -1: no log-probabilities; else how many alternatives to list
  int vocab_used = 0;       // ids >= this are never chosen; 0: all of the vocabulary
  std::vector<int32_t> never_ids = {};  // never chosen either
};

struct TokenLogprob {
  int32_t id;
  float logprob;
};

struct Sampled {
  int32_t id = 0;
  float logprob =
      0;         // natural log, not below -9999; 0 when top_logprobs < 0 and nothing was forced
  int rank = 0;  // 1 = most likely, ties by lower id; 0 when not computed
  std::vector<TokenLogprob>
      top;  // the top_logprobs most likely tokens, best first, ties by lower id
};

// What a temperature means: 0 -> 0 (greedy); between 0 and 0.01 -> 0.01, also when it comes from
// generation_config.json (Qwen's 1e-6 samples at 0.01, it is not greedy); else itself.
float effective_temperature(float temperature);

// What the model's raw logits [V] say about a token: its log-probability and rank, and the `top`
// most likely ones.
Sampled describe_token(std::span<const float> logits, int32_t id, int top);

// One per sequence. next() allocates only for Sampled::top, so nothing when top_logprobs < 0.
class Sampler {
 public:
  // prompt_ids are only used for the repetition penalty (image pads among them do no harm).
  Sampler(SamplingParams params, std::span<const int32_t> prompt_ids, int vocab);

  // Bytes one sampler takes at most: with penalties and log-probabilities, each a table [V] of 4
  // bytes.
  static int64_t bytes(int vocab);

  // logits [V] f32 are the model's and may be overwritten. forced >= 0 takes that token instead of
  // choosing one (teacher forcing) and reports its log-probability; it counts as output like any
  // other. Order: raw log-probabilities, logit bias, masks, repetition / frequency / presence
  // penalty, greedy or temperature, min_p, top_k, top_p, draw. If nothing is left to choose from
  // (all masked or NaN) the lowest id that is not masked is taken, 0 if there is none.
  // allowed: bit i % 32 of word i / 32 lets id i be chosen; empty: all.
  Sampled next(std::span<float> logits, int32_t forced = -1,
               std::span<const uint32_t> allowed = {});

  // Tokens taken so far.
  int64_t taken() const { return taken_; }

 private:
  int32_t choose(std::span<float> logits, std::span<const uint32_t> allowed);
  void apply_bias_and_masks(std::span<float> logits) const;
  void apply_penalties(std::span<float> logits) const;

  SamplingParams params_;
  int vocab_;
  bool penalties_;  // any penalty is on, so seen_ is kept
  // [V]: bit 31 = in the prompt, the rest = times in the output. Empty without penalties.
  std::vector<uint32_t> seen_;
  std::vector<float>
      raw_;  // [V]: the model's logits while they are overwritten; empty without logprobs
  RadixScratch scratch_;
  int64_t taken_ = 0;
};

}  // namespace ocelli
