// One small reader per JSON type, then one line per field: the body's table of fields is
// parse_request itself.
#include "engine/request.h"

#include <cmath>
#include <optional>

#include "engine/limits.h"
#include "text/chat_message.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

const ordered_json* field(const ordered_json& body, const char* name) {
  const auto found = body.find(name);
  return found == body.end() || found->is_null() ? nullptr : &*found;
}

bool is(const ordered_json& object, const char* name, std::string_view text) {
  const ordered_json* value = field(object, name);
  return value && value->is_string() && value->get_ref<const std::string&>() == text;
}

// A value as an error message shows it: JSON, at most some 200 bytes, cut between characters.
std::string shown(const ordered_json& value) {
  // parse_json keeps an integer beyond 64 bits as its digits.
  std::string text = value.is_binary()
                         ? std::string(value.get_binary().begin(), value.get_binary().end())
                         : value.dump();
  if (text.size() <= 200) return text;
  size_t end = 200;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

std::unexpected<Error> wrong_type(const char* name, const char* expected,
                                  const ordered_json& value) {
  return fail(Status::kInvalidValue,
              std::string(name) + " must be " + expected + ", got " + shown(value), name);
}

Result<void> read_bool(const ordered_json& body, const char* name, bool& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_boolean()) return wrong_type(name, "true or false", *value);
  out = value->get<bool>();
  return {};
}

// `range` completes "<name> must be ...", e.g. "in [-2, 2]"; holds() is the test itself. It sees
// the f32 that will be computed with: 1e-300 is 0 there, 1e300 is no number.
template <class Holds>
Result<void> read_number(const ordered_json& body, const char* name, const char* range, float& out,
                         Holds holds) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_number()) return wrong_type(name, "a number", *value);
  const auto number = static_cast<float>(value->get<double>());
  if (!std::isfinite(number) || !holds(number)) {
    return fail(Status::kInvalidValue,
                std::string(name) + " must be " + range + ", got " + shown(*value) + ".", name);
  }
  out = number;
  return {};
}

template <class Integer>
Result<void> read_integer(const ordered_json& body, const char* name, int64_t low, int64_t high,
                          Integer& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_number_integer()) return wrong_type(name, "an integer", *value);
  const bool too_large =
      value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = value->get<int64_t>();
  if (too_large || number < low || number > high) {
    std::string range = "in [" + std::to_string(low) + ", " + std::to_string(high) + "]";
    if (high >= INT32_MAX && !too_large && number < low) range = "at least " + std::to_string(low);
    return fail(Status::kInvalidValue,
                std::string(name) + " must be " + range + ", got " + shown(*value) + ".", name);
  }
  out = static_cast<Integer>(number);
  return {};
}

Result<void> read_ids(const ordered_json& body, const char* name, int vocab,
                      std::vector<int32_t>& out) {
  const ordered_json* value = field(body, name);
  if (!value) return {};
  if (!value->is_array()) return wrong_type(name, "an array of token ids", *value);
  for (const ordered_json& item : *value) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() >= vocab) {
      return fail(Status::kInvalidTokenId,
                  std::string(name) + " must hold token ids in [0, " + std::to_string(vocab) +
                      "), got " + shown(item),
                  name);
    }
    out.push_back(item.get<int32_t>());
  }
  return {};
}

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

// The image parts in the order in which the template numbers them.
Result<void> collect_images(RequestSpec& spec, int64_t min_pixels, int64_t max_pixels) {
  for (size_t m = 0; m < spec.messages.size(); ++m) {
    const ordered_json& message = spec.messages[m];
    if (!message.is_object()) continue;  // the template names this error
    const ordered_json* content = field(message, "content");
    if (!content || !content->is_array()) continue;
    for (size_t p = 0; p < content->size(); ++p) {
      const ordered_json& part = (*content)[p];
      if (!shows_image(part)) continue;
      ImagePart entry{0, min_pixels, max_pixels,
                      "messages[" + std::to_string(m) + "].content[" + std::to_string(p) + "]"};
      OCELLI_TRY_VOID(read_integer(part, "media", 1, UINT32_MAX, entry.media));
      if (entry.media == 0) {
        return fail(Status::kMediaMissing,
                    entry.path + " is an image without a media handle: put its bytes first",
                    entry.path);
      }
      OCELLI_TRY_VOID(read_integer(part, "min_pixels", 1, INT32_MAX, entry.min_pixels));
      OCELLI_TRY_VOID(read_integer(part, "max_pixels", 1, INT32_MAX, entry.max_pixels));
      spec.images.push_back(entry);
    }
  }
  return {};
}

