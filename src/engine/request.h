// RequestSpec: a chat-completions body, validated. Field names, defaults and ranges are those of
// vLLM's ChatCompletionRequest; fields it does not know are ignored, as there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/manifest.h"
#include "grammar/grammar.h"
#include "sampler/sampler.h"
#include "text/chat_template.h"

namespace ocelli {

struct ImagePart {
  uint32_t media = 0;  // handle of media_put
  int64_t min_pixels = 0;
  int64_t max_pixels = 0;
  std::string path = {};  // "messages[0].content[1]"
};

enum class ToolChoice {
  kNone,      // no tools, or they are not to be called: neither shown nor looked for
  kAuto,      // the model decides
  kRequired,  // at least one call
  kNamed,     // exactly one call, of RequestSpec::named_tool
};

// A prompt that no template makes: text, in which control tokens count, or ids.
struct RawPrompt {
  std::string text;
  std::vector<int32_t> ids;
};

struct RequestSpec {
  nlohmann::ordered_json messages, tools;  // tools is null when there are none to show
  std::optional<RawPrompt> raw;            // instead of messages
  ChatOptions chat;
  std::vector<ImagePart> images;  // in order of appearance in messages
  SamplingParams sampling;        // vocab_used and never_ids are set by the engine
  int n = 1;
  int max_tokens = 0;  // 0: up to the context
  std::vector<std::string> stops;
  std::vector<int32_t> stop_ids;
  bool include_stop = false;
  bool stream = false;
  bool skip_special_tokens = true;
  bool return_token_ids = false;
  int truncate_prompt = 0;      // keep the last so many tokens of the prompt; 0: all, -1: what fits
  int prompt_logprobs = -1;     // likely tokens to list at each of the prompt; -1: no such list
  bool tokenize_only = false;   // ends with the prompt's token ids
  std::string cache_salt = {};  // prompts with another share nothing in the cache with it
  bool echo = false;
  std::string echo_text = {};  // goes before the answer's text
  bool tokens_as_ids = false;  // log-probabilities name tokens "token_id:123"
  ToolChoice tool_choice = ToolChoice::kNone;
  std::string named_tool = {};  // one of tool_names
  bool parallel_tool_calls = true;
  std::vector<std::string> tool_names;
  std::string adapter;                        // name of a loaded one; empty: the base alone
  std::optional<GrammarSource> grammar = {};  // what the answer must be
  std::vector<int32_t> forced;  // teacher forcing: these tokens instead of sampled ones
};

// Errors name the field (param), its value and the range.
Result<RequestSpec> parse_request(std::string_view json, const ModelConfig& config,
                                  uint64_t seed_default);

}  // namespace ocelli
