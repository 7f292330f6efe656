#include "text/chat_template.h"

#include <algorithm>
#include <array>

#include "text/chat_message.h"
#include "text/prompt_builder.h"

namespace ocelli {
namespace {

struct Needs {
  bool image = false;
  bool video = false;
};

Needs needs_of(const std::vector<ChatMessage>& messages) {
  Needs out;
  for (const ChatMessage& message : messages) {
    for (const ChatPart& part : message.parts) {
      out.image |= part.kind == ChatPart::kImage;
      out.video |= part.kind == ChatPart::kVideo;
    }
  }
  return out;
}

Result<ControlTokens> find_tokens(const Tokenizer& tokenizer, const Needs& needs) {
  const auto find = [&](std::string_view content, bool needed, int32_t& id) -> Result<void> {
    const auto found = tokenizer.find_added(content);
    if (!found && needed)
      return fail(Status::kTemplateError,
                  "the model's tokenizer has no " + std::string(content) + " token");
    id = found.value_or(-1);
    return {};
  };
  ControlTokens out;
  int32_t turn = -1;
  OCELLI_TRY_VOID(find("<|im_start|>", true, turn));
  OCELLI_TRY_VOID(find("<|im_end|>", true, turn));
  OCELLI_TRY_VOID(find("<|vision_start|>", needs.image || needs.video, out.vision_start));
  OCELLI_TRY_VOID(find("<|vision_end|>", needs.image || needs.video, out.vision_end));
  OCELLI_TRY_VOID(find("<|image_pad|>", needs.image, out.image_pad));
  OCELLI_TRY_VOID(find("<|video_pad|>", needs.video, out.video_pad));
  return out;
}

Result<void> check_ending(const std::vector<ChatMessage>& messages, const ChatOptions& options) {
  if (!options.continue_final_message) return {};
  if (options.add_generation_prompt)
    return fail(
        Status::kInvalidValue,
        "continue_final_message and add_generation_prompt are both true, at most one may be",
        "continue_final_message");
  const ChatMessage& last = messages.back();
  if ((last.role != ChatRole::kUser && last.role != ChatRole::kAssistant) || !last.calls.empty())
    return fail(Status::kInvalidValue,
                "continue_final_message is true, so the last message must be of role user or "
                "assistant without "
                "tool calls; it is of role " +
                    std::string(last.role_text) + (last.calls.empty() ? "" : " with tool calls"),
                "continue_final_message");
  return {};
}

}  // namespace

Result<std::vector<PromptPiece>> render_chat(const OrderedJson& messages_json,
                                             const OrderedJson& tools_json,
                                             const ChatOptions& options,
                                             const Tokenizer& tokenizer) {
  OCELLI_TRY(const std::vector<ChatMessage> messages, read_messages(messages_json));
  OCELLI_TRY(const std::vector<ChatTool> tools, read_tools(tools_json));
  OCELLI_TRY_VOID(check_ending(messages, options));
  OCELLI_TRY(const ControlTokens tokens, find_tokens(tokenizer, needs_of(messages)));

  PromptBuilder out(tokenizer, tokens);
  switch (options.chat_template) {
    case ChatTemplate::kQwen:
      render_qwen(messages, tools, options.continue_final_message, options.add_vision_id, out);
      break;
    case ChatTemplate::kHermes:
      render_hermes(messages, tools, options.continue_final_message, out);
      break;
  }
  if (options.add_generation_prompt) out.literal("<|im_start|>assistant\n");
  return out.take();
}

std::vector<int32_t> encode_pieces(const std::vector<PromptPiece>& pieces,
                                   const Tokenizer& tokenizer, std::vector<size_t>* media_at) {
  std::vector<int32_t> ids;
  std::string text;
  const auto flush = [&] {
    if (!text.empty()) tokenizer.encode(text, false, ids);
    text.clear();
  };
  for (const PromptPiece& piece : pieces) {
    if (piece.kind == PromptPiece::kText) {
      text += piece.text;
      continue;
    }
    flush();
    if (piece.kind != PromptPiece::kControl && media_at != nullptr) media_at->push_back(ids.size());
    ids.push_back(piece.id);
  }
  flush();
  return ids;
}

std::string pieces_text(const std::vector<PromptPiece>& pieces) {
  std::string out;
  for (const PromptPiece& piece : pieces) out += piece.text;
  return out;
}

}  // namespace ocelli
