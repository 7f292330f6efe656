#include "grammar/schema_merge.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "grammar/rules.h"

namespace ocelli {
namespace {

const std::map<std::string_view, unsigned> kKeywords = {
    // They say nothing about a value; discriminator only repeats what const says.
    {"title", 0},
    {"description", 0},
    {"default", 0},
    {"examples", 0},
    {"example", 0},
    {"$schema", 0},
    {"$comment", 0},
    {"$id", 0},
    {"$defs", 0},
    {"definitions", 0},
    {"deprecated", 0},
    {"readOnly", 0},
    {"writeOnly", 0},
    {"contentMediaType", 0},
    {"contentEncoding", 0},
    {"discriminator", 0},
    {"type", kAboutAll},
    {"enum", kAboutAll},
    {"const", kAboutAll},
    {"anyOf", kAboutAll},
    {"oneOf", kAboutAll},
    {"allOf", kAboutAll},
    {"$ref", kAboutAll},
    {"nullable", kAboutAll},
    {"minLength", kAboutString},
    {"maxLength", kAboutString},
    {"pattern", kAboutString},
    {"format", kAboutString},
    {"minimum", kAboutNumber},
    {"maximum", kAboutNumber},
    {"exclusiveMinimum", kAboutNumber},
    {"exclusiveMaximum", kAboutNumber},
    {"multipleOf", kAboutNumber},
    {"items", kAboutArray},
    {"prefixItems", kAboutArray},
    {"minItems", kAboutArray},
    {"maxItems", kAboutArray},
    {"uniqueItems", kAboutArray},
    {"properties", kAboutObject},
    {"required", kAboutObject},
    {"additionalProperties", kAboutObject},
    {"minProperties", kAboutObject},
    {"maxProperties", kAboutObject},
    {"propertyNames", kAboutObject},
    {"patternProperties", kAboutObject},
};

bool is_true(const Schema& schema) {
  return (schema.is_boolean() && schema.get<bool>()) || (schema.is_object() && schema.empty());
}
bool is_false(const Schema& schema) { return schema.is_boolean() && !schema.get<bool>(); }

std::set<std::string> both(const std::set<std::string>& a, const std::set<std::string>& b) {
  std::set<std::string> out;
  for (const std::string& type : a) {
    if (b.contains(type) || (type == "integer" && b.contains("number"))) out.insert(type);
  }
  for (const std::string& type : b) {
    if (type == "integer" && a.contains("number")) out.insert(type);
  }
  return out;
}

std::set<std::string> named_types(const Schema& type) {
  std::set<std::string> out;
  if (type.is_string()) out.insert(type.get<std::string>());
  if (!type.is_array()) return out;
  for (const Schema& one : type) {
    if (one.is_string()) out.insert(one.get<std::string>());
  }
  return out;
}

std::unexpected<Error> cannot_join(const std::string& keyword) {
  return fail(Status::kUnsupportedFeature,
              "joins two schemas (allOf, or keywords beside $ref or anyOf) that both have " +
                  keyword + ", which is not supported");
}

Schema property_or(const Schema& schema, const std::string& name) {
  if (schema.contains("properties") && schema["properties"].contains(name))
    return schema["properties"][name];
  return schema.value("additionalProperties", Schema(true));
}

Result<void> merge_objects(const Schema& a, const Schema& b, Schema& out, int depth) {
  Schema properties = Schema::object();
  for (const Schema* side : {&a, &b}) {
    if (!side->contains("properties")) continue;
    for (const auto& [name, unused] : (*side)["properties"].items()) {
      if (properties.contains(name)) continue;
      OCELLI_TRY(properties[name], merge(property_or(a, name), property_or(b, name), depth + 1));
    }
  }
  if (a.contains("properties") || b.contains("properties"))
    out["properties"] = std::move(properties);
  if (a.contains("additionalProperties") || b.contains("additionalProperties")) {
    OCELLI_TRY(out["additionalProperties"],
               merge(a.value("additionalProperties", Schema(true)),
                     b.value("additionalProperties", Schema(true)), depth + 1));
  }
  return {};
}

// One keyword that both have.
Result<void> merge_keyword(const std::string& key, const Schema& a, const Schema& b, Schema& out,
                           int depth) {
  const auto larger = [&] { return a[key] < b[key] ? b[key] : a[key]; };
  const auto smaller = [&] { return a[key] < b[key] ? a[key] : b[key]; };
  if (a[key] == b[key] || keyword_kind(key) == 0u) {
    out[key] = a[key];
  } else if (key == "type") {
    out[key] = both(named_types(a[key]), named_types(b[key]));
  } else if (key == "minLength" || key == "minItems" || key == "minProperties" ||
             key == "minimum" || (key == "exclusiveMinimum" && a[key].is_number())) {
    out[key] = larger();
  } else if (key == "maxLength" || key == "maxItems" || key == "maxProperties" ||
             key == "maximum" || (key == "exclusiveMaximum" && a[key].is_number())) {
    out[key] = smaller();
  } else if (key == "required") {
    out[key] = a[key];
    for (const Schema& name : b[key]) {
      if (std::ranges::find(a[key], name) == a[key].end()) out[key].push_back(name);
    }
  } else if (key == "const") {
    out = Schema(false);
  } else if (key == "enum" && a[key].is_array() && b[key].is_array()) {
    out[key] = Schema::array();
    for (const Schema& value : a[key]) {
      if (std::ranges::find(b[key], value) != b[key].end()) out[key].push_back(value);
    }
  } else if (key == "uniqueItems") {
    out[key] = true;
  } else if (key == "propertyNames") {
    OCELLI_TRY(out[key], merge(a[key], b[key], depth + 1));
  } else if (key == "items" && !a.contains("prefixItems") && !b.contains("prefixItems")) {
    OCELLI_TRY(out[key], merge(a[key], b[key], depth + 1));
  } else if (key == "allOf" || key == "$ref") {
    Schema& all = out["allOf"];
    for (const Schema* side : {&a, &b}) {
      if (key == "$ref") {
        all.push_back({{"$ref", (*side)[key]}});
      } else {
        for (const Schema& part : (*side)[key]) all.push_back(part);
      }
    }
  } else if (key == "anyOf" && a[key].is_array() && b[key].is_array() &&
             a[key].size() * b[key].size() <= 64) {
    out[key] = Schema::array();
    for (const Schema& one : a[key]) {
      for (const Schema& other : b[key]) {
        OCELLI_TRY(Schema joined, merge(one, other, depth + 8));
        out[key].push_back(std::move(joined));
      }
    }
  } else {
    return cannot_join(key);
  }
  return {};
}

}  // namespace

std::optional<unsigned> keyword_kind(std::string_view keyword) {
  if (keyword.starts_with("x-")) return 0;
  const auto found = kKeywords.find(keyword);
  if (found == kKeywords.end()) return std::nullopt;
  return found->second;
}

std::string malformed(const Schema& schema) {
  const auto is_schema = [](const Schema& value) {
    return value.is_object() || value.is_boolean();
  };
  const auto is_list = [](const Schema& value, const auto& each) {
    return value.is_array() && std::ranges::all_of(value, each);
  };
  const auto is_string = [](const Schema& value) { return value.is_string(); };
  for (const auto& [key, value] : schema.items()) {
    const char* shape = nullptr;
    const auto expect = [&](std::initializer_list<std::string_view> keys, bool fine,
                            const char* words) {
      if (std::ranges::find(keys, key) != keys.end() && !fine) shape = words;
    };
    expect({"uniqueItems"}, value.is_boolean(), "neither true nor false");
    expect({"properties", "patternProperties"},
           value.is_object() && std::ranges::all_of(value, is_schema), "no object of schemas");
    expect({"required"}, is_list(value, is_string), "no list of strings");
    expect({"enum"}, value.is_array(), "no list");
    expect({"anyOf", "oneOf", "allOf", "prefixItems"}, is_list(value, is_schema),
           "no list of schemas");
    expect({"items"}, is_schema(value) || is_list(value, is_schema), "no schema");
    expect({"additionalProperties", "additionalItems", "propertyNames"}, is_schema(value),
           "no schema");
    expect({"type"}, value.is_string() || is_list(value, is_string), "no name of a type");
    expect({"$ref", "pattern", "format"}, value.is_string(), "no text");
    expect({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
            "minimum", "maximum", "multipleOf"},
           value.is_number(), "no number");
    expect({"exclusiveMinimum", "exclusiveMaximum"}, value.is_number() || value.is_boolean(),
           "no number");
    if (shape) return key + " that is " + shape;
  }
  return "";
}

std::set<std::string> types_of(const Schema& schema) {
  static const std::set<std::string> kAll = {"string", "number",  "array",
                                             "object", "boolean", "null"};
  if (!schema.is_object()) return kAll;
  if (schema.contains("type")) return named_types(schema["type"]);
  unsigned about = 0;
  for (const auto& [key, value] : schema.items()) about |= keyword_kind(key).value_or(0);
  std::set<std::string> out;
  if (about & kAboutString) out.insert("string");
  if (about & kAboutNumber) out.insert("number");
  if (about & kAboutArray) out.insert("array");
  if (about & kAboutObject) out.insert("object");
  return out.empty() ? kAll : out;
}

bool has_type(const Schema& value, const std::set<std::string>& types) {
  if (value.is_number()) {
    const double number = value.get<double>();
    return types.contains("number") || (types.contains("integer") && number == std::floor(number));
  }
  return types.contains(value.is_null()      ? "null"
                        : value.is_boolean() ? "boolean"
                        : value.is_string()  ? "string"
                        : value.is_array()   ? "array"
                                             : "object");
}

Result<Schema> merge(const Schema& a, const Schema& b, int depth) {
  if (depth > kGrammarDepthMax)
    return fail(Status::kInvalidValue, "joins schemas that are nested too deeply");
  if (is_false(a) || is_false(b)) return Schema(false);
  if (is_true(a)) return b;
  if (is_true(b)) return a;
  if (!a.is_object() || !b.is_object())
    return fail(Status::kInvalidValue, "has a schema that is no object");
  for (const Schema* side : {&a, &b}) {
    const std::string wrong = malformed(*side);
    if (!wrong.empty()) return fail(Status::kInvalidValue, "has " + wrong);
  }
  Schema out = Schema::object();
  const bool tuples = a.contains("prefixItems") || b.contains("prefixItems");
  if (tuples && (a.contains("items") || a.contains("prefixItems")) &&
      (b.contains("items") || b.contains("prefixItems")))
    return cannot_join("items or prefixItems");
  // What one side says of all other names would no longer be about those of the other's pattern.
  for (const auto& [one, other] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
    if (one->contains("patternProperties") && other->contains("additionalProperties"))
      return cannot_join("patternProperties or additionalProperties");
  }
  for (const Schema* side : {&a, &b}) {
    for (const auto& [key, value] : side->items()) {
      if (out.is_boolean()) return out;
      if (key == "properties" || key == "additionalProperties" || (side == &b && a.contains(key)))
        continue;
      if (!a.contains(key) || !b.contains(key)) {
        out[key] = value;
      } else {
        OCELLI_TRY_VOID(merge_keyword(key, a, b, out, depth));
      }
    }
  }
  if (out.is_boolean()) return out;
  OCELLI_TRY_VOID(merge_objects(a, b, out, depth));
  return out;
}

bool disjoint(const Schema& a, const Schema& b,
              const std::function<const Schema*(const Schema&)>& resolve, int depth) {
  if (depth > 4) return false;
  if (is_false(a) || is_false(b)) return true;
  if (!a.is_object() || !b.is_object() || !malformed(a).empty() || !malformed(b).empty())
    return false;
  if (const Schema* target = resolve(a)) return disjoint(*target, b, resolve, depth + 1);
  if (const Schema* target = resolve(b)) return disjoint(a, *target, resolve, depth + 1);
  const auto values = [](const Schema& schema) {
    if (schema.contains("const")) return Schema::array({schema["const"]});
    return schema.contains("enum") ? schema["enum"] : Schema();
  };
  const Schema of_a = values(a), of_b = values(b);
  if (of_a.is_array() && of_b.is_array()) {
    return std::ranges::none_of(
        of_a, [&](const Schema& value) { return std::ranges::find(of_b, value) != of_b.end(); });
  }
  const auto outside = [](const Schema& list, const Schema& schema) {
    return list.is_array() && schema.contains("type") &&
           std::ranges::none_of(list, [&](const Schema& value) {
             return has_type(value, named_types(schema["type"]));
           });
  };
  if (outside(of_a, b) || outside(of_b, a)) return true;
  if (!a.contains("type") || !b.contains("type")) return false;
  const std::set<std::string> common = both(named_types(a["type"]), named_types(b["type"]));
  if (common.empty()) return true;
  if (common != std::set<std::string>{"object"}) return false;
  if (!a.contains("required") || !b.contains("required") || !a.contains("properties") ||
      !b.contains("properties"))
    return false;
  for (const Schema& name : a["required"]) {
    if (!name.is_string() || std::ranges::find(b["required"], name) == b["required"].end())
      continue;
    const std::string& key = name.get_ref<const std::string&>();
    if (a["properties"].contains(key) && b["properties"].contains(key) &&
        disjoint(a["properties"][key], b["properties"][key], resolve, depth + 1))
      return true;
  }
  return false;
}

}  // namespace ocelli
