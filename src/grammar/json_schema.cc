#include "grammar/json_schema.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <vector>

#include "grammar/json_values.h"
#include "grammar/regex.h"

namespace ocelli {
namespace {

constexpr int kSchemasMax = 20'000;   // read in one grammar
constexpr int kJoinsMax = 1000;       // each copies its schema
constexpr size_t kBranchesMax = 256;  // of anyOf and oneOf
constexpr size_t kDistinctMax = 10;   // values of uniqueItems: each set of them is a state

bool about_more_than(const Schema& schema, std::initializer_list<std::string_view> keywords) {
  for (const auto& [key, value] : schema.items()) {
    if (keyword_kind(key).value_or(0) != 0 && std::ranges::find(keywords, key) == keywords.end())
      return true;
  }
  return false;
}

Schema without(Schema schema, const char* keyword) {
  schema.erase(keyword);
  return schema;
}

// "a~1b%20c" of a pointer -> "a/b c".
std::string pointer_part(std::string_view part) {
  std::string out;
  const auto hex = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '%' && i + 2 < part.size() && isxdigit(part[i + 1]) && isxdigit(part[i + 2])) {
      out += static_cast<char>(hex(part[i + 1]) * 16 + hex(part[i + 2]));
      i += 2;
    } else {
      out += part[i];
    }
  }
  for (const auto& [name, c] : {std::pair{"~1", '/'}, std::pair{"~0", '~'}}) {
    for (size_t at = 0; (at = out.find(name, at)) != std::string::npos; ++at)
      out.replace(at, 2, 1, c);
  }
  return out;
}

}  // namespace

Rules::Part JsonSchemas::separator(char c) {
  return rules_.sequence(rules_.literal({&c, 1}), rules_.optional(rules_.literal(" ")));
}

Rules::Part JsonSchemas::any_object() {
  if (any_object_ < 0) {
    any_string_ = rules_.declare("string");
    rules_.define(any_string_, bounded_string(rules_, Schema::object()));
    any_object_ = rules_.declare("object");
    const auto member = [&] {
      return rules_.sequence({rules_.call(any_string_), separator(':'), any_value()});
    };
    const Rules::Part rest =
        rules_.repeat(rules_.sequence(separator(','), member()), 0, kUnbounded);
    rules_.define(any_object_, rules_.sequence({rules_.literal("{"),
                                                rules_.optional(rules_.sequence(member(), rest)),
                                                rules_.literal("}")}));
  }
  return rules_.call(any_object_);
}

Rules::Part JsonSchemas::any_value() {
  if (any_value_ < 0) {
    any_value_ = rules_.declare("value");
    const Rules::Part of_object = any_object();
    const Rules::Part rest =
        rules_.repeat(rules_.sequence(separator(','), rules_.call(any_value_)), 0, kUnbounded);
    const Rules::Part of_array = rules_.sequence(
        {rules_.literal("["), rules_.optional(rules_.sequence(rules_.call(any_value_), rest)),
         rules_.literal("]")});
    const std::string words[] = {"true", "false", "null"};
    rules_.define(any_value_, rules_.choice({{of_object, of_array, rules_.call(any_string_),
                                              json_number(rules_, false), rules_.one_of(words)}}));
  }
  return rules_.call(any_value_);
}

Rules::Part JsonSchemas::document(const Schema& schema) {
  documents_.push_back(schema);
  const Schema* outer = root_;
  root_ = &documents_.back();
  const Rules::Part part = value(*root_, "#", 0);
  root_ = outer;
  return part;
}

bool JsonSchemas::known_keywords(const Schema& schema, const std::string& path) {
  bool known = true;
  for (const auto& [key, value] : schema.items()) {
    const bool supported =
        keyword_kind(key) || (key == "additionalItems" && schema.contains("items"));
    if (supported && !(key == "$id" && path != "#")) continue;
    known = false;
    refuse(key, path);
  }
  return known;
}

void JsonSchemas::refuse(const std::string& what, const std::string& path) {
  const std::string entry = what + " (at " + path + ")";
  if (unsupported_.size() < 1000 && unsupported_.find(entry) == std::string::npos)
    unsupported_ += (unsupported_.empty() ? "" : ", ") + entry;
}

