#include "engine/constraint.h"

#include <utility>
#include <vector>

#include "engine/fields.h"

namespace ocelli {
namespace {

using nlohmann::ordered_json;
using Kind = GrammarSource::Kind;

constexpr const char* kAnyObject = R"({"type":"object"})";

std::string text_of(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// A JSON text or the value itself.
Result<std::string> json_text(const ordered_json& value, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() || value.is_boolean()) return text_of(value);
  return wrong_type(name.c_str(), "a JSON schema or the text of one", value);
}

Result<std::string> plain_text(const ordered_json& value, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  return wrong_type(name.c_str(), "a string", value);
}

Result<std::optional<GrammarSource>> read_format(const ordered_json& body) {
  const ordered_json* format = field(body, "response_format");
  if (!format) return std::nullopt;
  const ordered_json* type = format->is_object() ? field(*format, "type") : nullptr;
  if (type && *type == "text") return std::nullopt;
  if (type && *type == "structural_tag")
    return GrammarSource{Kind::kStructuralTag, text_of(*format), "response_format"};
  const bool plain = type && *type == "json_object";
  if (plain || (type && *type == "json_schema")) {
    // With json_object some clients send a schema beside the type, as llama.cpp takes it.
    const ordered_json* outer = plain ? format : field(*format, "json_schema");
    const ordered_json* schema = outer && outer->is_object() ? field(*outer, "schema") : nullptr;
    if (plain && !schema) return GrammarSource{Kind::kJsonSchema, kAnyObject, "response_format"};
    if (schema && (schema->is_object() || schema->is_boolean()))
      return GrammarSource{Kind::kJsonSchema, text_of(*schema), "response_format"};
    return fail(Status::kInvalidValue,
                "response_format of type " + type->get<std::string>() + " must have " +
                    (plain ? "schema" : "json_schema.schema") + ", an object, got " +
                    shown(*format),
                "response_format");
  }
  return fail(Status::kInvalidValue,
              "response_format must be an object with the type \"text\", \"json_object\", "
              "\"json_schema\" or \"structural_tag\", got " +
                  shown(*format),
              "response_format");
}

// The guided_* fields of `body`, or with `prefix` "structured_outputs." those of that object.
Result<void> read_guided(const ordered_json& object, const std::string& prefix,
                         std::vector<GrammarSource>& out) {
  const bool flat = prefix.empty();
  const auto source = [&](const char* name, const char* flat_name, Kind kind,
                          auto&& read) -> Result<void> {
    const char* key = flat ? flat_name : name;
    const ordered_json* value = field(object, key);
    if (!value) return {};
    OCELLI_TRY(std::string text, read(*value, prefix + key));
    out.push_back({kind, std::move(text), prefix + key});
    return {};
  };
  const auto list = [](const ordered_json& value, const std::string& name) -> Result<std::string> {
    if (value.is_array()) return text_of(value);
    return wrong_type(name.c_str(), "an array of strings", value);
  };
  OCELLI_TRY_VOID(source("json", "guided_json", Kind::kJsonSchema, json_text));
  OCELLI_TRY_VOID(source("regex", "guided_regex", Kind::kRegex, plain_text));
  OCELLI_TRY_VOID(source("choice", "guided_choice", Kind::kChoice, list));
  OCELLI_TRY_VOID(source("grammar", "guided_grammar", Kind::kEbnf, plain_text));
  OCELLI_TRY_VOID(source("structural_tag", "structural_tag", Kind::kStructuralTag, json_text));
  bool any_object = false;
  if (!flat) OCELLI_TRY_VOID(read_bool(object, "json_object", any_object));
  if (any_object) out.push_back({Kind::kJsonSchema, kAnyObject, prefix + "json_object"});
  const char* space = flat ? "guided_whitespace_pattern" : "whitespace_pattern";
  if (field(object, space)) {
    return fail(Status::kUnsupportedFeature,
                prefix + space +
                    " is not supported: white space is at most one space behind ':' "
                    "and ','",
                prefix + space);
  }
  return {};
}

bool is_strict(const ordered_json& tool) {
  for (const ordered_json* at : {&tool, &tool["function"]}) {
    const ordered_json* strict = field(*at, "strict");
    if (strict && *strict == true) return true;
  }
  return false;
}

// What a tool's arguments must be. A tool that names no parameters has none.
ordered_json parameters_of(const ordered_json& tool) {
  const ordered_json* given = field(tool["function"], "parameters");
  if (!given) return {{"type", "object"}, {"properties", ordered_json::object()}};
  ordered_json parameters = *given;
  if (parameters == true) parameters = ordered_json::object();
  if (parameters.is_object() && !parameters.contains("type")) parameters["type"] = "object";
  return parameters;
}

// "text": calls among text; "calls": nothing but calls; "call": one; "answer": calls or `answer`.
GrammarSource tool_grammar(const RequestSpec& spec, const char* mode, const ordered_json& answer) {
  const bool must_call = spec.tool_choice != ToolChoice::kAuto;
  ordered_json source = {{"mode", mode}, {"tools", ordered_json::array()}};
  if (!answer.is_null()) source["answer"] = answer;
  for (const ordered_json& tool : spec.tools) {
    const ordered_json& name = tool["function"]["name"];
    if (spec.tool_choice == ToolChoice::kNamed && name != spec.named_tool) continue;
    ordered_json parameters = {{"type", "object"}};
    if (must_call || is_strict(tool)) parameters = parameters_of(tool);
    source["tools"].push_back({{"name", name}, {"parameters", std::move(parameters)}});
  }
  return {Kind::kTools, text_of(source), "tools"};
}

}  // namespace

Result<void> read_constraint(const ordered_json& body, RequestSpec& spec) {
  std::vector<GrammarSource> guided;
  OCELLI_TRY_VOID(read_guided(body, "", guided));
  if (const ordered_json* outputs = field(body, "structured_outputs")) {
    if (!outputs->is_object()) return wrong_type("structured_outputs", "an object", *outputs);
    const size_t before = guided.size();
    OCELLI_TRY_VOID(read_guided(*outputs, "structured_outputs.", guided));
    if (guided.size() == before) {
      return fail(Status::kInvalidValue,
                  "structured_outputs must have json, regex, choice, grammar, structural_tag or "
                  "json_object, got " +
                      shown(*outputs),
                  "structured_outputs");
    }
  }
  OCELLI_TRY(std::optional<GrammarSource> format, read_format(body));
  const bool must_call =
      spec.tool_choice == ToolChoice::kRequired || spec.tool_choice == ToolChoice::kNamed;
  if (guided.size() + format.has_value() > 1 || (must_call && !guided.empty())) {
    std::string names = must_call ? "tool_choice" : "";
    if (format) guided.push_back(*format);
    for (const GrammarSource& source : guided) names += (names.empty() ? "" : ", ") + source.field;
    return fail(Status::kInvalidValue,
                "You can only use one kind of guided decoding, got " + names + ".",
                guided[0].field);
  }
  if (must_call) {
    const bool one = spec.tool_choice == ToolChoice::kNamed || !spec.parallel_tool_calls;
    spec.grammar = tool_grammar(spec, one ? "call" : "calls", nullptr);
  } else if (!guided.empty()) {
    spec.grammar = std::move(guided[0]);
  } else if (format && format->kind == Kind::kJsonSchema && spec.tool_choice == ToolChoice::kAuto) {
    spec.grammar = tool_grammar(spec, "answer", ordered_json::parse(format->text, nullptr, false));
  } else if (format) {
    spec.grammar = std::move(format);
  } else if (spec.tool_choice == ToolChoice::kAuto) {
    bool strict = false;
    for (const ordered_json& tool : spec.tools) strict = strict || is_strict(tool);
    if (strict) spec.grammar = tool_grammar(spec, "text", nullptr);
  }
  if (spec.grammar && !spec.forced.empty()) {
    return fail(Status::kInvalidValue,
                "forced_token_ids cannot be used together with " + spec.grammar->field,
                "forced_token_ids");
  }
  return {};
}

}  // namespace ocelli
