#include "engine/events.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ocelli {
namespace {

using nlohmann::ordered_json;

// Token bytes need not be whole characters; "token" shows them with U+FFFD, "bytes" is exact.
std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json token_logprob(const Tokenizer& tokenizer, bool as_id, int32_t id, float logprob) {
  const std::string_view bytes = tokenizer.token_bytes(id);
  ordered_json list = ordered_json::array();
  for (const char byte : bytes) list.push_back(static_cast<uint8_t>(byte));
  return {{"token", as_id ? "token_id:" + std::to_string(id) : std::string(bytes)},
          {"logprob", logprob},
          {"bytes", std::move(list)}};
}

// One entry a token, null for the first, which follows nothing: the token itself, then the likely
// ones that it is not.
ordered_json listed_entry(const Tokenizer& tokenizer, const Sampled& token) {
  ordered_json out = ordered_json::object();
  const auto add = [&](int32_t id, float logprob, int rank) {
    const std::string key = std::to_string(id);
    if (out.contains(key)) return;
    out[key] = {{"logprob", logprob},
                {"rank", rank},
                {"decoded_token", std::string(tokenizer.token_bytes(id))}};
  };
  add(token.id, token.logprob, token.rank);
  for (size_t i = 0; i < token.top.size(); ++i)
    add(token.top[i].id, token.top[i].logprob, static_cast<int>(i) + 1);
  return out;
}

ordered_json error_fields(const Error& error) {
  return {{"status", static_cast<int32_t>(error.status)},
          {"code", std::string(status_code(error.status))},
          {"http", status_http(error.status)},
          {"message", error.message},
          {"param", error.param.empty() ? ordered_json(nullptr) : ordered_json(error.param)}};
}

}  // namespace

std::string error_json(const Error& error) { return dump(error_fields(error)); }

void EventQueue::prompt(const Request& request) {
  ordered_json event = {
      {"request", request.handle}, {"type", "prompt"}, {"prompt_tokens", request.prompt_tokens}};
  if (request.spec.return_token_ids) {
    const auto& tokens = request.sequences[0].tokens;
    event["prompt_token_ids"] =
        std::vector<int32_t>(tokens.begin(), tokens.begin() + request.prompt_tokens);
  }
  event["images"] = ordered_json::array();
  for (const RequestImage& image : request.images) {
    event["images"].push_back({{"width", image.width},
                               {"height", image.height},
                               {"source_width", image.source_width},
                               {"source_height", image.source_height},
                               {"grid", {image.grid.t, image.grid.h, image.grid.w}}});
  }
  events_.push_back({request.handle, dump(event)});
  if (request.spec.echo_text.empty() || request.spec.tokenize_only) return;
  for (const Sequence& sequence : request.sequences) {
    const ordered_json echo = {{"request", request.handle},
                               {"type", "delta"},
                               {"index", sequence.index},
                               {"text", request.spec.echo_text},
                               {"tokens", 0}};
    events_.push_back({request.handle, dump(echo)});
  }
}

void EventQueue::progress(const Request& request, const char* stage, int64_t done, int64_t total) {
  const ordered_json event = {{"request", request.handle},
                              {"type", "progress"},
                              {"stage", stage},
                              {"done", done},
                              {"total", total}};
  events_.push_back({request.handle, dump(event)});
}

void EventQueue::delta(const Request& request, const Sequence& sequence, const Sampled& sampled,
                       const ParsedText& text) {
  const bool logprobs = request.spec.sampling.top_logprobs >= 0;
  ordered_json event = {{"request", request.handle}, {"type", "delta"}, {"index", sequence.index}};
  if (!text.content.empty()) event["text"] = text.content;
  if (!text.tools.empty()) {
    event["tool_calls"] = ordered_json::array();
    for (const ToolDelta& tool : text.tools) {
      ordered_json delta = {{"index", tool.index}};
      if (!tool.name.empty()) delta["name"] = tool.name;
      if (!tool.arguments.empty() || tool.name.empty()) delta["arguments"] = tool.arguments;
      event["tool_calls"].push_back(std::move(delta));
    }
  }
  if (logprobs) {
    ordered_json entry =
        token_logprob(tokenizer_, request.spec.tokens_as_ids, sampled.id, sampled.logprob);
    entry["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& top : sampled.top) {
      entry["top_logprobs"].push_back(
          token_logprob(tokenizer_, request.spec.tokens_as_ids, top.id, top.logprob));
    }
    event["logprobs"] = ordered_json::array({std::move(entry)});
  }
  if (request.spec.return_token_ids) event["token_ids"] = {sampled.id};
  event["tokens"] = 1;
  events_.push_back({request.handle, dump(event)});
}

void EventQueue::finish(const Request& request, const Sequence& sequence, const char* reason,
                        const std::string* stop_string, int32_t stop_id) {
  ordered_json stop_reason = nullptr;
  if (stop_string) stop_reason = *stop_string;
  if (stop_id >= 0) stop_reason = stop_id;
  const ordered_json event = {{"request", request.handle},
                              {"type", "finish"},
                              {"index", sequence.index},
                              {"reason", reason},
                              {"stop_reason", std::move(stop_reason)}};
  events_.push_back({request.handle, dump(event)});
}

void EventQueue::done(const Request& request) {
  ordered_json event = {{"request", request.handle},
                        {"type", "done"},
                        {"usage",
                         {{"prompt_tokens", request.prompt_tokens},
                          {"cached_tokens", request.cached_tokens},
                          {"completion_tokens", request.completion_tokens}}}};
  if (request.spec.prompt_logprobs >= 0) {
    event["prompt_logprobs"] = ordered_json::array({nullptr});
    for (const Sampled& token : request.prompt_listed)
      event["prompt_logprobs"].push_back(listed_entry(tokenizer_, token));
  }
  events_.push_back({request.handle, dump(event)});
}

void EventQueue::error(uint32_t request, const Error& error) {
  ordered_json event = {{"request", request}, {"type", "error"}};
  event.update(error_fields(error));
  events_.push_back({request, dump(event)});
}

bool EventQueue::next(std::string& json) {
  if (events_.empty()) return false;
  json = std::move(events_.front().json);
  events_.pop_front();
  return true;
}

void EventQueue::drop(uint32_t request) {
  std::erase_if(events_, [&](const Event& event) { return event.request == request; });
}

}  // namespace ocelli