Rules::Part JsonSchemas::value(const Schema& schema, const std::string& path, int depth) {
  if (depth > kGrammarDepthMax) rules_.problem("is nested too deeply at " + path.substr(0, 200));
  if (++compiled_ > kSchemasMax) rules_.problem("is too large");
  if (rules_.broken()) return rules_.never();
  if (schema.is_boolean()) return schema.get<bool>() ? any_value() : rules_.never();
  if (!schema.is_object()) {
    rules_.problem("has at " + path + " no schema but " + compact(schema).substr(0, 100));
    return rules_.never();
  }
  if (!known_keywords(schema, path)) return rules_.never();
  if (const std::string wrong = malformed(schema); !wrong.empty()) {
    rules_.problem("has at " + path.substr(0, 200) + " " + wrong);
    return rules_.never();
  }
  if (schema.value("nullable", Schema()) == true) {
    return rules_.choice(
        {{value(without(schema, "nullable"), path, depth + 1), rules_.literal("null")}});
  }
  if (schema.contains("$ref") && !about_more_than(schema, {"$ref"}))
    return reference(schema["$ref"].get<std::string>(), depth);
  if (schema.contains("$ref") || schema.contains("allOf")) return join(schema, path, depth);
  if (schema.contains("anyOf")) return branches(schema, "anyOf", path, depth);
  if (schema.contains("oneOf")) return branches(schema, "oneOf", path, depth);
  if (schema.contains("enum") || schema.contains("const")) return listed(schema);
  if (!about_more_than(schema, {})) return any_value();
  std::vector<Rules::Part> parts;
  for (const std::string& type : types_of(schema))
    parts.push_back(of_type(schema, type, path, depth));
  return rules_.choice(parts);
}

// Everything that a schema refers to or lists under allOf, as one schema.
Rules::Part JsonSchemas::join(const Schema& schema, const std::string& path, int depth) {
  std::vector<const Schema*> others;
  if (schema.contains("$ref")) {
    const Schema& pointer = schema["$ref"];
    const Schema* target = resolve(pointer.get_ref<const std::string&>());
    if (!target) {
      rules_.problem("has the reference " + compact(pointer).substr(0, 200) +
                     ", which names nothing in it (only local ones are followed)");
      return rules_.never();
    }
    others.push_back(target);
  }
  if (schema.contains("allOf")) {
    for (const Schema& part : schema["allOf"]) others.push_back(&part);
  }
  joined_ += static_cast<int>(others.size());
  if (joined_ > kJoinsMax || rules_.broken()) {
    rules_.problem("joins too many schemas");
    return rules_.never();
  }
  Schema all = without(without(schema, "$ref"), "allOf");
  for (const Schema* other : others) {
    if (other->is_object() && !known_keywords(*other, path)) return rules_.never();
    Result<Schema> joined = merge(all, *other);
    if (!joined) {
      rules_.problem(joined.error().message + " at " + path);
      return rules_.never();
    }
    all = std::move(*joined);
  }
  return value(all, path, depth + 1);
}

Rules::Part JsonSchemas::branches(const Schema& schema, const char* keyword,
                                  const std::string& path, int depth) {
  const Schema& list = schema[keyword];
  if (list.size() > kBranchesMax) {
    rules_.problem(std::string("has an ") + keyword + " at " + path + " of more than " +
                   std::to_string(kBranchesMax));
    return rules_.never();
  }
  const auto target = [&](const Schema& from) -> const Schema* {
    return from.contains("$ref") && from["$ref"].is_string() && !about_more_than(from, {"$ref"})
               ? resolve(from["$ref"].get_ref<const std::string&>())
               : nullptr;
  };
  if (std::string_view(keyword) == "oneOf") {
    for (size_t i = 0; i < list.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (disjoint(list[i], list[j], target)) continue;
        rules_.problem("has a oneOf at " + path + " whose schemas " + std::to_string(j) + " and " +
                       std::to_string(i) + " may both hold: give each a type or a constant of " +
                       "its own, or use anyOf");
        return rules_.never();
      }
    }
  }
  const Schema base = without(schema, keyword);
  const bool plain = !about_more_than(base, {});
  std::vector<Rules::Part> parts;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = path + "/" + keyword + "/" + std::to_string(i);
    if (plain) {
      parts.push_back(value(list[i], where, depth + 1));
      continue;
    }
    if (list[i].is_object() && !known_keywords(list[i], where)) continue;
    if (++joined_ > kJoinsMax) rules_.problem("joins too many schemas");
    Result<Schema> joined = merge(base, list[i]);
    if (!joined) {
      rules_.problem(joined.error().message + " at " + where);
      break;
    }
    parts.push_back(value(*joined, where, depth + 1));
  }
  return rules_.choice(parts);
}

