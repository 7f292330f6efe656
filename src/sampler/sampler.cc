// See sampler.h. From "temperature" on the logits buffer holds weights exp((l - max) / t): in
// place, so that a sequence needs no scratch of the vocabulary's size.
#include "sampler/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "sampler/exact_math.h"

namespace ocelli {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
constexpr float kLogprobFloor = -9999;
constexpr float kBiasMax = 100;
constexpr float kTemperatureMin = 0.01f;
constexpr uint32_t kInPrompt = 0x80000000u;
// Weights below e^-60 of the largest are dropped: 2^18 of them are still less than what a 53-bit
// draw resolves, and their exp() need not be computed.
constexpr double kNegligible = -60;

// False for NaN and for masked entries.
bool possible(float logit) { return logit > kMasked; }

float largest(std::span<const float> logits) {
  float most = kMasked;
  for (const float logit : logits) most = logit > most ? logit : most;
  return std::min(most, std::numeric_limits<float>::max());
}

// The lowest id with the largest logit; without any, the lowest one that is NaN rather than masked,
// else 0.
int32_t argmax(std::span<const float> logits) {
  int32_t best = -1, unmasked = -1;
  float most = kMasked;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (logit > most) {
      most = logit;
      best = static_cast<int32_t>(i);
    } else if (unmasked < 0 && logit != kMasked) {
      unmasked = static_cast<int32_t>(i);
    }
  }
  return best >= 0 ? best : std::max(unmasked, 0);
}

// most: the largest logit, > -infinity. NaN and masked entries get weight 0.
void logits_to_weights(std::span<float> logits, float most, float temperature) {
  const double top = std::min(most, std::numeric_limits<float>::max()), scale = 1.0 / temperature;
  const double lowest = top + kNegligible / scale;
  for (float& logit : logits) {
    if (logit >= lowest) {
      logit = static_cast<float>(exact_exp((std::min<double>(logit, top) - top) * scale));
    } else {
      logit = 0;
    }
  }
}

void apply_allowed(std::span<float> logits, std::span<const uint32_t> allowed) {
  for (size_t word = 0; word < allowed.size(); ++word) {
    const auto row = logits.subspan(word * 32, std::min<size_t>(32, logits.size() - word * 32));
    if (allowed[word] == 0) {
      std::ranges::fill(row, kMasked);
    } else if (~allowed[word] != 0) {
      for (size_t bit = 0; bit < row.size(); ++bit) {
        if (!(allowed[word] >> bit & 1)) row[bit] = kMasked;
      }
    }
  }
}

// The id at which the running sum passes u of the total. Some weight must be positive.
int32_t draw(std::span<const float> weights, double u) {
  double total = 0;
  for (const float weight : weights) total += weight;
  const double target = u * total;
  double sum = 0;
  int32_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = static_cast<int32_t>(i);
    sum += weights[i];
    if (sum > target) break;
  }
  return last;
}

// The most likely ids, best first, with their logits in place of log-probabilities. The list stays
// sorted; after a few hundred ids hardly any passes its last entry.
void list_top(std::span<const float> logits, size_t wanted, std::vector<TokenLogprob>& top) {
  top.reserve(wanted + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (logit != logit || (top.size() == wanted && logit <= top.back().logprob)) continue;
    // Behind its equals: ids come in rising order.
    const auto at = std::ranges::upper_bound(top, logit, std::greater<>(), &TokenLogprob::logprob);
    top.insert(at, {static_cast<int32_t>(i), logit});
    if (top.size() > wanted) top.pop_back();
  }
}

}  // namespace

float effective_temperature(float temperature) {
  // The raise comes before the test for greedy, as in vLLM: only exactly 0 is greedy.
  if (temperature > 0 && temperature < kTemperatureMin) return kTemperatureMin;
  return temperature;
}

int64_t Sampler::bytes(int vocab) {
  return int64_t{vocab} * (sizeof(uint32_t) + sizeof(float)) +
         static_cast<int64_t>(sizeof(Sampler));
}

