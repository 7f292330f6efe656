#include "engine/scheduler.h"

#include <algorithm>
#include <cstring>

namespace ocelli {
namespace {

const RequestImage* image_at(const Request& request, int token_index, int merge) {
  for (const RequestImage& image : request.images) {
    const int offset = token_index - image.token_begin;
    if (offset >= 0 && offset < image.grid.tokens(merge)) return &image;
  }
  return nullptr;
}

}  // namespace

Scheduler::Scheduler(const ModelConfig& config, const Tokenizer& tokenizer, const Weights& weights,
                     Decoder& decoder, VisionTower& tower, KvPool& kv, const EngineOptions& options,
                     EventQueue& events)
    : config_(config),
      tokenizer_(tokenizer),
      weights_(weights),
      decoder_(decoder),
      tower_(tower),
      kv_(kv),
      options_(options),
      events_(events) {
  runs_.reserve(kStepRowsMax);
  row_runs_.reserve(kStepRowsMax);
  logit_rows_.reserve(kStepRowsMax);
}

void Scheduler::add(std::unique_ptr<Request> request) {
  if (request->sequences.size() > 1 && logits_copy_.empty())
    logits_copy_.resize(config_.text.vocab);
  requests_.push_back(std::move(request));
}

void Scheduler::announce_only(std::unique_ptr<Request> request) {
  events_.prompt(*request);
  events_.done(*request);
  request->announced = request->finished = true;
  for (Sequence& sequence : request->sequences) sequence.finished = true;
  requests_.push_back(std::move(request));
}

Request* Scheduler::find(uint32_t handle) {
  for (const auto& request : requests_) {
    if (request->handle == handle) return request.get();
  }
  return nullptr;
}

void Scheduler::cancel(Request& request) {
  if (request.finished) return;
  abandon_steps_of(request);
  if (!request.announced) events_.prompt(request);
  request.announced = true;
  for (Sequence& sequence : request.sequences) {
    if (sequence.finished) continue;
    events_.finish(request, sequence, "abort", nullptr, -1);
    end_sequence(request, sequence);
  }
}

void Scheduler::remove(uint32_t handle) {
  for (const auto& request : requests_) {
    if (request->handle != handle) continue;
    abandon_steps_of(*request);
    for (Sequence& sequence : request->sequences) release(sequence);
  }
  std::erase_if(requests_, [&](const auto& request) { return request->handle == handle; });
  events_.drop(handle);
}

void Scheduler::release(Sequence& sequence) {
  // The last block first: what follows on nothing is the first to be taken for other use.
  for (size_t i = sequence.blocks.size(); i-- > 0;) kv_.release(sequence.blocks[i]);
  sequence.blocks.clear();
  sequence.computed = sequence.begun = sequence.sealed = 0;
  sequence.assumed = false;
}

void Scheduler::end_sequence(Request& request, Sequence& sequence) {
  sequence.finished = true;
  sequence.sampler.reset();
  release(sequence);
  for (const Sequence& other : request.sequences) {
    if (!other.finished) return;
  }
  request.finished = true;
  for (RequestImage& image : request.images) image.job.reset();
  events_.done(request);
}

bool Scheduler::work_left() const {
  return std::any_of(requests_.begin(), requests_.end(),
                     [](const auto& request) { return !request->finished; });
}

bool Scheduler::decoding() const {
  for (const auto& request : requests_) {
    for (const Sequence& sequence : request->sequences) {
      if (!sequence.finished && sequence.computed > 0 && sequence.pending() == 1) return true;
    }
  }
  return false;
}

void Scheduler::admit() {
  int running = 0;
  for (const auto& request : requests_) {
    if (request->finished) continue;
    const int wanted = static_cast<int>(request->sequences.size());
    if (!request->admitted && running + wanted > options_.sequences_max)
      return;  // first come, first served
    if (!request->admitted) {
      for (Sequence& sequence : request->sequences) {
        sequence.sampler.emplace(sequence.sampling, sequence.tokens, config_.text.vocab);
      }
    }
    if (!request->admitted && options_.prefix_cache)
      stats_.prefix_queries += request->prompt_tokens;
    request->admitted = true;
    running += wanted;
    if (!request->announced) events_.prompt(*request);
    request->announced = true;
  }
}

void Scheduler::fail_request(Request& request, const Error& error) {
  abandon_steps_of(request);
  for (Sequence& sequence : request.sequences) {
    sequence.finished = true;
    sequence.sampler.reset();
    release(sequence);
  }
  request.finished = true;
  events_.error(request.handle, error);
}

bool Scheduler::preempt_younger_than(const Sequence& sequence) {
  for (auto request = requests_.rbegin(); request != requests_.rend(); ++request) {
    for (auto other = (*request)->sequences.rbegin(); other != (*request)->sequences.rend();
         ++other) {
      if (&*other == &sequence) return false;
      if (other->blocks.empty() || other->in_step()) continue;
      release(*other);
      ++stats_.preemptions;
      return true;
    }
  }
  return false;
}

bool Scheduler::ensure_blocks(Sequence& sequence, int tokens) {
  while (static_cast<int>(sequence.blocks.size()) * kKvBlock < tokens) {
    const int block = kv_.take();
    if (block >= 0) {
      sequence.blocks.push_back(block);
    } else if (!preempt_younger_than(sequence)) {
      return false;
    }
  }
  return true;
}

void Scheduler::fill_row(const Request& request, const Sequence& sequence, int token_index,
                         int row) {
  const PromptPositions& prompt = request.positions;
  if (token_index < request.prompt_tokens) {
    decoder_.set_position(row, prompt.positions[token_index]);
  } else {
    const int32_t at = token_index + prompt.rope_delta;
    decoder_.set_position(row, {at, at, at});
  }
  const RequestImage* image = token_index < request.prompt_tokens
                                  ? image_at(request, token_index, config_.vision.merge)
                                  : nullptr;
  if (!image) {
    const int guessed = token_index - static_cast<int>(sequence.tokens.size());
    decoder_.embed_token(row, guessed < 0 ? sequence.tokens[token_index]
                                          : sequence.guess.tokens[static_cast<size_t>(guessed)]);
    return;
  }
  const int64_t hidden = config_.text.hidden;
  std::memcpy(decoder_.hidden(row),
              image->merged->data() + (token_index - image->token_begin) * hidden,
              static_cast<size_t>(hidden) * sizeof(float));
}

// The decoder gives logits of as many rows as there may be sequences, so prompts with
// log-probabilities come in small slices and the others' ends may have to wait for a step.
std::pair<int, int> Scheduler::rows_with_logits(const Request& request, const Sequence& sequence,
                                                int rows) const {
  const int room = options_.sequences_max - logits_;
  const int guessed = rows - sequence.pending();
  if (guessed > 0) return {rows, 1 + guessed};  // there is room: choose_guesses has seen to it
  if (request.lists_prompt(sequence)) {
    const int some = std::min(rows, room);
    return {some, some};
  }
  if (rows < sequence.pending()) return {rows, 0};
  return room > 0 ? std::pair(rows, 1) : std::pair(rows - 1, 0);
}

bool Scheduler::gather_sequence(Request& request, Sequence& sequence, int wanted) {
  const auto [rows, logit_rows] = rows_with_logits(request, sequence, wanted);
  if (rows <= 0 || !ensure_blocks(sequence, sequence.begun + rows)) return false;
  for (int i = 0; i < rows; ++i) fill_row(request, sequence, sequence.begun + i, rows_ + i);
  runs_.push_back({&request,
                   &sequence,
                   {rows_, rows, sequence.begun, nullptr, request.adapter.get()},
                   logit_rows,
                   std::max(0, rows - sequence.pending())});
  request.started = true;
  rows_ += rows;
  logits_ += logit_rows;
  sequence.begun += rows;
  return true;
}

void Scheduler::gather(bool shared) {
  runs_.clear();
  rows_ = logits_ = 0;
  choose_guesses();
  const auto each = [&](auto&& visit) {
    for (const auto& request : requests_) {
      if (!request->admitted || request->finished) continue;
      if (request.get() == vision_request_) continue;  // a step of vision and prompt would be long
      for (Sequence& sequence : request->sequences) {
        if (sequence.finished || sequence.waits_for_fork) continue;
        adopt(*request, sequence);
        if (has_images(*request, sequence)) visit(*request, sequence);
      }
    }
  };
  each([&](Request& request, Sequence& sequence) {
    if (sequence.decodes()) gather_sequence(request, sequence, 1 + sequence.guess.rows);
  });
  int prompt_rows = std::min(kStepRowsMax - rows_, shared ? kPrefillRowsShared : kStepRowsMax);
  each([&](Request& request, Sequence& sequence) {
    if (sequence.decodes() || prompt_rows <= 0 || comes_in_step(request, sequence)) return;
    const int rows = std::min(prompt_rows, sequence.pending());
    const int before = rows_;
    if (gather_sequence(request, sequence, rows)) prompt_rows -= rows_ - before;
  });
}

StepState Scheduler::step() {
  give_back_images();
  admit();
  const bool shared = decoding();
  const bool seen = vision_work(shared), read = text_work(shared);
  if (!work_left()) return StepState::kIdle;
  return seen || read || weights_.complete() ? StepState::kMore : StepState::kWaiting;
}

void Scheduler::report_weights(int64_t done, int64_t total) {
  for (const auto& request : requests_) {
    if (!request->finished) events_.progress(*request, "weights", done, total);
  }
}

}  // namespace ocelli