Rules::Part JsonSchemas::listed(const Schema& schema) {
  const bool both = schema.contains("enum") && schema.contains("const");
  if (both || about_more_than(schema, {"enum", "const", "type"})) {
    std::string others;
    for (const auto& [key, value] : schema.items()) {
      if (keyword_kind(key).value_or(0) != 0 && key != "enum" && key != "const" && key != "type")
        others += (others.empty() ? "" : ", ") + key;
    }
    rules_.problem("has enum or const beside " + (both ? "each other" : others) +
                   ", which cannot be followed together");
    return rules_.never();
  }
  const Schema list = schema.contains("enum") ? schema["enum"] : Schema::array({schema["const"]});
  std::vector<std::string> texts;
  for (const Schema& one : list) {
    if (!schema.contains("type") || has_type(one, types_of(schema))) texts.push_back(compact(one));
  }
  return rules_.one_of(texts);
}

Rules::Part JsonSchemas::of_type(const Schema& schema, const std::string& type,
                                 const std::string& path, int depth) {
  if (type == "object") return object(schema, path, depth);
  if (type == "array") return array(schema, path, depth);
  if (type == "string") return bounded_string(rules_, schema);
  if (type == "number" || type == "integer")
    return bounded_number(rules_, schema, type == "integer");
  if (type == "null") return rules_.literal("null");
  if (type == "boolean") {
    const std::string words[] = {"true", "false"};
    return rules_.one_of(words);
  }
  rules_.problem("has the unknown type \"" + type.substr(0, 100) + "\" at " + path);
  return rules_.never();
}

Rules::Part JsonSchemas::array(const Schema& schema, const std::string& path, int depth) {
  int64_t least = 0, most = kUnbounded;
  if (!read_count(rules_, schema, "minItems", least) ||
      !read_count(rules_, schema, "maxItems", most))
    return rules_.never();
  if (schema.value("uniqueItems", false) && most > 1) return distinct(schema, path, least, most);
  // Before 2020 a list of items was what prefixItems is now, and additionalItems were the rest.
  const bool old = schema.contains("items") && schema["items"].is_array();
  const Schema first = old ? schema["items"] : schema.value("prefixItems", Schema::array());
  const Schema rest = schema.value(old ? "additionalItems" : "items", Schema(true));
  const auto given = static_cast<int64_t>(first.size());
  const Rules::Part part = {rules_.state(), rules_.state()};
  int32_t at = rules_.state();
  rules_.bytes(part.from, at, '[', '[');
  for (int64_t i = 0; i < std::min(given, most); ++i) {
    if (i >= least) rules_.bytes(at, part.to, ']', ']');
    if (i > 0) {
      const Rules::Part comma = separator(',');
      rules_.empty(at, comma.from);
      at = comma.to;
    }
    const Rules::Part item =
        value(first[static_cast<size_t>(i)],
              path + (old ? "/items/" : "/prefixItems/") + std::to_string(i), depth + 1);
    rules_.empty(at, item.from);
    at = rules_.state();
    rules_.empty(item.to, at);
    if (rules_.broken()) return part;
  }
  if (least <= std::min(given, most)) rules_.bytes(at, part.to, ']', ']');
  if (most <= given || rest == false) return part;
  const std::string where = path + (old ? "/additionalItems" : "/items");
  const int32_t rule = rules_.declare(where);
  rules_.define(rule, value(rest, where, depth + 1));
  // The first of the rest has a comma only when there is something before it.
  const int64_t needed = std::max<int64_t>(0, least - given - 1);
  const auto allowed = most == kUnbounded ? kUnbounded : static_cast<int32_t>(most - given - 1);
  Rules::Part items = rules_.call(rule);
  if (given > 0) items = rules_.sequence(separator(','), items);
  items = rules_.sequence(items, rules_.repeat(rules_.sequence(separator(','), rules_.call(rule)),
                                               static_cast<int32_t>(needed), allowed));
  rules_.empty(at, items.from);
  rules_.bytes(items.to, part.to, ']', ']');
  return part;
}

