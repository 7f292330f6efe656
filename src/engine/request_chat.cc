#include "engine/request_chat.h"

#include <algorithm>

#include "engine/fields.h"
#include "text/chat_message.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;

Result<void> read_named_tool(const ordered_json& choice, RequestSpec& spec) {
  const ordered_json* function = field(choice, "function");
  const ordered_json* name = function && function->is_object() ? field(*function, "name") : nullptr;
  if (!name || !name->is_string()) {
    return fail(Status::kInvalidValue,
                "Expected field `function` in `tool_choice`: {\"type\":\"function\","
                "\"function\":{\"name\":\"...\"}}, got " +
                    shown(choice),
                "tool_choice");
  }
  spec.tool_choice = ToolChoice::kNamed;
  spec.named_tool = name->get<std::string>();
  if (std::ranges::find(spec.tool_names, spec.named_tool) != spec.tool_names.end()) return {};
  return fail(Status::kInvalidValue,
              "The tool specified in `tool_choice` does not match any of the specified `tools`: "
              "there is no " +
                  shown(*name),
              "tool_choice");
}

// What one place says of the pixels of images. A bound that it does not name gives way to the one
// that it does, whatever the model's own is.
Result<void> read_pixels(const ordered_json& from, ImagePart& out) {
  OCELLI_TRY_VOID(read_integer(from, "min_pixels", 1, INT32_MAX, out.min_pixels));
  OCELLI_TRY_VOID(read_integer(from, "max_pixels", 1, INT32_MAX, out.max_pixels));
  if (out.min_pixels <= out.max_pixels) return {};
  if (!field(from, "min_pixels")) {
    out.min_pixels = 1;
  } else if (!field(from, "max_pixels")) {
    out.max_pixels = out.min_pixels;
  } else {
    return fail(Status::kInvalidValue,
                "min_pixels must be at most max_pixels=" + std::to_string(out.max_pixels) +
                    ", got " + std::to_string(out.min_pixels) + ".",
                "min_pixels");
  }
  return {};
}

// The text of a message, as its template joins it.
std::string text_of(const ordered_json& message) {
  const ordered_json* content = field(message, "content");
  if (!content) return {};
  if (content->is_string()) return content->get<std::string>();
  std::string out;
  if (!content->is_array()) return out;  // the template names this error
  for (const ordered_json& part : *content) {
    if (part.is_string()) out += part.get<std::string>();
    const ordered_json* text = part.is_object() ? field(part, "text") : nullptr;
    if (text && text->is_string()) out += text->get<std::string>();
  }
  return out;
}

}  // namespace

Result<void> read_prompt(const ordered_json& body, int vocab, RequestSpec& spec) {
  const ordered_json* messages = field(body, "messages");
  const ordered_json* prompt = field(body, "prompt");
  if (messages && !messages->is_array()) return wrong_type("messages", "an array", *messages);
  if (messages) {
    spec.messages = *messages;
    return {};
  }
  if (!prompt) return fail(Status::kMissingField, "messages is required", "messages");
  spec.raw.emplace();
  if (prompt->is_array()) return read_ids(body, "prompt", vocab, spec.raw->ids);
  if (!prompt->is_string()) return wrong_type("prompt", "text or an array of token ids", *prompt);
  spec.raw->text = prompt->get<std::string>();
  return {};
}

Result<void> read_echo(const ordered_json& body, RequestSpec& spec) {
  OCELLI_TRY_VOID(read_bool(body, "echo", spec.echo));
  if (!spec.echo) return {};
  if (spec.raw) {
    spec.echo_text = spec.raw->text;
  } else if (!spec.messages.empty() && spec.messages.back().is_object()) {
    const ordered_json& last = spec.messages.back();
    if (!spec.chat.add_generation_prompt || is(last, "role", "assistant"))
      spec.echo_text = text_of(last);
  }
  return {};
}

Result<void> read_tool_choice(const ordered_json& body, RequestSpec& spec) {
  const ordered_json* tools = field(body, "tools");
  const ordered_json* choice = field(body, "tool_choice");
  OCELLI_TRY_VOID(read_bool(body, "parallel_tool_calls", spec.parallel_tool_calls));
  if (tools && !tools->is_array()) return wrong_type("tools", "an array", *tools);
  if (choice && !choice->is_object() && *choice != "none" && *choice != "auto" &&
      *choice != "required") {
    return fail(Status::kInvalidValue,
                "Invalid value for `tool_choice`: " + shown(*choice) +
                    "! Only named tools, \"none\", \"auto\" or \"required\" are supported.",
                "tool_choice");
  }
  if (!tools || tools->empty()) return {};  // what was chosen among none is tolerated
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
    const ordered_json* parameters = field(*function, "parameters");
    if (parameters && !parameters->is_object() && !parameters->is_boolean()) {
      return fail(Status::kInvalidValue,
                  "the parameters of the tool " + shown(*name) + " must be a JSON schema, got " +
                      shown(*parameters),
                  "tools");
    }
    spec.tool_names.push_back(name->get<std::string>());
  }
  if (choice && *choice == "none") return {};
  if (!choice || *choice == "auto") {
    spec.tool_choice = ToolChoice::kAuto;
  } else if (*choice == "required") {
    spec.tool_choice = ToolChoice::kRequired;
  } else {
    OCELLI_TRY_VOID(read_named_tool(*choice, spec));
  }
  spec.tools = *tools;
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

Result<void> read_images(const ordered_json& body, const ImageProcessorConfig& defaults,
                         RequestSpec& spec) {
  ImagePart all{0, defaults.min_pixels, defaults.max_pixels, {}};
  if (const ordered_json* kwargs = field(body, "mm_processor_kwargs")) {
    if (!kwargs->is_object()) return wrong_type("mm_processor_kwargs", "an object", *kwargs);
    OCELLI_TRY_VOID(read_pixels(*kwargs, all));
  }
  for (size_t m = 0; m < spec.messages.size(); ++m) {
    const ordered_json& message = spec.messages[m];
    if (!message.is_object()) continue;  // the template names this error
    const ordered_json* content = field(message, "content");
    if (!content || !content->is_array()) continue;
    for (size_t p = 0; p < content->size(); ++p) {
      const ordered_json& part = (*content)[p];
      if (!shows_image(part)) continue;
      ImagePart entry = all;
      entry.path = "messages[" + std::to_string(m) + "].content[" + std::to_string(p) + "]";
      OCELLI_TRY_VOID(read_integer(part, "media", 1, UINT32_MAX, entry.media));
      if (entry.media == 0) {
        return fail(Status::kMediaMissing,
                    entry.path + " is an image without a media handle: put its bytes first",
                    entry.path);
      }
      OCELLI_TRY_VOID(read_pixels(part, entry));
      spec.images.push_back(entry);
    }
  }
  return {};
}

}  // namespace ocelli
