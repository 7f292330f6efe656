// The messages and tools of a request, checked and reduced to what a template prints. Called by
// render_chat().
//
// Surprise: texts are views into the request's JSON, so a conversation is copied once, into the
// pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/python_json.h"

namespace ocelli {

enum class ChatRole { kSystem, kUser, kAssistant, kTool, kOther };

struct ChatPart {
  enum Kind { kText, kImage, kVideo };
  Kind kind;
  std::string_view text = {};  // kText
  int media = -1;              // which image, which video of the conversation
};

struct ChatCall {
  std::string_view name;
  std::string arguments;  // as the template prints them
};

struct ChatMessage {
  ChatRole role;
  std::string_view role_text;  // as the template prints it, of kOther the request's own word
  std::vector<ChatPart> parts;
  std::vector<ChatCall> calls;  // assistant only

  bool has_content() const;  // any image, video or character
};

struct ChatTool {
  const OrderedJson* whole;     // the entry of `tools`
  const OrderedJson* function;  // its "function", or itself when it has none
  std::string_view name;
};

// The value of a key, or null when the object lacks it or it is JSON null.
const OrderedJson* find_value(const OrderedJson& object, std::string_view key);

// Whether a part of a message is an image: by its type, or by an "image" or "image_url" that is not
// null unless it has text. A part whose image is null is none, as services skip it.
bool shows_image(const OrderedJson& part);

// At least one message, or kInvalidValue. Views point into `messages`.
Result<std::vector<ChatMessage>> read_messages(const OrderedJson& messages);

// Null or an array. Views point into `tools`.
Result<std::vector<ChatTool>> read_tools(const OrderedJson& tools);

}  // namespace ocelli
