#include "engine/scheduler.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "engine/media.h"
#include "image/patchify.h"
#include "image/resize.h"

namespace ocelli {
namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 29);
}

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
  for (const int32_t block : sequence.blocks) kv_.release(block);
  sequence.blocks.clear();
  sequence.computed = 0;
  sequence.begun = 0;
  sequence.identity = 0;
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
    request->admitted = true;
    running += wanted;
    if (!request->announced) events_.prompt(*request);
    request->announced = true;
  }
}

// Not when a request ends but at the next step: until then its host may ask for a dump.
void Scheduler::give_back_images() {
  for (const auto& request : requests_) {
    if (!request->finished) continue;
    for (RequestImage& image : request->images) {
      image.pixels.reset();
      image.merged = {};
    }
  }
}

int64_t Scheduler::image_tokens() const {
  int64_t tokens = 0;
  for (const auto& request : requests_) {
    for (const RequestImage& image : request->images) {
      if (image.job || image.merged.data()) tokens += image.grid.tokens(config_.vision.merge);
    }
  }
  return tokens;
}

Result<void> Scheduler::begin_image(RequestImage& image) {
  OCELLI_TRY(Image pixels, resize_bicubic(*image.pixels, image.width, image.height));
  auto resized = std::make_shared<const Image>(std::move(pixels));
  const ImageConfig processor = image_config(config_.vision, config_.image);
  const auto patches = [resized, processor](int64_t begin, int64_t end, float* out) {
    patchify(*resized, processor, begin, end, out);
  };
  OCELLI_TRY(image.job, VisionJob::make(tower_, image.grid, patches));
  image.pixels.reset();
  return {};
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

bool Scheduler::vision_work(bool shared) {
  vision_request_ = nullptr;
  for (const auto& owner : requests_) {
    Request& request = *owner;
    if (!request.admitted || request.finished) continue;
    for (RequestImage& image : request.images) {
      if (image.done) continue;
      if (!image.job) {
        // A prompt's own images always fit its context; older ones have begun before.
        const int64_t tokens = image_tokens() + image.grid.tokens(config_.vision.merge);
        if (tokens > options_.context) return false;
        if (Result<void> begun = begin_image(image); !begun) {
          fail_request(request, begun.error());  // no memory for this image: the others go on
          return true;
        }
        events_.progress(request, "vision", 0, image.job->work_total());
        vision_request_ = &request;
        return true;  // resizing is work enough for a step
      }
      if (image.job->waits()) return false;
      image.done = image.job->advance(shared ? kVisionStepWorkShared : kVisionStepWork);
      events_.progress(request, "vision", image.job->work_done(), image.job->work_total());
      vision_request_ = &request;
      if (image.done) {
        image.merged = image.job->take_merged();
        image.job.reset();
      }
      return true;
    }
  }
  return false;
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
    decoder_.embed_token(row, sequence.tokens[token_index]);
    return;
  }
  const int64_t hidden = config_.text.hidden;
  std::memcpy(decoder_.hidden(row),
              image->merged.data() + (token_index - image->token_begin) * hidden,
              static_cast<size_t>(hidden) * sizeof(float));
}

// The decoder gives logits of as many rows as there may be sequences, so prompts with
// log-probabilities come in small slices and the others' ends may have to wait for a step.
std::pair<int, int> Scheduler::rows_with_logits(const Request& request, const Sequence& sequence,
                                                int rows) const {
  const int room = options_.sequences_max - logits_;
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
                   logit_rows});
  rows_ += rows;
  logits_ += logit_rows;
  sequence.begun += rows;
  return true;
}

void Scheduler::gather(bool shared) {
  runs_.clear();
  rows_ = logits_ = 0;
  const auto each = [&](auto&& visit) {
    for (const auto& request : requests_) {
      if (!request->admitted || request->finished || !request->images_done()) continue;
      if (request.get() == vision_request_) continue;  // a step of vision and prompt would be long
      for (Sequence& sequence : request->sequences) {
        if (!sequence.finished && !sequence.waits_for_fork) visit(*request, sequence);
      }
    }
  };
  const auto decodes = [](const Sequence& sequence) {
    return sequence.begun > 0 && sequence.pending() == 1;
  };
  each([&](Request& request, Sequence& sequence) {
    if (decodes(sequence)) gather_sequence(request, sequence, 1);
  });
  int prompt_rows = std::min(kStepRowsMax - rows_, shared ? kPrefillRowsShared : kStepRowsMax);
  each([&](Request& request, Sequence& sequence) {
    if (decodes(sequence) || prompt_rows <= 0) return;
    const int rows = std::min(prompt_rows, sequence.pending());
    const int before = rows_;
    if (gather_sequence(request, sequence, rows)) prompt_rows -= rows_ - before;
  });
}

void Scheduler::seal_blocks(const Request& request, Sequence& sequence) {
  for (size_t i = 0;
       i < sequence.blocks.size() && static_cast<int>(i + 1) * kKvBlock <= sequence.computed; ++i) {
    const int block = sequence.blocks[i];
    if (kv_.identity(block) != 0) {
      sequence.identity = kv_.identity(block);
      continue;
    }
    uint64_t hash = sequence.identity;
    if (i == 0) hash = request.adapter ? mix(1, request.adapter->serial()) : 1;
    for (int token = static_cast<int>(i) * kKvBlock; token < static_cast<int>(i + 1) * kKvBlock;
         ++token) {
      hash = mix(hash, static_cast<uint64_t>(sequence.tokens[token]));
      const RequestImage* image = image_at(request, token, config_.vision.merge);
      if (image)
        hash = mix(hash, image->digest + static_cast<uint64_t>(token - image->token_begin));
    }
    sequence.identity = hash | 1;
    kv_.set_identity(block, sequence.identity);
  }
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

// Logits first, first + 1, ... are those of the run's last rows: of prompt tokens, whose followers
// are known, or of the last token so far.
void Scheduler::take_logits(const StepRun& run, int first) {
  Request& request = *run.request;
  for (int i = 0; i < run.logit_rows; ++i) {
    const int next = run.rows.cached + run.rows.rows - run.logit_rows + i + 1;
    const std::span<float> logits = decoder_.logits(first + i);
    if (next == static_cast<int>(run.sequence->tokens.size())) {
      sample(run, logits);
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
    sequence.identity = first.identity;
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