// All values that a schema allows, as they are written; nothing where that may be many.
std::vector<std::string> JsonSchemas::few_values(const Schema& schema) const {
  const Schema* at = &schema;
  for (int hops = 0; at && at->is_object() && at->contains("$ref"); ++hops) {
    if (hops > kGrammarDepthMax || about_more_than(*at, {"$ref"}) || !malformed(*at).empty())
      return {};
    at = resolve((*at)["$ref"].get_ref<const std::string&>());
  }
  if (!at || !at->is_object() || !malformed(*at).empty() ||
      about_more_than(*at, {"enum", "const", "type"}))
    return {};
  const std::set<std::string> types = types_of(*at);
  Schema values = Schema::array();
  if (at->contains("enum")) {
    values = (*at)["enum"];
  } else if (at->contains("const")) {
    values.push_back((*at)["const"]);
  } else if (std::ranges::all_of(types, [](auto& t) { return t == "boolean" || t == "null"; })) {
    values = {true, false, nullptr};
  }
  std::vector<std::string> out;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto before = values.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(values.begin(), before, values[i]) == before && has_type(values[i], types))
      out.push_back(compact(values[i]));
  }
  return out;
}

// No item twice: a state per set of those that were written.
Rules::Part JsonSchemas::distinct(const Schema& schema, const std::string& path, int64_t least,
                                  int64_t most) {
  const Schema items = schema.value("items", Schema(true));
  const std::vector<std::string> values = few_values(items);
  if (schema.contains("prefixItems") || values.empty() || values.size() > kDistinctMax) {
    refuse("uniqueItems where items are no choice of at most " + std::to_string(kDistinctMax),
           path);
    return rules_.never();
  }
  std::vector<int32_t> one;
  for (const std::string& value : values) {
    one.push_back(rules_.declare(value));
    rules_.define(one.back(), rules_.literal(value));
  }
  const Rules::Part part = {rules_.state(), rules_.state()};
  std::vector<int32_t> written(size_t{1} << values.size(), -1);
  written[0] = rules_.state();
  rules_.bytes(part.from, written[0], '[', '[');
  for (size_t set = 0; set < written.size(); ++set) {
    const int64_t count = std::popcount(set);
    if (written[set] < 0) continue;
    if (count >= least) rules_.bytes(written[set], part.to, ']', ']');
    if (count >= most) continue;
    const Rules::Part comma = count > 0 ? separator(',') : rules_.nothing();
    rules_.empty(written[set], comma.from);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t next = set | size_t{1} << i;
      if (next == set) continue;
      if (written[next] < 0) written[next] = rules_.state();
      const Rules::Part item = rules_.call(one[i]);
      rules_.empty(comma.to, item.from);
      rules_.empty(item.to, written[next]);
    }
  }
  return part;
}

const Schema* JsonSchemas::resolve(std::string_view pointer) const {
  if (!pointer.starts_with("#") || (pointer.size() > 1 && pointer[1] != '/')) return nullptr;
  const Schema* at = root_;
  pointer.remove_prefix(1);
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const size_t end = std::min(pointer.find('/'), pointer.size());
    const std::string part = pointer_part(pointer.substr(0, end));
    pointer.remove_prefix(end);
    if (at->is_object() && at->contains(part)) {
      at = &(*at)[part];
    } else if (at->is_array() && !part.empty() && part.size() < 6 &&
               part.find_first_not_of("0123456789") == std::string::npos &&
               static_cast<size_t>(std::stoi(part)) < at->size()) {
      at = &(*at)[static_cast<size_t>(std::stoi(part))];
    } else {
      return nullptr;
    }
  }
  return at;
}

Rules::Part JsonSchemas::reference(const std::string& pointer, int depth) {
  const Schema* target = resolve(pointer);
  if (!target) {
    rules_.problem("has the reference \"" + pointer.substr(0, 200) +
                   "\", which names nothing in it (only local ones are followed)");
    return rules_.never();
  }
  const auto [found, fresh] = references_.try_emplace({root_, pointer}, 0);
  if (!fresh) return rules_.call(found->second);
  const int32_t rule = rules_.declare(pointer);
  found->second = rule;
  rules_.define(rule, value(*target, pointer, depth + 1));
  return rules_.call(rule);
}

}  // namespace ocelli