Result<void> read_tools(const ordered_json& body, RequestSpec& spec) {
  const ordered_json* tools = field(body, "tools");
  const ordered_json* choice = field(body, "tool_choice");
  if (tools && !tools->is_array()) return wrong_type("tools", "an array", *tools);
  if (!tools || tools->empty()) return {};  // tool_choice without tools is tolerated
  for (const ordered_json& tool : *tools) {
    const ordered_json* function = tool.is_object() ? field(tool, "function") : nullptr;
    const ordered_json* name =
        function && function->is_object() ? field(*function, "name") : nullptr;
    if (!name || !name->is_string() || name->get_ref<const std::string&>().empty()) {
      return fail(Status::kInvalidValue,
                  "tools must be objects {\"type\":\"function\",\"function\":{\"name\":..}}, got " +
                      shown(tool),
                  "tools");
    }
    spec.tool_names.push_back(name->get<std::string>());
  }
  if (choice && *choice == "none") return {};
  if (choice && (*choice == "required" || choice->is_object())) {
    return fail(Status::kUnsupportedFeature,
                "tool_choice " + shown(*choice) +
                    " needs constrained decoding, which this build does not have: use "
                    "\"auto\" or \"none\"",
                "tool_choice");
  }
  if (choice && *choice != "auto") {
    return fail(Status::kInvalidValue,
                "Invalid value for `tool_choice`: " + shown(*choice) +
                    "! Only named tools, \"none\", \"auto\" or \"required\" are supported.",
                "tool_choice");
  }
  spec.tools = *tools;
  spec.parse_tools = true;
  return {};
}

Result<void> refuse_constraints(const ordered_json& body) {
  const ordered_json* format = field(body, "response_format");
  if (format && !(format->is_object() && is(*format, "type", "text"))) {
    return fail(Status::kUnsupportedFeature,
                "response_format " + shown(*format) +
                    " needs constrained decoding, which this build does not have: "
                    "use {\"type\":\"text\"}",
                "response_format");
  }
  for (const char* name :
       {"guided_json", "guided_regex", "guided_choice", "guided_grammar", "structural_tag"}) {
    if (field(body, name)) {
      return fail(Status::kUnsupportedFeature,
                  std::string(name) + " needs constrained decoding, which this build does not have",
                  name);
    }
  }
  return {};
}

Result<void> read_template(const ordered_json& body, RequestSpec& spec) {
  if (const ordered_json* name = field(body, "chat_template")) {
    if (*name == "hermes") {
      spec.chat.chat_template = ChatTemplate::kHermes;
    } else if (*name != "qwen") {
      return fail(Status::kInvalidValue,
                  "chat_template must be \"qwen\" or \"hermes\", got " + shown(*name),
                  "chat_template");
    }
  }
  OCELLI_TRY_VOID(read_bool(body, "continue_final_message", spec.chat.continue_final_message));
  const bool asked = field(body, "add_generation_prompt") != nullptr;
  spec.chat.add_generation_prompt = !spec.chat.continue_final_message;
  OCELLI_TRY_VOID(read_bool(body, "add_generation_prompt", spec.chat.add_generation_prompt));
  if (asked && spec.chat.add_generation_prompt && spec.chat.continue_final_message) {
    return fail(Status::kInvalidValue,
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
                "add_generation_prompt");
  }
  if (const ordered_json* kwargs = field(body, "chat_template_kwargs")) {
    if (!kwargs->is_object()) return wrong_type("chat_template_kwargs", "an object", *kwargs);
    OCELLI_TRY_VOID(read_bool(*kwargs, "add_vision_id", spec.chat.add_vision_id));
  }
  return {};
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
  const ordered_json* messages = field(body, "messages");
  if (!messages) return fail(Status::kMissingField, "messages is required", "messages");
  if (!messages->is_array()) return wrong_type("messages", "an array", *messages);
  spec.messages = *messages;
  const int vocab = config.text.vocab;
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
  OCELLI_TRY_VOID(read_bool(body, "stream", spec.stream));
  OCELLI_TRY_VOID(read_bool(body, "skip_special_tokens", spec.skip_special_tokens));
  OCELLI_TRY_VOID(read_bool(body, "return_token_ids", spec.return_token_ids));
  OCELLI_TRY_VOID(read_bool(body, "return_tokens_as_token_ids", spec.tokens_as_ids));
  OCELLI_TRY_VOID(read_ids(body, "forced_token_ids", vocab, spec.forced));
  if (!spec.forced.empty()) spec.max_tokens = static_cast<int>(spec.forced.size());
  OCELLI_TRY_VOID(read_logprobs(body, spec));
  OCELLI_TRY_VOID(read_template(body, spec));
  OCELLI_TRY_VOID(read_tools(body, spec));
  OCELLI_TRY_VOID(refuse_constraints(body));

  int64_t min_pixels = config.image.min_pixels, max_pixels = config.image.max_pixels;
  if (const ordered_json* kwargs = field(body, "mm_processor_kwargs")) {
    if (!kwargs->is_object()) return wrong_type("mm_processor_kwargs", "an object", *kwargs);
    OCELLI_TRY_VOID(read_integer(*kwargs, "min_pixels", 1, INT32_MAX, min_pixels));
    OCELLI_TRY_VOID(read_integer(*kwargs, "max_pixels", 1, INT32_MAX, max_pixels));
  }
  OCELLI_TRY_VOID(collect_images(spec, min_pixels, max_pixels));
  return spec;
}

}  // namespace ocelli
