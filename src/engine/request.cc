// One line per field: the body's table of fields is parse_request itself. What concerns the
// conversation (templates, tools, images) is in request_chat.cc.
#include "engine/request.h"

#include <cmath>

#include "engine/constraint.h"
#include "engine/fields.h"
#include "engine/limits.h"
#include "engine/request_chat.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

Result<void> read_stops(const ordered_json& body, std::vector<std::string>& stops) {
  const ordered_json* value = field(body, "stop");
  if (!value) return {};
  const ordered_json list = value->is_string() ? ordered_json::array({*value}) : *value;
  if (!list.is_array()) return wrong_type("stop", "a string or an array of strings", *value);
  for (const ordered_json& item : list) {
    if (!item.is_string()) return wrong_type("stop", "a string or an array of strings", *value);
    if (item.get_ref<const std::string&>().empty()) {
      return fail(Status::kInvalidValue, "stop cannot contain an empty string.", "stop");
    }
    stops.push_back(item.get<std::string>());
  }
  if (stops.size() > kStopStringsMax) {
    return fail(Status::kInvalidValue,
                "stop must hold at most " + std::to_string(kStopStringsMax) + " strings, got " +
                    std::to_string(stops.size()),
                "stop");
  }
  return {};
}

Result<void> read_logit_bias(const ordered_json& body, int vocab, SamplingParams& sampling) {
  const ordered_json* value = field(body, "logit_bias");
  if (!value) return {};
  if (!value->is_object()) return wrong_type("logit_bias", "an object of token id: bias", *value);
  for (const auto& [key, bias] : value->items()) {
    const bool digits =
        !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    const int id = digits ? std::stoi(key) : -1;
    if (id < 0 || id >= vocab || !bias.is_number()) {
      return fail(Status::kInvalidValue,
                  "logit_bias must map token ids in [0, " + std::to_string(vocab) +
                      ") to numbers, got \"" + key + "\": " + shown(bias),
                  "logit_bias");
    }
    const float clamped = std::fmin(std::fmax(bias.get<float>(), -100.0f), 100.0f);
    sampling.logit_bias.emplace_back(id, clamped);
  }
  return {};
}

// Fields whose meaning is not to be ignored, with the one value that means nothing.
Result<void> refuse_unsupported(const ordered_json& body, int n) {
  const auto refuse = [&](const char* name, const std::string& why) {
    return fail(Status::kUnsupportedFeature,
                std::string(name) + " " + why + ", got " + shown(*field(body, name)), name);
  };
  int64_t best_of = n, priority = 0;
  bool beams = false;
  OCELLI_TRY_VOID(read_integer(body, "best_of", 1, INT32_MAX, best_of));
  if (best_of != n) return refuse("best_of", "must equal n: choices are not ranked");
  OCELLI_TRY_VOID(read_bool(body, "use_beam_search", beams));
  if (beams) return refuse("use_beam_search", "must be false: there is no beam search");
  OCELLI_TRY_VOID(read_integer(body, "priority", INT64_MIN, INT64_MAX, priority));
  if (priority != 0) return refuse("priority", "must be 0: requests are served in their order");
  const ordered_json* processors = field(body, "logits_processors");
  if (processors && *processors != ordered_json::array())
    return refuse("logits_processors", "must be absent or empty: requests bring no code");
  return {};
}

Result<void> read_stream_options(const ordered_json& body, RequestSpec& spec) {
  OCELLI_TRY_VOID(read_bool(body, "stream", spec.stream));
  const ordered_json* options = field(body, "stream_options");
  if (!options) return {};  // without stream they mean nothing and are tolerated
  if (!options->is_object()) return wrong_type("stream_options", "an object", *options);
  bool ignored = false;  // the host counts
  OCELLI_TRY_VOID(read_bool(*options, "include_usage", ignored));
  return read_bool(*options, "continuous_usage_stats", ignored);
}

Result<void> read_logprobs(const ordered_json& body, RequestSpec& spec) {
  bool logprobs = !spec.forced.empty();
  int top = 0;
  OCELLI_TRY_VOID(read_bool(body, "logprobs", logprobs));
  OCELLI_TRY_VOID(read_integer(body, "top_logprobs", 0, kLogprobsMax, top));
  if (top > 0 && !logprobs) {
    return fail(Status::kInvalidValue, "when using `top_logprobs`, `logprobs` must be set to true.",
                "top_logprobs");
  }
  spec.sampling.top_logprobs = logprobs ? top : -1;

  int prompt = -1;
  OCELLI_TRY_VOID(read_integer(body, "prompt_logprobs", INT32_MIN, INT32_MAX, prompt));
  if (field(body, "prompt_logprobs") && (prompt < 0 || prompt > kLogprobsMax)) {
    return fail(Status::kInvalidValue,
                "`prompt_logprobs` must be a positive value, in [0, " +
                    std::to_string(kLogprobsMax) + "], got " + std::to_string(prompt),
                "prompt_logprobs");
  }
  if (prompt > 0 && spec.stream) {
    return fail(Status::kInvalidValue, "`prompt_logprobs` are not available when `stream=True`.",
                "prompt_logprobs");
  }
  if (!spec.stream) spec.prompt_logprobs = prompt;
  return {};
}

}  // namespace

