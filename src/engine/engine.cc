#include "engine/engine.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/prompt.h"
#include "format/shard.h"

namespace ocelli {

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
  engine->committed_.resize(engine->manifest_.shards.size());
  return engine;
}

Result<std::span<uint8_t>> Engine::shard_reserve(uint32_t index) {
  if (index >= shards_.size() || committed_[index]) {
    return fail(Status::kInvalidArgument,
                "shard " + std::to_string(index) +
                    (index < shards_.size() ? " is committed already" : " does not exist"));
  }
  const uint32_t bytes = manifest_.shards[index].bytes;
  if (!shards_[index].data()) {
    OCELLI_TRY(shards_[index], Buffer<uint8_t>::make(bytes, "a weight shard"));
  }
  return std::span<uint8_t>(shards_[index].data(), bytes);
}

Result<void> Engine::shard_commit(uint32_t index) {
  if (index >= shards_.size() || committed_[index] || !shards_[index].data()) {
    return fail(Status::kInvalidArgument, "shard " + std::to_string(index) + " is not reserved");
  }
  const ShardInfo& info = manifest_.shards[index];
  OCELLI_TRY(const auto tensors, open_shard({shards_[index].data(), info.bytes}, info));
  OCELLI_TRY_VOID(loader_->add(tensors));
  committed_[index] = true;
  OCELLI_TRY_VOID(open_tokenizer());
  const bool all = std::find(committed_.begin(), committed_.end(), false) == committed_.end();
  return all ? bind() : Result<void>{};
}

// As soon as its tensors are there, so that text can be tokenized without the rest of the weights.
Result<void> Engine::open_tokenizer() {
  if (tokenizer_ || !loader_->find("tokenizer.bytes") || !loader_->find("tokenizer.ends") ||
      !loader_->find("tokenizer.merges")) {
    return {};
  }
  TokenizerData data;
  const auto tensor = [&](const char* name, Dtype dtype) -> Result<std::span<const uint8_t>> {
    const TensorView* view = loader_->find(name);
    if (view->dtype != dtype)
      return fail(Status::kTensorDtype, std::string(name) + " has the wrong dtype");
    return view->data;
  };
  const auto words = [](std::span<const uint8_t> bytes) {
    return std::span(reinterpret_cast<const uint32_t*>(bytes.data()),
                     bytes.size() / sizeof(uint32_t));
  };
  OCELLI_TRY(data.bytes, tensor("tokenizer.bytes", Dtype::kU8));
  OCELLI_TRY(const auto ends, tensor("tokenizer.ends", Dtype::kU32));
  OCELLI_TRY(const auto merges, tensor("tokenizer.merges", Dtype::kU32));
  data.ends = words(ends);
  data.merges = words(merges);
  data.tokens = manifest_.tokens;
  for (const AddedTokenInfo& added : manifest_.added)
    data.added.push_back({added.id, added.content, added.special});
  OCELLI_TRY(tokenizer_, Tokenizer::open(data));
  return {};
}

Result<void> Engine::bind() {
  for (const char* name : {"tokenizer.bytes", "tokenizer.ends", "tokenizer.merges"}) {
    if (!loader_->find(name))
      return fail(Status::kMissingTensor, std::string("the container has no tensor ") + name);
  }
  OCELLI_TRY(weights_, loader_->bind());
  events_.emplace(*tokenizer_);
  scheduler_.emplace(manifest_.config, *tokenizer_, *decoder_, *tower_, *kv_, options_, *events_);
  return {};
}

