#include "bench/grammar/cases.h"

#include <nlohmann/json.hpp>

namespace ocelli::bench {
namespace {

using Kind = GrammarSource::Kind;
using Json = nlohmann::ordered_json;

Json object(const Json& properties, bool required = true) {
  Json out = {{"type", "object"}, {"properties", properties}};
  for (const auto& [name, unused] : properties.items()) {
    if (required) out["required"].push_back(name);
  }
  return out;
}

Json string_of(int most) { return {{"type", "string"}, {"maxLength", most}}; }

// An invoice as an extraction task asks for it.
Json invoice() {
  const Json item = object({{"description", {{"type", "string"}}},
                            {"quantity", {{"type", "integer"}, {"minimum", 1}, {"maximum", 999}}},
                            {"price", {{"type", "number"}, {"minimum", 0}}}});
  return object({{"number", {{"type", "string"}}},
                 {"date", {{"type", "string"}, {"format", "date"}}},
                 {"currency", {{"enum", {"EUR", "USD", "BRL"}}}},
                 {"paid", {{"type", "boolean"}}},
                 {"items", {{"type", "array"}, {"items", item}}}});
}

Json many_properties(int count, bool required) {
  Json properties;
  for (int i = 0; i < count; ++i) {
    properties["field_" + std::to_string(i)] = i % 3 == 0   ? string_of(20 + i)
                                               : i % 3 == 1 ? Json{{"type", "number"}}
                                                            : Json{{"type", "string"}};
  }
  return object(properties, required);
}

Json many_words(int count) {
  Json words = Json::array();
  for (int i = 0; i < count; ++i) {
    std::string word;
    for (int n = i * 7919 + 1; n > 0; n /= 11) word += "aeioubdlmst"[n % 11];
    words.push_back(word + std::to_string(i));
  }
  return words;
}

Json deep(int levels) {
  Json inner = {{"type", "string"}};
  for (int i = 0; i < levels; ++i) {
    inner = i % 2 == 0 ? Json{{"type", "array"}, {"items", inner}, {"minItems", 1}}
                       : object({{"inner", inner}, {"note", string_of(30)}});
  }
  return inner;
}

Json different_objects(int count) {
  Json list = Json::array();
  for (int i = 0; i < count; ++i) {
    list.push_back(object({{"kind", {{"const", "kind_" + std::to_string(i)}}},
                           {"value_" + std::to_string(i % 5), string_of(10 + i)}}));
  }
  return {{"anyOf", list}};
}

std::string long_alternatives() {
  std::string text =
      "root ::= line+\nline ::= verb \" \" noun (\" \" noun){0,20} \"\\n\"\nverb ::= ";
  for (int i = 0; i < 300; ++i) text += (i > 0 ? " | " : "") + many_words(300)[i].dump();
  text += "\nnoun ::= ";
  for (int i = 0; i < 300; ++i)
    text += (i > 0 ? " | " : "") + ("\"the " + many_words(300)[299 - i].get<std::string>() + "\"");
  return text + " | [a-z]+ | \"(\" noun \")\"";
}

const char* kSql =
    "root ::= \"SELECT \" column (\", \" column){0,30} \" FROM \" name (\" WHERE \" test)?\n"
    "test ::= operand (\" AND \" | \" OR \") test | operand | \"(\" test \")\"\n"
    "operand ::= name \" \" (\"=\" | \"<\" | \">\" | \"LIKE\") \" \" (name | number | text)\n"
    "column ::= name | name \".\" name | \"count(\" name \")\"\n"
    "name ::= [a-zA-Z_] [a-zA-Z0-9_]{0,62}\n"
    "number ::= \"-\"? [0-9]{1,12} (\".\" [0-9]{1,6})?\n"
    "text ::= \"'\" [^']{0,200} \"'\"";

Json search_tool() {
  return object({{"query", string_of(400)}, {"limit", {{"type", "integer"}, {"maximum", 50}}}});
}

}  // namespace

std::vector<GrammarCase> grammar_cases() {
  const auto schema = [](std::string name, const Json& json) {
    return GrammarCase{std::move(name), Kind::kJsonSchema, json.dump()};
  };
  const Json text = {{"type", "string"}}, number = {{"type", "number"}};
  std::vector<GrammarCase> cases = {
      schema("any object", {{"type", "object"}}),
      schema("invoice", invoice()),
      schema("string", text),
      schema("string, at most 40", string_of(40)),
      schema("string, at most 200", string_of(200)),
      schema("string, at most 5000", string_of(5000)),
      schema("string, 150 to 200", {{"type", "string"}, {"minLength", 150}, {"maxLength", 200}}),
      schema("20 strings, at most 40",
             [] {
               Json properties;
               for (int i = 0; i < 20; ++i)
                 properties["field " + std::to_string(i)] = string_of(40);
               return object(properties);
             }()),
      schema(
          "array, at most 10000 strings",
          {{"type", "array"}, {"items", string_of(60)}, {"maxItems", 10'000}, {"minItems", 200}}),
      schema("array of arrays of counts",
             {{"type", "array"},
              {"maxItems", 50},
              {"items",
               {{"type", "array"},
                {"maxItems", 50},
                {"items", {{"type", "array"}, {"maxItems", 50}, {"items", string_of(50)}}}}}}),
      schema("enum of 2000", {{"enum", many_words(2000)}}),
      schema("list of an enum of 500",
             {{"type", "array"}, {"items", {{"enum", many_words(500)}}}, {"minItems", 50}}),
      schema("numbers with ranges",
             {{"type", "array"},
              {"minItems", 40},
              {"items", {{"type", "number"}, {"minimum", -273.15}, {"maximum", 999999.5}}}}),
      schema("multiples of 97", {{"type", "array"},
                                 {"minItems", 20},
                                 {"items", {{"type", "integer"}, {"multipleOf", 97}}}}),
      schema("60 optional properties", many_properties(60, false)),
      schema("60 required properties", many_properties(60, true)),
      schema("8 to 16 of 40 properties",
             [] {
               Json out = many_properties(40, false);
               out["minProperties"] = 8;
               out["maxProperties"] = 16;
               return out;
             }()),
      schema("30 levels", deep(30)),
      schema("200 kinds of objects",
             {{"type", "array"}, {"minItems", 5}, {"items", different_objects(200)}}),
      schema(
          "tree",
          {{"$ref", "#/$defs/node"},
           {"$defs",
            {{"node", object({{"name", string_of(50)},
                              {"children",
                               {{"type", "array"}, {"items", {{"$ref", "#/$defs/node"}}}}}})}}}}),
      schema("known and other keys", {{"type", "object"},
                                      {"properties", many_properties(30, false)["properties"]},
                                      {"additionalProperties", string_of(30)},
                                      {"minProperties", 20}}),
      schema("pattern of words", {{"type", "string"}, {"pattern", "^(\\w+[ ,]){3,60}\\w+$"}}),
      schema("pattern, at most 200",
             {{"type", "string"}, {"pattern", "^[^<>]*$"}, {"maxLength", 200}}),
      schema("password",
             {{"type", "string"}, {"pattern", "^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)(?!.*\\s).{8,}$"}}),
      schema("set of 10", {{"type", "array"},
                           {"uniqueItems", true},
                           {"items", {{"enum", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}}}}),
      schema(
          "names by pattern",
          {{"type", "object"}, {"patternProperties", {{"^[a-z_]{1,20}$", {{"type", "integer"}}}}}}),
      schema("pattern, searched", {{"type", "string"}, {"pattern", "[A-Z]{3}-\\d{4}"}}),
      schema("e-mail and links", {{"type", "array"},
                                  {"minItems", 10},
                                  {"items",
                                   {{"anyOf",
                                     {{{"type", "string"}, {"format", "email"}},
                                      {{"type", "string"}, {"format", "uri"}}}}}}}),
      {"regex .{0,500}", Kind::kRegex, ".{0,500}"},
      {"regex (.{1,80}\\n){1,40}", Kind::kRegex, "(.{1,80}\\n){1,40}"},
      {"regex of two counts", Kind::kRegex, "[a-z ]{0,200}[a-m ,]{0,200}\\."},
      {"regex of counted counts", Kind::kRegex, "(([a-z]{1,12} ){1,20}[A-Z]{0,30}){1,20}"},
      {"regex of ambiguous lines", Kind::kRegex, "(.*,){0,20}.*;"},
      {"regex of Unicode classes", Kind::kRegex, "[\\u4e00-\\u9fff\\u3040-\\u30ff]{10,300}"},
      {"choice of 1000", Kind::kChoice, many_words(1000).dump()},
      {"EBNF, SQL", Kind::kEbnf, kSql},
      {"EBNF, long alternatives", Kind::kEbnf, long_alternatives()},
      {"structural tags", Kind::kStructuralTag,
       Json{{"structures",
             {{{"begin", "<function=search>"}, {"schema", search_tool()}, {"end", "</function>"}},
              {{"begin", "<function=pay>"}, {"schema", invoice()}, {"end", "</function>"}}}},
            {"triggers", {"<function="}}}
           .dump()},
      {"tool calls", Kind::kTools,
       Json{{"mode", "calls"},
            {"tools",
             {{{"name", "search"}, {"parameters", search_tool()}},
              {{"name", "pay"}, {"parameters", invoice()}}}}}
           .dump()},
  };
  return cases;
}

}  // namespace ocelli::bench