Result<RequestSpec> parse_request(std::string_view json, const ModelConfig& config,
                                  uint64_t seed_default) {
  if (static_cast<int64_t>(json.size()) > kRequestBytesMax) {
    return fail(Status::kInvalidJson, "the request has " + std::to_string(json.size()) +
                                          " bytes, at most " + std::to_string(kRequestBytesMax) +
                                          " are allowed");
  }
  OCELLI_TRY(const ordered_json body, parse_json(json));
  if (!body.is_object())
    return fail(Status::kInvalidJson, "the request body must be a JSON object");
  RequestSpec spec;
  const int vocab = config.text.vocab;
  OCELLI_TRY_VOID(read_prompt(body, vocab, spec));
  const GenerationDefaults& defaults = config.generation;
  SamplingParams& sampling = spec.sampling;

  sampling.temperature = static_cast<float>(defaults.temperature.value_or(1.0));
  sampling.top_p = static_cast<float>(defaults.top_p.value_or(1.0));
  sampling.min_p = static_cast<float>(defaults.min_p.value_or(0.0));
  sampling.top_k = defaults.top_k.value_or(0);
  sampling.repetition_penalty = static_cast<float>(defaults.repetition_penalty.value_or(1.0));
  const auto at_least_zero = [](float v) { return v >= 0; };
  const auto within_two = [](float v) { return v >= -2 && v <= 2; };
  OCELLI_TRY_VOID(
      read_number(body, "temperature", "non-negative", sampling.temperature, at_least_zero));
  OCELLI_TRY_VOID(read_number(body, "top_p", "in (0, 1]", sampling.top_p,
                              [](float v) { return v > 0 && v <= 1; }));
  OCELLI_TRY_VOID(read_number(body, "min_p", "in [0, 1]", sampling.min_p,
                              [](float v) { return v >= 0 && v <= 1; }));
  OCELLI_TRY_VOID(read_integer(body, "top_k", -1, INT32_MAX, sampling.top_k));
  OCELLI_TRY_VOID(read_number(body, "repetition_penalty", "greater than zero",
                              sampling.repetition_penalty, [](float v) { return v > 0; }));
  OCELLI_TRY_VOID(
      read_number(body, "presence_penalty", "in [-2, 2]", sampling.presence_penalty, within_two));
  OCELLI_TRY_VOID(
      read_number(body, "frequency_penalty", "in [-2, 2]", sampling.frequency_penalty, within_two));
  OCELLI_TRY_VOID(read_logit_bias(body, vocab, sampling));
  int64_t seed = -1;
  OCELLI_TRY_VOID(read_integer(body, "seed", INT64_MIN, INT64_MAX, seed));
  sampling.has_seed = field(body, "seed") && seed != -1;
  sampling.seed = sampling.has_seed ? static_cast<uint64_t>(seed) : seed_default;

  OCELLI_TRY_VOID(read_integer(body, "n", 1, kChoicesMax, spec.n));
  OCELLI_TRY_VOID(refuse_unsupported(body, spec.n));
  OCELLI_TRY_VOID(read_string(body, "cache_salt", spec.cache_salt));
  if (field(body, "cache_salt") && spec.cache_salt.empty())
    return fail(Status::kInvalidValue, "cache_salt must not be empty, got \"\".", "cache_salt");
  spec.max_tokens = defaults.max_new_tokens.value_or(0);
  OCELLI_TRY_VOID(read_integer(body, "max_tokens", 1, INT32_MAX, spec.max_tokens));
  OCELLI_TRY_VOID(read_integer(body, "max_completion_tokens", 1, INT32_MAX, spec.max_tokens));
  OCELLI_TRY_VOID(read_integer(body, "min_tokens", 0, INT32_MAX, sampling.min_tokens));
  if (spec.max_tokens > 0 && sampling.min_tokens > spec.max_tokens) {
    return fail(
        Status::kInvalidValue,
        "min_tokens must be less than or equal to max_tokens=" + std::to_string(spec.max_tokens) +
            ", got " + std::to_string(sampling.min_tokens) + ".",
        "min_tokens");
  }
  OCELLI_TRY_VOID(read_stops(body, spec.stops));
  OCELLI_TRY_VOID(read_ids(body, "stop_token_ids", vocab, spec.stop_ids));
  OCELLI_TRY_VOID(read_bool(body, "include_stop_str_in_output", spec.include_stop));
  OCELLI_TRY_VOID(read_bool(body, "ignore_eos", sampling.ignore_eos));
  OCELLI_TRY_VOID(read_stream_options(body, spec));
  OCELLI_TRY_VOID(read_bool(body, "skip_special_tokens", spec.skip_special_tokens));
  OCELLI_TRY_VOID(read_bool(body, "return_token_ids", spec.return_token_ids));
  OCELLI_TRY_VOID(read_bool(body, "return_tokens_as_token_ids", spec.tokens_as_ids));
  OCELLI_TRY_VOID(read_ids(body, "forced_token_ids", vocab, spec.forced));
  if (!spec.forced.empty()) spec.max_tokens = static_cast<int>(spec.forced.size());
  OCELLI_TRY_VOID(read_logprobs(body, spec));
  OCELLI_TRY_VOID(read_string(body, "adapter", spec.adapter));
  OCELLI_TRY_VOID(read_bool(body, "tokenize_only", spec.tokenize_only));
  spec.return_token_ids |= spec.tokenize_only;
  OCELLI_TRY_VOID(
      read_integer(body, "truncate_prompt_tokens", -1, INT32_MAX, spec.truncate_prompt));
  if (spec.truncate_prompt == 0 && field(body, "truncate_prompt_tokens")) {
    return fail(Status::kInvalidValue,
                "truncate_prompt_tokens must be at least 1, or -1 for what fits, got 0.",
                "truncate_prompt_tokens");
  }
  OCELLI_TRY_VOID(read_template(body, spec));
  OCELLI_TRY_VOID(read_echo(body, spec));
  if (!spec.raw) {
    OCELLI_TRY_VOID(read_tool_choice(body, spec));
    OCELLI_TRY_VOID(read_images(body, config.image, spec));
  }
  OCELLI_TRY_VOID(read_constraint(body, spec));
  return spec;
}

}  // namespace ocelli