Result<void> Engine::ready() const {
  if (scheduler_) return {};
  const auto missing = std::count(committed_.begin(), committed_.end(), false);
  return fail(Status::kNotReady, std::to_string(missing) + " of " +
                                     std::to_string(committed_.size()) +
                                     " shards are not committed yet");
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

Result<uint32_t> Engine::media_put(std::span<const uint8_t> encoded) {
  OCELLI_TRY_VOID(ready());
  return media_.put(encoded);
}

Result<uint32_t> Engine::request_open(std::string_view json) {
  OCELLI_TRY_VOID(ready());
  if (scheduler_->count() >= kRequestsMax) {
    return fail(Status::kQueueFull,
                "at most " + std::to_string(kRequestsMax) + " requests can be open at once");
  }
  const ModelConfig& config = manifest_.config;
  auto request = std::make_unique<Request>();
  const uint64_t seed = options_.seed + uint64_t{next_request_} * 0x9E3779B97F4A7C15ull;
  OCELLI_TRY(request->spec, parse_request(json, config, seed));
  RequestSpec& spec = request->spec;
  if (spec.n > options_.sequences_max) {
    return fail(Status::kInvalidValue,
                "n must be in [1, " + std::to_string(options_.sequences_max) + "], got " +
                    std::to_string(spec.n) + ".",
                "n");
  }
  std::vector<PatchGrid> grids;
  for (const ImagePart& part : spec.images) {
    OCELLI_TRY(RequestImage image, media_.open(part, config, options_.image_tokens_max));
    grids.push_back(image.grid);
    request->images.push_back(std::move(image));
  }
  OCELLI_TRY(Prompt prompt, build_prompt(spec, grids, config, *tokenizer_));
  const int prompt_tokens = static_cast<int>(prompt.ids.size());
  const int64_t wanted = int64_t{prompt_tokens} + spec.max_tokens;
  const std::string context =
      "This model's maximum context length is " + std::to_string(plan_.context) + " tokens. ";
  if (prompt_tokens == 0) return fail(Status::kInvalidValue, "the prompt is empty", "messages");
  if (spec.max_tokens == 0 && prompt_tokens >= plan_.context) {
    return fail(Status::kContextLengthExceeded,
                context + "However, you requested " + std::to_string(prompt_tokens) +
                    " tokens in the messages, Please reduce the length of the "
                    "messages.",
                "messages");
  }
  if (wanted > plan_.context) {
    return fail(Status::kContextLengthExceeded,
                context + "However, you requested " + std::to_string(wanted) + " tokens (" +
                    std::to_string(prompt_tokens) + " in the messages, " +
                    std::to_string(spec.max_tokens) +
                    " in the completion). Please reduce the length of the messages or completion.",
                "messages");
  }
  if (spec.max_tokens == 0) spec.max_tokens = plan_.context - prompt_tokens;

  request->handle = next_request_++;
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
  OutputOptions output{spec.stops, spec.include_stop, spec.parse_tools, spec.tool_names,
                       !spec.stream};
  for (int i = 0; i < spec.n; ++i) {
    SamplingParams own = sampling;
    own.seed += static_cast<uint64_t>(i);
    Sequence sequence{std::move(own), OutputStream(output)};
    sequence.index = i;
    sequence.tokens = prompt.ids;
    sequence.waits_for_fork = i > 0;
    request->sequences.push_back(std::move(sequence));
    request->sequences.back().tokens.reserve(prompt.ids.size() + spec.max_tokens);
  }
  const uint32_t handle = request->handle;
  scheduler_->add(std::move(request));
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

Result<bool> Engine::step() {
  OCELLI_TRY_VOID(ready());
  return scheduler_->step();
}

std::string Engine::stats_json() const {
  nlohmann::ordered_json out = {{"threads", pool_->threads()}, {"context", plan_.context}};
  out["kv_blocks"] = kv_->blocks();
  out["kv_blocks_free"] = kv_->free_blocks();
  if (scheduler_) {
    const SchedulerStats& stats = scheduler_->stats();
    out["requests"] = scheduler_->count();
    out["steps"] = stats.steps;
    out["rows"] = stats.rows;
    out["preemptions"] = stats.preemptions;
    out["image_tokens"] = scheduler_->image_tokens();
  }
  return out.dump();
}

Result<Dump> Engine::dump(uint32_t handle, std::string_view name) {
  OCELLI_TRY(Request * request, find(handle));
  if (name == "prompt.json") {
    nlohmann::ordered_json out;
    const auto& tokens = request->sequences[0].tokens;
    out["prompt_token_ids"] =
        std::vector<int32_t>(tokens.begin(), tokens.begin() + request->prompt_tokens);
    out["image_grid_thw"] = nlohmann::ordered_json::array();
    for (const RequestImage& image : request->images) {
      out["image_grid_thw"].push_back({image.grid.t, image.grid.h, image.grid.w});
    }
    out["video_grid_thw"] = nlohmann::ordered_json::array();
    out["positions"] = nlohmann::ordered_json::array();
    for (int axis = 0; axis < 3; ++axis) {
      std::vector<int32_t> values;
      values.reserve(request->positions.positions.size());
      for (const Position& position : request->positions.positions)
        values.push_back(position[axis]);
      out["positions"].push_back(std::move(values));
    }
    out["rope_delta"] = request->positions.rope_delta;
    dump_ = out.dump();
    return Dump{{reinterpret_cast<const uint8_t*>(dump_.data()), dump_.size()}, 0, 0};
  }
  for (size_t i = 0; i < request->images.size(); ++i) {
    if (name != "vision_" + std::to_string(i)) continue;
    const RequestImage& image = request->images[i];
    if (!image.merged.data()) {
      const char* why = image.done ? " were given back by the step after the request's end"
                                   : " are not computed yet";
      return fail(Status::kNotReady, "the rows of image " + std::to_string(i) + why);
    }
    const auto rows = static_cast<uint32_t>(image.grid.tokens(manifest_.config.vision.merge));
    return Dump{{reinterpret_cast<const uint8_t*>(image.merged.data()),
                 static_cast<size_t>(image.merged.count()) * 4},
                rows,
                static_cast<uint32_t>(manifest_.config.vision.out)};
  }
  return fail(Status::kInvalidArgument, "a request has no dump named " + std::string(name));
}

}  // namespace ocelli
