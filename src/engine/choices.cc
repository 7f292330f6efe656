// Scheduler's way from a step's logits to the next tokens: draws (under a grammar where there is
// one), the fork of a prompt into several choices, the end of a sequence. steps.cc calls
// take_logits.
#include <algorithm>

#include "engine/scheduler.h"

namespace ocelli {

// Logits first, first + 1, ... are those of the run's last rows: of prompt tokens, whose followers
// are known, or of the last token so far and of those that are guessed to follow it.
void Scheduler::take_logits(const StepRun& run, int first) {
  Request& request = *run.request;
  for (int i = 0; i < run.logit_rows; ++i) {
    const int next = run.rows.cached + run.rows.rows - run.logit_rows + i + 1;
    const std::span<float> logits = decoder_.logits(first + i);
    if (next == static_cast<int>(run.sequence->tokens.size())) {
      take_tokens(run, first + i);
      return;
    } else if (next < request.prompt_tokens &&
               next == static_cast<int>(request.prompt_listed.size()) + 1) {
      request.prompt_listed.push_back(
          describe_token(logits, run.sequence->tokens[next], request.spec.prompt_logprobs));
    }
  }
}

void Scheduler::sample(const StepRun& run, std::span<float> logits) {
  Request& request = *run.request;
  const bool forks = request.sequences.size() > 1 && request.sequences[1].waits_for_fork;
  if (forks) std::copy(logits.begin(), logits.end(), logits_copy_.begin());
  const auto draw = [&](Sequence& sequence, std::span<float> values) {
    const size_t output = sequence.tokens.size() - request.prompt_tokens;
    const std::vector<int32_t>& forced = request.spec.forced;
    const int32_t next = output < forced.size() ? forced[output] : -1;
    const auto bits = allowed(request, sequence);
    if (bits) take_token(request, sequence, sequence.sampler->next(values, next, *bits));
  };
  if (forks) fork(request);
  draw(*run.sequence, logits);
  if (!forks) return;
  for (size_t i = 1; i < request.sequences.size(); ++i) {
    std::copy(logits_copy_.begin(), logits_copy_.end(), logits.begin());
    draw(request.sequences[i], logits);
  }
}

// The other choices take over the prompt's blocks: full ones are shared, the last partial one is
// copied. Without a free block for the copy a choice computes its prompt itself later.
void Scheduler::fork(Request& request) {
  const Sequence& first = request.sequences[0];
  for (size_t i = 1; i < request.sequences.size(); ++i) {
    Sequence& sequence = request.sequences[i];
    sequence.waits_for_fork = false;
    const int full = first.computed / kKvBlock;
    const bool partial = first.computed % kKvBlock != 0;
    const int copy = partial ? kv_.copy(first.blocks[full]) : -1;
    if (partial && copy < 0) continue;
    for (int block = 0; block < full; ++block) {
      kv_.retain(first.blocks[block]);
      sequence.blocks.push_back(first.blocks[block]);
    }
    if (partial) sequence.blocks.push_back(copy);
    sequence.computed = sequence.begun = first.computed;
    sequence.sealed = full;
  }
}

// The tokens that a sequence's grammar lets through, none when it has no grammar. Nothing: the
// request is over.
std::optional<std::span<const uint32_t>> Scheduler::allowed(Request& request, Sequence& sequence) {
  if (sequence.finished) return std::nullopt;
  if (!sequence.matcher) return std::span<const uint32_t>();
  const Result<std::span<const uint32_t>> bits = sequence.matcher->mask();
  if (!bits) {
    Error error = bits.error();
    error.param = request.spec.grammar->field;
    fail_request(request, error);
    return std::nullopt;
  }
  allowed_.assign(bits->begin(), bits->end());
  if (!sequence.matcher->may_end() || request.spec.sampling.ignore_eos) return allowed_;
  for (const int32_t id : sequence.sampling.eos_ids)
    allowed_[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
  return allowed_;
}

void Scheduler::take_token(Request& request, Sequence& sequence, const Sampled& sampled) {
  const RequestSpec& spec = request.spec;
  const auto contains = [](const std::vector<int32_t>& ids, int32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  sequence.tokens.push_back(sampled.id);
  ++request.completion_tokens;
  const int output = static_cast<int>(sequence.tokens.size()) - request.prompt_tokens;
  const bool free_running = spec.forced.empty();
  const bool at_limit = output >= spec.max_tokens;
  const bool eos = contains(config_.generation.eos, sampled.id) && !spec.sampling.ignore_eos;
  const bool stop_id = contains(spec.stop_ids, sampled.id);
  End end = at_limit ? End::kTruncated : End::kNo;
  const bool stopped = (eos || stop_id) && (free_running || at_limit);
  const bool followed = sequence.matcher && sequence.matcher->accept(sampled.id);
  if (stopped || (followed && sequence.matcher->must_end())) end = End::kModel;

  const bool silent = (stopped && !spec.include_stop) ||
                      (spec.skip_special_tokens && tokenizer_.is_special(sampled.id));
  const std::string_view bytes = silent ? std::string_view() : tokenizer_.token_bytes(sampled.id);
  const OutputStep step = sequence.output.feed(bytes, end, output >= spec.sampling.min_tokens);
  events_.delta(request, sequence, sampled, step.text);
  if (!step.finished) return;

  const bool truncated = end == End::kTruncated && step.stop_index < 0 && !sequence.output.full();
  const bool called = sequence.output.finished_by_tools() && spec.tool_choice != ToolChoice::kNamed;
  const char* reason = truncated ? "length" : called ? "tool_calls" : "stop";
  const std::string* stop_string =
      step.stop_index >= 0 ? &sequence.output.stop(step.stop_index) : nullptr;
  events_.finish(request, sequence, reason, stop_string,
                 !stop_string && stop_id && !eos && end == End::kModel ? sampled.id : -1);
  end_sequence(request, sequence);
}

}  // namespace ocelli
