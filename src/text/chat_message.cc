#include "text/chat_message.h"

#include <algorithm>
#include <utility>

namespace ocelli {
namespace {

struct MediaCount {
  int images = 0;
  int videos = 0;
};

std::string_view type_of(const OrderedJson& value) {
  if (value.is_binary()) return "number";
  return value.type_name();
}

std::unexpected<Error> wrong_type(const std::string& path, const OrderedJson& value,
                                  std::string_view wanted) {
  return fail(Status::kInvalidValue,
              path + " is " + std::string(type_of(value)) + ", must be " + std::string(wanted),
              path);
}

Result<std::string_view> text_at(const OrderedJson& object, std::string_view key,
                                 const std::string& path) {
  const OrderedJson* value = find_value(object, key);
  const std::string here = path + "." + std::string(key);
  if (value == nullptr) return fail(Status::kMissingField, here + " is missing", here);
  if (!value->is_string()) return wrong_type(here, *value, "a string");
  return value->get_ref<const std::string&>();
}

constexpr size_t kRoleBytesMax = 64;

// A role of the template's, or any other word, which gets a turn of its own.
Result<std::pair<ChatRole, std::string_view>> read_role(const OrderedJson& message,
                                                        const std::string& path) {
  using Role = std::pair<ChatRole, std::string_view>;
  OCELLI_TRY(const std::string_view role, text_at(message, "role", path));
  if (role == "system" || role == "developer") return Role(ChatRole::kSystem, "system");
  if (role == "user" || role == "assistant")
    return Role(role == "user" ? ChatRole::kUser : ChatRole::kAssistant, role);
  if (role == "tool" || role == "function") return Role(ChatRole::kTool, "tool");
  const bool one_line = std::ranges::none_of(
      role, [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
  if (!role.empty() && role.size() <= kRoleBytesMax && one_line)
    return Role(ChatRole::kOther, role);
  return fail(Status::kUnknownRole,
              path + ".role is \"" + std::string(role.substr(0, kRoleBytesMax)) +
                  "\", must be system, developer, user, assistant, tool, function or another word "
                  "of 1 to " +
                  std::to_string(kRoleBytesMax) + " bytes without control characters",
              path + ".role");
}

std::string_view type_word(const OrderedJson& part) {
  const OrderedJson* type = find_value(part, "type");
  return type != nullptr && type->is_string()
             ? std::string_view(type->get_ref<const std::string&>())
             : std::string_view();
}

bool is_image_type(std::string_view type) {
  return type == "image" || type == "image_url" || type == "input_image";
}

// Whether a part has one of the keys, but not more than null under them: it is skipped.
bool holds_null(const OrderedJson& part, std::string_view one, std::string_view other) {
  return (part.contains(one) || part.contains(other)) && find_value(part, one) == nullptr &&
         find_value(part, other) == nullptr;
}

// The key that holds the text of a part, or nothing when it holds no text.
std::string_view text_key(const OrderedJson& part) {
  const std::string_view type = type_word(part);
  if (type == "text" || type == "input_text" || type == "output_text") return "text";
  if (type == "refusal") return "refusal";
  for (const std::string_view key : {"text", "refusal"})
    if (type.empty() && part.contains(key)) return key;
  return {};
}

// The kind of a part. As in the vision template, an image or video key decides whatever the type
// says; only beside a text it is an error, since services differ in which of the two they drop.
Result<ChatPart::Kind> part_kind(const OrderedJson& part, const std::string& path) {
  std::string_view type;
  if (find_value(part, "type") != nullptr) {
    OCELLI_TRY(type, text_at(part, "type", path));
  }
  const std::string_view key = text_key(part);
  for (const std::string_view media : {"image", "image_url", "video", "video_url"}) {
    if (find_value(part, media) == nullptr) continue;
    if (!key.empty() && find_value(part, key) != nullptr)
      return fail(Status::kInvalidValue,
                  path + " has both " + std::string(key) + " and " + std::string(media) +
                      "; each needs a part of its own",
                  path);
    return media.starts_with("image") ? ChatPart::kImage : ChatPart::kVideo;
  }
  if (is_image_type(type)) return ChatPart::kImage;
  if (type == "video" || type == "video_url") return ChatPart::kVideo;
  if (!key.empty()) return ChatPart::kText;
  if (type.empty() && holds_null(part, "image", "image_url")) return ChatPart::kImage;
  if (type.empty())
    return fail(Status::kMissingField, path + " has no type; must be text, image_url or video_url",
                path + ".type");
  return fail(Status::kInvalidValue,
              "Unknown part type: " + std::string(type.substr(0, 64)) + " (" + path +
                  ".type must be text, refusal, image, image_url, video or video_url)",
              path + ".type");
}

Result<void> read_part(const OrderedJson& part, const std::string& path, MediaCount& media,
                       std::vector<ChatPart>& parts) {
  if (part.is_string()) {
    parts.push_back({ChatPart::kText, part.get_ref<const std::string&>()});
    return {};
  }
  if (!part.is_object()) return wrong_type(path, part, "an object or a string");
  OCELLI_TRY(const ChatPart::Kind kind, part_kind(part, path));
  const std::string_view key = text_key(part);
  if (kind == ChatPart::kImage) {
    if (shows_image(part)) parts.push_back({ChatPart::kImage, {}, media.images++});
  } else if (kind == ChatPart::kVideo) {
    if (!holds_null(part, "video", "video_url"))
      parts.push_back({ChatPart::kVideo, {}, media.videos++});
  } else if (part.contains(key) && find_value(part, key) == nullptr) {
    return {};  // {"type": "text", "text": null} is skipped, as vLLM does
  } else {
    OCELLI_TRY(const std::string_view text, text_at(part, key, path));
    parts.push_back({ChatPart::kText, text});
  }
  return {};
}

Result<std::vector<ChatPart>> read_content(const OrderedJson& message, const std::string& path,
                                           MediaCount& media) {
  std::vector<ChatPart> parts;
  const OrderedJson* content = find_value(message, "content");
  if (content == nullptr) return parts;
  if (content->is_string()) {
    parts.push_back({ChatPart::kText, content->get_ref<const std::string&>()});
    return parts;
  }
  if (!content->is_array())
    return wrong_type(path + ".content", *content, "a string, an array of parts or null");
  for (size_t i = 0; i < content->size(); ++i)
    OCELLI_TRY_VOID(
        read_part((*content)[i], path + ".content[" + std::to_string(i) + "]", media, parts));
  return parts;
}

// A call's arguments as a template prints them: see the table in chat_template.h.
std::string print_arguments(const OrderedJson& function) {
  const OrderedJson* arguments = find_value(function, "arguments");
  if (arguments == nullptr) return "{}";
  std::string out;
  if (!arguments->is_string()) {
    dump_python(*arguments, out);
    return out;
  }
  const std::string& text = arguments->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return "{}";
  const Result<OrderedJson> value = parse_json(text);
  if (!value) return text;
  dump_python(*value, out);
  return out;
}

Result<ChatCall> read_call(const OrderedJson& call, const std::string& path) {
  if (!call.is_object()) return wrong_type(path, call, "an object");
  const OrderedJson* function = find_value(call, "function");
  if (function != nullptr && !function->is_object())
    return wrong_type(path + ".function", *function, "an object");
  if (function == nullptr && !call.contains("name"))
    return fail(Status::kMissingField, path + ".function is missing", path + ".function");
  const OrderedJson& named = function == nullptr ? call : *function;
  OCELLI_TRY(const std::string_view name,
             text_at(named, "name", function == nullptr ? path : path + ".function"));
  return ChatCall{name, print_arguments(named)};
}

Result<std::vector<ChatCall>> read_calls(const OrderedJson& message, const std::string& path) {
  std::vector<ChatCall> out;
  if (const OrderedJson* calls = find_value(message, "tool_calls"); calls != nullptr) {
    if (!calls->is_array()) return wrong_type(path + ".tool_calls", *calls, "an array or null");
    for (size_t i = 0; i < calls->size(); ++i) {
      OCELLI_TRY(ChatCall call,
                 read_call((*calls)[i], path + ".tool_calls[" + std::to_string(i) + "]"));
      out.push_back(std::move(call));
    }
  }
  if (const OrderedJson* legacy = find_value(message, "function_call");
      legacy != nullptr && out.empty()) {
    OCELLI_TRY(ChatCall call, read_call(*legacy, path + ".function_call"));
    out.push_back(std::move(call));
  }
  return out;
}

}  // namespace

bool ChatMessage::has_content() const {
  return std::any_of(parts.begin(), parts.end(), [](const ChatPart& part) {
    return part.kind != ChatPart::kText || !part.text.empty();
  });
}

const OrderedJson* find_value(const OrderedJson& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool shows_image(const OrderedJson& part) {
  if (find_value(part, "image") != nullptr || find_value(part, "image_url") != nullptr) {
    const std::string_view key = text_key(part);
    return key.empty() || find_value(part, key) == nullptr;
  }
  return is_image_type(type_word(part)) &&
         (find_value(part, "media") != nullptr || !holds_null(part, "image", "image_url"));
}

Result<std::vector<ChatMessage>> read_messages(const OrderedJson& messages) {
  if (!messages.is_array()) return wrong_type("messages", messages, "an array");
  if (messages.empty())
    return fail(Status::kInvalidValue, "messages is empty, must hold at least one message",
                "messages");
  if (json_too_deep(messages))
    return fail(Status::kInvalidValue,
                "messages is nested more than " + std::to_string(kJsonDepthMax) + " deep",
                "messages");
  std::vector<ChatMessage> out;
  MediaCount media;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string path = "messages[" + std::to_string(i) + "]";
    const OrderedJson& message = messages[i];
    if (!message.is_object()) return wrong_type(path, message, "an object");
    OCELLI_TRY(const auto role, read_role(message, path));
    OCELLI_TRY(std::vector<ChatPart> parts, read_content(message, path, media));
    std::vector<ChatCall> calls;
    if (role.first == ChatRole::kAssistant) {
      OCELLI_TRY(calls, read_calls(message, path));
    }
    out.push_back({role.first, role.second, std::move(parts), std::move(calls)});
  }
  return out;
}

Result<std::vector<ChatTool>> read_tools(const OrderedJson& tools) {
  std::vector<ChatTool> out;
  if (tools.is_null()) return out;
  if (!tools.is_array()) return wrong_type("tools", tools, "an array or null");
  if (json_too_deep(tools))
    return fail(Status::kInvalidValue,
                "tools is nested more than " + std::to_string(kJsonDepthMax) + " deep", "tools");
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = "tools[" + std::to_string(i) + "]";
    const OrderedJson& tool = tools[i];
    if (!tool.is_object()) return wrong_type(path, tool, "an object");
    const OrderedJson* function = find_value(tool, "function");
    if (function != nullptr && !function->is_object())
      return wrong_type(path + ".function", *function, "an object");
    if (function == nullptr && !tool.contains("name"))
      return fail(Status::kMissingField, path + ".function is missing", path + ".function");
    const OrderedJson& named = function == nullptr ? tool : *function;
    OCELLI_TRY(const std::string_view name,
               text_at(named, "name", function == nullptr ? path : path + ".function"));
    out.push_back({&tool, &named, name});
  }
  return out;
}

}  // namespace ocelli