Sampler::Sampler(SamplingParams params, std::span<const int32_t> prompt_ids, int vocab)
    : params_(std::move(params)), vocab_(vocab) {
  params_.temperature = effective_temperature(params_.temperature);
  params_.top_logprobs = std::min(params_.top_logprobs, vocab);
  if (params_.vocab_used <= 0 || params_.vocab_used > vocab) params_.vocab_used = vocab;
  for (auto& [id, bias] : params_.logit_bias) bias = std::clamp(bias, -kBiasMax, kBiasMax);
  penalties_ = params_.repetition_penalty != 1 || params_.presence_penalty != 0 ||
               params_.frequency_penalty != 0;
  if (params_.top_logprobs >= 0) raw_.resize(static_cast<size_t>(vocab));
  if (!penalties_) return;
  seen_.assign(static_cast<size_t>(vocab), 0);
  for (const int32_t id : prompt_ids) {
    if (id >= 0 && id < vocab) seen_[static_cast<size_t>(id)] |= kInPrompt;
  }
}

Sampled Sampler::next(std::span<float> logits, int32_t forced, std::span<const uint32_t> allowed) {
  OCELLI_CHECK(static_cast<int>(logits.size()) == vocab_ && forced < vocab_);
  OCELLI_CHECK(allowed.empty() || allowed.size() == (logits.size() + 31) / 32);
  Sampled out;
  if (forced >= 0) {
    out = describe_token(logits, forced, params_.top_logprobs);
  } else {
    std::ranges::copy(logits.first(raw_.size()), raw_.begin());
    out.id = choose(logits, allowed);
    if (params_.top_logprobs >= 0) out = describe_token(raw_, out.id, params_.top_logprobs);
  }
  if (penalties_) ++seen_[static_cast<size_t>(out.id)];
  ++taken_;
  return out;
}

Sampled describe_token(std::span<const float> logits, int32_t id, int top) {
  Sampled out;
  out.id = id;
  const double most = largest(logits);
  double sum = 0;
  for (const float logit : logits) {
    if (possible(logit)) sum += exact_exp(std::min<double>(logit, most) - most);
  }
  const double log_sum = std::log(sum);
  const auto logprob = [&](int32_t id) {
    const double value = std::min<double>(logits[static_cast<size_t>(id)], most) - most - log_sum;
    return value > kLogprobFloor ? static_cast<float>(value) : kLogprobFloor;  // NaN: the floor
  };
  const float own = logits[static_cast<size_t>(out.id)];
  out.logprob = logprob(out.id);
  out.rank = 1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > own || (logits[i] == own && static_cast<int32_t>(i) < out.id)) ++out.rank;
  }
  if (top > 0) list_top(logits, std::min(static_cast<size_t>(top), logits.size()), out.top);
  for (TokenLogprob& entry : out.top) entry.logprob = logprob(entry.id);
  return out;
}

int32_t Sampler::choose(std::span<float> logits, std::span<const uint32_t> allowed) {
  apply_bias_and_masks(logits);
  if (!allowed.empty()) apply_allowed(logits, allowed);
  if (penalties_) apply_penalties(logits);
  const int32_t best = argmax(logits);
  const float most = logits[static_cast<size_t>(best)];
  if (params_.temperature == 0 || !possible(most)) return best;
  logits_to_weights(logits, most, params_.temperature);
  if (params_.min_p > 0) keep_min_p(logits, params_.min_p);
  if (params_.top_k > 0 && params_.top_k < vocab_) keep_top_k(logits, params_.top_k, scratch_);
  if (params_.top_p < 1) keep_top_p(logits, params_.top_p, scratch_);
  return draw(logits, uniform_at(params_.seed, static_cast<uint64_t>(taken_)));
}

void Sampler::apply_bias_and_masks(std::span<float> logits) const {
  const auto in_vocabulary = [&](int32_t id) { return id >= 0 && id < vocab_; };
  for (const auto [id, bias] : params_.logit_bias) {
    if (in_vocabulary(id)) logits[static_cast<size_t>(id)] += bias;
  }
  std::ranges::fill(logits.subspan(static_cast<size_t>(params_.vocab_used)), kMasked);
  for (const int32_t id : params_.never_ids) {
    if (in_vocabulary(id)) logits[static_cast<size_t>(id)] = kMasked;
  }
  if (taken_ >= params_.min_tokens) return;
  for (const int32_t id : params_.eos_ids) {
    if (in_vocabulary(id)) logits[static_cast<size_t>(id)] = kMasked;
  }
}

void Sampler::apply_penalties(std::span<float> logits) const {
  const float repetition = params_.repetition_penalty;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (seen_[i] == 0) continue;
    float& logit = logits[i];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    const uint32_t times = seen_[i] & ~kInPrompt;
    if (times == 0) continue;
    logit -= params_.frequency_penalty * static_cast<float>(times);
    logit -= params_.presence_penalty;
  }
}

}  // namespace ocelli
