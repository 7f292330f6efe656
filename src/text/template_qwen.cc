// The default template: system turn, tools, calls and tool results as Qwen2.5's text template
// writes them, and the parts of a message in their order, without separators, as the vision
// template does. Called by render_chat().
#include "text/prompt_builder.h"

namespace ocelli {
namespace {

constexpr std::string_view kDefaultSystem = "You are a helpful assistant.";
constexpr std::string_view kToolsBefore =
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
constexpr std::string_view kToolsAfter =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

void render_content(const ChatMessage& message, bool add_vision_id, PromptBuilder& out) {
  for (const ChatPart& part : message.parts) {
    if (part.kind == ChatPart::kText) {
      out.text(part.text);
      continue;
    }
    if (add_vision_id)
      out.text((part.kind == ChatPart::kImage ? "Picture " : "Video ") +
               std::to_string(part.media + 1) + ": ");
    out.media(part);
  }
}

}  // namespace

void render_qwen(const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
                 bool open_end, bool add_vision_id, PromptBuilder& out) {
  const bool own_system = messages[0].role == ChatRole::kSystem;
  out.literal("<|im_start|>system\n");
  if (own_system) {
    render_content(messages[0], add_vision_id, out);
  } else {
    out.literal(kDefaultSystem);
  }
  if (!tools.empty()) {
    out.literal(kToolsBefore);
    for (const ChatTool& tool : tools) {
      std::string signature = "\n";
      dump_python(*tool.whole, signature);
      out.text(signature);
    }
    out.literal(kToolsAfter);
  }
  out.literal("<|im_end|>\n");

  for (size_t i = own_system ? 1 : 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool last = i + 1 == messages.size();
    if (message.role == ChatRole::kTool) {
      if (i == 0 || messages[i - 1].role != ChatRole::kTool) out.literal("<|im_start|>user");
      out.literal("\n<tool_response>\n");
      render_content(message, add_vision_id, out);
      out.literal("\n</tool_response>");
      if (last || messages[i + 1].role != ChatRole::kTool) out.literal("<|im_end|>\n");
      continue;
    }
    out.literal("<|im_start|>");
    out.text(message.role_text);
    if (message.calls.empty() || message.has_content()) out.literal("\n");
    render_content(message, add_vision_id, out);
    out.calls(message.calls);
    if (!(last && open_end)) out.literal("<|im_end|>\n");
  }
}

}  // namespace ocelli
