#include "engine/engine.h"

#include <algorithm>
#include <climits>

#include "engine/prefix.h"
#include "engine/prompt.h"

namespace ocelli {
namespace {

// Refuses what does not fit; without max_tokens the answer may fill the context.
Result<void> fit_context(RequestSpec& spec, int prompt_tokens, int context) {
  if (spec.tokenize_only) {  // prompts of any length can be counted
    spec.n = spec.max_tokens = 1;
    return {};
  }
  const std::string start =
      "This model's maximum context length is " + std::to_string(context) + " tokens. ";
  if (spec.max_tokens == 0 && prompt_tokens >= context) {
    return fail(Status::kContextLengthExceeded,
                start + "However, you requested " + std::to_string(prompt_tokens) +
                    " tokens in the messages, Please reduce the length of the messages.",
                "messages");
  }
  const int64_t wanted = int64_t{prompt_tokens} + spec.max_tokens;
  if (wanted > context) {
    return fail(Status::kContextLengthExceeded,
                start + "However, you requested " + std::to_string(wanted) + " tokens (" +
                    std::to_string(prompt_tokens) + " in the messages, " +
                    std::to_string(spec.max_tokens) +
                    " in the completion). Please reduce the length of the messages or completion.",
                "messages");
  }
  if (spec.max_tokens == 0) spec.max_tokens = context - prompt_tokens;
  const int64_t entries = int64_t{prompt_tokens} * (spec.prompt_logprobs + 1);
  if (entries > kPromptLogprobsMax) {
    return fail(Status::kInvalidValue,
                "prompt_logprobs=" + std::to_string(spec.prompt_logprobs) + " of " +
                    std::to_string(prompt_tokens) + " tokens would list " +
                    std::to_string(entries) + " log-probabilities, at most " +
                    std::to_string(kPromptLogprobsMax) + " are allowed",
                "prompt_logprobs");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(std::string_view manifest, std::string_view options) {
  std::unique_ptr<Engine> engine(new Engine);
  OCELLI_TRY(engine->manifest_, parse_manifest(manifest));
  OCELLI_TRY(engine->options_, parse_options(options));
  OCELLI_TRY(engine->plan_, plan_memory(engine->manifest_, engine->options_));
  engine->options_.context = engine->plan_.context;
  const ModelConfig& config = engine->manifest_.config;
  const EngineOptions& chosen = engine->options_;
  engine->pool_ = std::make_unique<Pool>(chosen.threads);
  engine->loader_.emplace(config);
  OCELLI_TRY(engine->decoder_, Decoder::make(config.text, engine->weights_, *engine->pool_,
                                             chosen.fast, kStepRowsMax, chosen.sequences_max));
  OCELLI_TRY(engine->tower_,
             VisionTower::make(config.vision, engine->weights_, *engine->pool_, chosen.fast));
  OCELLI_TRY(engine->kv_,
             KvPool::make(config.text.layers, config.text.kv_heads, config.text.head_dim,
                          engine->plan_.kv_blocks, engine->plan_.kv_format));
  engine->shards_.resize(engine->manifest_.shards.size());
  return engine;
}

Result<std::vector<int32_t>> Engine::tokenize(std::string_view text, bool match_added) const {
  if (!tokenizer_) return fail(Status::kNotReady, "the tokenizer's shard is not committed yet");
  std::vector<int32_t> ids;
  tokenizer_->encode(text, match_added, ids);
  return ids;
}

Result<std::string> Engine::detokenize(std::span<const int32_t> ids, bool skip_special) const {
  if (!tokenizer_) return fail(Status::kNotReady, "the tokenizer's shard is not committed yet");
  std::string text;
  for (const int32_t id : ids) {
    if (id < 0 || id >= manifest_.config.text.vocab) {
      return fail(Status::kInvalidTokenId, "token id " + std::to_string(id) + " is not in [0, " +
                                               std::to_string(manifest_.config.text.vocab) + ")");
    }
    if (!(skip_special && tokenizer_->is_special(id))) text += tokenizer_->token_bytes(id);
  }
  return text;
}

Result<void> Engine::adapter_commit(std::string_view name, std::string_view config) {
  OCELLI_TRY_VOID(decoder_->make_room_for_adapters());
  return adapters_.commit(name, config, manifest_.config);
}

Result<uint32_t> Engine::media_put(std::span<const uint8_t> encoded) { return media_.put(encoded); }

// Null without a grammar. The vocabulary is sorted when a first request needs it.
Result<std::shared_ptr<Grammar>> Engine::grammar_of(const RequestSpec& spec) {
  if (!spec.grammar) return nullptr;
  if (!vocabulary_) {
    std::vector<std::pair<int32_t, std::string>> markers;
    for (const char* text : {"<tool_call>", "</tool_call>"}) {
      const std::optional<int32_t> id = tokenizer_->find_added(text);
      if (id && !tokenizer_->is_special(*id)) markers.emplace_back(*id, text);
    }
    vocabulary_.emplace(
        manifest_.config.text.vocab,
        [this](int32_t id) {
          return tokenizer_->is_added(id) ? std::string_view() : tokenizer_->token_bytes(id);
        },
        markers);
  }
  return grammars_.get(*spec.grammar, *vocabulary_);
}

Result<uint32_t> Engine::request_open(std::string_view json) {
  if (load_error_) return std::unexpected(*load_error_);
  if (!scheduler_) return fail(Status::kNotReady, "the tokenizer's shard is not committed yet");
  if (scheduler_->count() >= kRequestsMax) {
    return fail(Status::kQueueFull,
                "at most " + std::to_string(kRequestsMax) + " requests can be open at once");
  }
  const ModelConfig& config = manifest_.config;
  auto request = std::make_unique<Request>();
  const uint64_t seed = options_.seed + uint64_t{next_request_} * 0x9E3779B97F4A7C15ull;
  OCELLI_TRY(request->spec, parse_request(json, config, seed));
  RequestSpec& spec = request->spec;
  if (!spec.adapter.empty()) {
    OCELLI_TRY(request->adapter, adapters_.find(spec.adapter));
  }
  if (spec.n > options_.sequences_max) {
    return fail(Status::kInvalidValue,
                "n must be in [1, " + std::to_string(options_.sequences_max) + "], got " +
                    std::to_string(spec.n) + ".",
                "n");
  }
  OCELLI_TRY(const std::shared_ptr<Grammar> grammar, grammar_of(spec));
  std::vector<PatchGrid> grids;
  for (const ImagePart& part : spec.images) {
    OCELLI_TRY(RequestImage image, media_.open(part, config, options_.image_tokens_max));
    grids.push_back(image.grid);
    request->images.push_back(std::move(image));
  }
  if (spec.truncate_prompt < 0)
    spec.truncate_prompt = std::max(1, plan_.context - std::max(1, spec.max_tokens));
  OCELLI_TRY(Prompt prompt, build_prompt(spec, grids, config, *tokenizer_));
  const int prompt_tokens = static_cast<int>(prompt.ids.size());
  if (prompt_tokens == 0) return fail(Status::kInvalidValue, "the prompt is empty", "messages");
  OCELLI_TRY_VOID(fit_context(spec, prompt_tokens, plan_.context));
  if (spec.echo && spec.raw && spec.echo_text.empty()) {
    OCELLI_TRY(spec.echo_text, detokenize(prompt.ids, spec.skip_special_tokens));
  }

  request->handle = next_request_++;
  request->prefix_root =
      prefix_root(request->adapter ? request->adapter->serial() : 0, spec.cache_salt);
  for (RequestImage& image : request->images)
    image.key = image_key(image.media, image.width, image.height, spec.cache_salt);
  request->prompt_tokens = prompt_tokens;
  request->positions = std::move(prompt.positions);
  for (size_t i = 0; i < prompt.images.size(); ++i) {
    request->images[prompt.image_order[i]].token_begin = prompt.images[i].token_begin;
  }

  SamplingParams sampling = spec.sampling;
  // Greedy follows the logits wherever they point, as the reference does; random draws stay inside
  // the vocabulary.
  sampling.vocab_used =
      effective_temperature(sampling.temperature) > 0 ? manifest_.tokens : config.text.vocab;
  sampling.eos_ids = config.generation.eos;
  sampling.eos_ids.insert(sampling.eos_ids.end(), spec.stop_ids.begin(), spec.stop_ids.end());
  const bool one_call = !spec.parallel_tool_calls || spec.tool_choice == ToolChoice::kNamed;
  const OutputOptions output{.stops = spec.stops,
                             .include_stop = spec.include_stop,
                             .tools = spec.tool_choice != ToolChoice::kNone,
                             .tool_names = spec.tool_names,
                             .calls_max = one_call ? 1 : INT_MAX,
                             .whole_calls = !spec.stream};
  for (int i = 0; i < spec.n; ++i) {
    SamplingParams own = sampling;
    own.seed += static_cast<uint64_t>(i);
    Sequence sequence{std::move(own), OutputStream(output)};
    sequence.index = i;
    if (grammar) sequence.matcher.emplace(grammar);
    sequence.tokens = prompt.ids;
    sequence.waits_for_fork = i > 0;
    request->sequences.push_back(std::move(sequence));
    request->sequences.back().tokens.reserve(prompt.ids.size() + spec.max_tokens);
  }
  const uint32_t handle = request->handle;
  if (spec.tokenize_only) {
    scheduler_->announce_only(std::move(request));
  } else {
    scheduler_->add(std::move(request));
  }
  return handle;
}

Result<Request*> Engine::find(uint32_t handle) {
  Request* request = scheduler_ ? scheduler_->find(handle) : nullptr;
  if (!request)
    return fail(Status::kStaleHandle, "no request has the handle " + std::to_string(handle));
  return request;
}

Result<void> Engine::request_cancel(uint32_t handle) {
  OCELLI_TRY(Request * request, find(handle));
  scheduler_->cancel(*request);
  return {};
}

Result<void> Engine::request_close(uint32_t handle) {
  OCELLI_TRY_VOID(find(handle));
  scheduler_->remove(handle);
  return {};
}

Result<void> Engine::request_assume(uint32_t handle, uint32_t tokens) {
  OCELLI_TRY(Request * request, find(handle));
  return scheduler_->assume(*request, static_cast<int>(std::min<uint32_t>(tokens, INT32_MAX)));
}

Result<StepState> Engine::step() {
  if (load_error_) return std::unexpected(*load_error_);
  if (!scheduler_) return StepState::kIdle;  // without a tokenizer no request could be opened
  const StepState state = scheduler_->step();
  if (state == StepState::kWaiting && reported_bytes_ != committed_bytes_) {
    reported_bytes_ = committed_bytes_;
    scheduler_->report_weights(committed_bytes_, plan_.weights_bytes);
  }
  return state;
}

}  // namespace ocelli
