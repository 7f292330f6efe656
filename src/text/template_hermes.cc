// The template the hosted service runs: a function-calling system turn always comes first, tools
// are spelled as Python signatures, images stand before the text of their message. Called by
// render_chat().
//
// Surprise: its oddities (a missing closing brace, turns that end without a newline, list[Union[]])
// are kept, because the prompt counts of the service depend on them. chat_template.h lists where we
// differ.
#include <algorithm>

#include "text/prompt_builder.h"
#include "text/unicode.h"

namespace ocelli {
namespace {

constexpr std::string_view kBefore =
    "<|im_start|>system\nYou are a function calling AI model. You are provided with function "
    "signatures within "
    "<tools></tools> XML tags. You may call one or more functions to assist with the user query. "
    "Don't make "
    "assumptions about what values to plug into functions. Here are the available tools: <tools> ";
constexpr std::string_view kAfter =
    " </tools>Use the following pydantic model json schema for each tool call you will make: "
    "{\"properties\": {\"name\": {\"title\": \"Name\", \"type\": \"string\"}, "
    "\"arguments\": {\"title\": \"Arguments\", \"type\": \"object\"}}, \"required\": [\"name\", "
    "\"arguments\"], "
    "\"title\": \"FunctionCall\", \"type\": \"object\"}}\n"
    "For each function call return a json object with function name and arguments within "
    "<tool_call></tool_call> "
    "XML tags as follows:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": "
    "<args-dict>}\n</tool_call>"
    "<|im_end|>";

// As str.strip() of Python: Unicode white space and the four separators U+001C..U+001F.
bool is_python_space(char32_t c) {
  return char_class(c) == CharClass::kSpace || (c >= 0x1c && c <= 0x1f);
}

std::string_view python_strip(std::string_view text) {
  if (utf8_valid_prefix(text) != text.size()) return text;
  while (!text.empty()) {
    const DecodedChar first = decode_utf8(text, 0);
    if (!is_python_space(first.code_point)) break;
    text.remove_prefix(first.bytes);
  }
  while (!text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) --at;
    if (!is_python_space(decode_utf8(text, at).code_point)) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

// Text of a description that need not be a string.
std::string description_of(const OrderedJson& spec) {
  const OrderedJson* description = find_value(spec, "description");
  if (description == nullptr) return {};
  if (description->is_string()) return description->get<std::string>();
  std::string out;
  dump_python(*description, out);
  return out;
}

std::string_view basic_type(std::string_view type) {
  if (type == "string") return "str";
  if (type == "number") return "float";
  if (type == "integer") return "int";
  if (type == "boolean") return "bool";
  return {};
}

// One type name of a JSON schema as a Python annotation; `spec` is the schema around it, null
// inside a union.
std::string python_type(std::string_view type, const OrderedJson* spec);

std::string python_type(const OrderedJson& spec) {
  const auto found = spec.is_object() ? spec.find("type") : spec.end();
  if (!spec.is_object() || found == spec.end()) return "Union[]";
  if (found->is_string()) return python_type(found->get_ref<const std::string&>(), &spec);
  if (!found->is_array()) return "Any";
  std::string out = "Union[";
  for (size_t i = 0; i < found->size(); ++i) {
    const OrderedJson& type = (*found)[i];
    if (i > 0) out += ",";
    out += type.is_string() ? python_type(type.get_ref<const std::string&>(), nullptr) : "Any";
  }
  return out + "]";
}

std::string python_type(std::string_view type, const OrderedJson* spec) {
  if (const std::string_view basic = basic_type(type); !basic.empty()) return std::string(basic);
  if (type == "array")
    return "list[Union[]]";  // the template looks at the wrong thing for the items
  if (type == "null") return "None";
  if (type != "object") return "Any";
  if (spec == nullptr || !spec->contains("additionalProperties")) return "dict";
  return "dict[str, " + python_type(*spec->find("additionalProperties")) + "]";
}

std::string signature_of(const ChatTool& tool) {
  const OrderedJson* parameters = find_value(*tool.function, "parameters");
  const OrderedJson* properties =
      parameters == nullptr ? nullptr : find_value(*parameters, "properties");
  if (properties != nullptr && (!properties->is_object() || properties->empty()))
    properties = nullptr;

  std::string out = "{\"type\": \"function\", \"function\": {\"name\": \"";
  out.append(tool.name).append("\", \"description\": \"").append(tool.name).append("(");
  if (properties != nullptr) {
    for (auto item = properties->begin(); item != properties->end(); ++item) {
      if (item != properties->begin()) out += ", ";
      out.append(item.key()).append(": ").append(python_type(item.value()));
    }
  }
  out += ")";
  const OrderedJson* returns = find_value(*tool.function, "return");
  if (returns != nullptr) out.append(" -> ").append(python_type(*returns));
  out.append(" - ").append(description_of(*tool.function)).append("\n\n");
  if (properties != nullptr) {
    out += "    Args:\n";
    for (auto item = properties->begin(); item != properties->end(); ++item) {
      out.append("        ")
          .append(item.key())
          .append("(")
          .append(python_type(item.value()))
          .append("): ");
      out += python_strip(description_of(item.value()));
    }
  }
  if (returns != nullptr && find_value(*returns, "description") != nullptr)
    out.append("\n    Returns:\n        ").append(description_of(*returns));
  out += "\", \"parameters\": ";
  if (properties == nullptr) {
    out += "{}";
  } else {
    dump_python(*parameters, out);
  }
  return out + "}";
}

// All media of the kind that comes first, then those of the other, each on its own line; then the
// texts joined by newlines.
void render_content(const ChatMessage& message, PromptBuilder& out) {
  const auto is_media = [](const ChatPart& part) { return part.kind != ChatPart::kText; };
  const auto first_media = std::find_if(message.parts.begin(), message.parts.end(), is_media);
  const bool video_first =
      first_media != message.parts.end() && first_media->kind == ChatPart::kVideo;
  for (const bool videos : {video_first, !video_first}) {
    const ChatPart::Kind kind = videos ? ChatPart::kVideo : ChatPart::kImage;
    for (const ChatPart& part : message.parts) {
      if (part.kind != kind) continue;
      out.media(part);
      out.literal("\n");
    }
  }
  bool first = true;
  for (const ChatPart& part : message.parts) {
    if (part.kind != ChatPart::kText) continue;
    if (!first) out.literal("\n");
    out.text(part.text);
    first = false;
  }
}

}  // namespace

void render_hermes(const std::vector<ChatMessage>& messages, const std::vector<ChatTool>& tools,
                   bool open_end, PromptBuilder& out) {
  out.literal(kBefore);
  for (size_t i = 0; i < tools.size(); ++i) {
    if (i > 0) out.literal("\n");
    out.text(signature_of(tools[i]));
  }
  out.literal(kAfter);

  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    const bool last = i + 1 == messages.size();
    if (message.role == ChatRole::kTool) {
      if (i > 0 && messages[i - 1].role != ChatRole::kTool) out.literal("<|im_start|>tool\n");
      out.literal("<tool_response>\n");
      render_content(message, out);
      out.literal(last ? "\n</tool_response>" : "\n</tool_response>\n");
      if (last || messages[i + 1].role != ChatRole::kTool) out.literal("<|im_end|>");
      continue;
    }
    out.literal("<|im_start|>");
    out.text(message.role_text);
    if (message.calls.empty()) {
      out.literal("\n");
      render_content(message, out);
    }
    out.calls(message.calls);
    if (!(last && open_end)) out.literal("<|im_end|>\n");
  }
}

}  // namespace ocelli
