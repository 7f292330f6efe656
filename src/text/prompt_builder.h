// Collects the pieces of a prompt while a template is rendered. Called by template_qwen.cc and
// template_hermes.cc.
//
// Surprise: literal() is for the template's own words only: added tokens in it become control
// tokens.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/chat_message.h"
#include "text/chat_template.h"

namespace ocelli {

// Ids the template cannot do without, found once by their text.
struct ControlTokens {
  int32_t vision_start = -1;
  int32_t vision_end = -1;
  int32_t image_pad = -1;
  int32_t video_pad = -1;
};

class PromptBuilder {
 public:
  PromptBuilder(const Tokenizer& tokenizer, const ControlTokens& tokens)
      : tokenizer_(tokenizer), tokens_(tokens) {}

  void literal(std::string_view words) {
    tokenizer_.split_added(
        words, [&](std::string_view plain) { text(plain); }, [&](int32_t id) { control(id); });
  }

  // Words of the request: never a control token.
  void text(std::string_view words) {
    if (words.empty()) return;
    if (pieces_.empty() || pieces_.back().kind != PromptPiece::kText)
      pieces_.push_back({PromptPiece::kText});
    pieces_.back().text += words;
  }

  // vision_start, the pad that stands for the picture, vision_end
  void media(const ChatPart& part) {
    const bool image = part.kind == ChatPart::kImage;
    const int32_t pad = image ? tokens_.image_pad : tokens_.video_pad;
    control(tokens_.vision_start);
    pieces_.push_back({image ? PromptPiece::kImage : PromptPiece::kVideo, pad,
                       std::string(tokenizer_.token_bytes(pad)), part.media});
    control(tokens_.vision_end);
  }

  // The calls of an assistant's turn, the same in both templates.
  void calls(const std::vector<ChatCall>& made) {
    for (const ChatCall& call : made) {
      literal("\n<tool_call>\n{\"name\": \"");
      text(call.name);
      literal("\", \"arguments\": ");
      text(call.arguments);
      literal("}\n</tool_call>");
    }
  }

  std::vector<PromptPiece> take() { return std::move(pieces_); }

 private:
  void control(int32_t id) {
    pieces_.push_back({PromptPiece::kControl, id, std::string(tokenizer_.token_bytes(id))});
  }

  const Tokenizer& tokenizer_;
  const ControlTokens& tokens_;
  std::vector<PromptPiece> pieces_;
};

// The whole conversation without the generation prompt. `open_end` leaves the last message without
// its end.
void render_qwen(const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
                 bool open_end, bool add_vision_id, PromptBuilder& out);
void render_hermes(const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
                   bool open_end, PromptBuilder& out);

}  // namespace ocelli
