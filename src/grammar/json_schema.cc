#include "grammar/json_schema.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "grammar/json_values.h"
#include "grammar/regex.h"

namespace ocelli {
namespace {

constexpr int kSchemasMax = 20'000;   // read in one grammar
constexpr int kJoinsMax = 1000;       // each copies its schema
constexpr int64_t kCountedMax = 64;   // minProperties and maxProperties
constexpr size_t kBranchesMax = 256;  // of anyOf and oneOf

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
    const bool supported = keyword_kind(key) || (key == "uniqueItems" && value == false) ||
                           (key == "additionalItems" && schema.contains("items"));
    if (supported && !(key == "$id" && path != "#")) continue;
    known = false;
    const std::string entry = key + " (at " + path + ")";
    if (unsupported_.size() < 1000 && unsupported_.find(entry) == std::string::npos)
      unsupported_ += (unsupported_.empty() ? "" : ", ") + entry;
  }
  return known;
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

// A key that is none of those listed. It has no escapes, so that no spelling of a listed one slips
// through: along the tree of their bytes, any other byte leads out of it.
Rules::Part JsonSchemas::other_key(const Schema& properties) {
  CharSet escaped = CharSet::of("\"\\");
  escaped.add(0, 0x1F);
  const CharSet plain = escaped.complement();
  const Rules::Part rest = rules_.repeat(rules_.chars(plain), 0, kUnbounded);
  const Rules::Part part = rules_.never();
  std::map<std::string, int32_t> tree = {{"", part.from}};
  std::map<std::string, CharSet> taken = {{"", {}}};
  for (const auto& [name, unused] : properties.items()) {
    size_t at = 0;
    std::string prefix;
    for (uint32_t c = 0; at < name.size();) {
      if (!read_char(name, at, c)) break;
      taken[prefix].add(c, c);
      const std::string longer = name.substr(0, at);
      if (!tree.contains(longer)) {
        tree[longer] = rules_.state();
        taken[longer];
        CharSet one;
        one.add(c, c);
        if (plain.has(c)) {
          const Rules::Part step = rules_.chars(one);
          rules_.empty(tree[prefix], step.from);
          rules_.empty(step.to, tree[longer]);
        }
      }
      prefix = longer;
    }
  }
  for (const auto& [prefix, from] : tree) {
    CharSet inside = escaped;
    inside.add(taken[prefix]);
    const Rules::Part out = rules_.chars(inside.complement());
    rules_.empty(from, out.from);
    rules_.empty(out.to, rest.from);
    if (!properties.contains(prefix)) rules_.empty(from, part.to);
  }
  rules_.empty(rest.to, part.to);
  return rules_.sequence({rules_.literal("\""), part, rules_.literal("\"")});
}

// States [i][n]: before property i, with n members written (counted up to what still matters).
Rules::Part JsonSchemas::object(const Schema& schema, const std::string& path, int depth) {
  int64_t least = 0, most = kUnbounded;
  if (!read_count(rules_, schema, "minProperties", least) ||
      !read_count(rules_, schema, "maxProperties", most))
    return rules_.never();
  Schema properties = schema.value("properties", Schema::object());
  const Schema required = schema.value("required", Schema::array());
  const bool listed = schema.contains("properties");
  const Schema others = schema.value("additionalProperties", Schema(!listed));
  std::vector<std::string> must;
  for (const Schema& name : required) {
    must.push_back(name.get<std::string>());
    if (!properties.contains(must.back()))
      properties[must.back()] = schema.value("additionalProperties", Schema(true));
  }
  if (least <= static_cast<int64_t>(must.size())) least = 0;
  const bool limited =
      most != kUnbounded && (others != false || most < static_cast<int64_t>(properties.size()));
  if (!limited) most = kUnbounded;
  if (least > kCountedMax || (limited && most > kCountedMax)) {
    rules_.problem("has minProperties or maxProperties above " + std::to_string(kCountedMax));
    return rules_.never();
  }
  if (!listed && must.empty() && least == 0 && !limited && others == true) return any_object();

  const auto counted = static_cast<size_t>(std::max<int64_t>({1, least, limited ? most : 0}));
  const Rules::Part part = {rules_.state(), rules_.state()};
  std::vector<int32_t> now(counted + 1);
  for (int32_t& state : now) state = rules_.state();
  rules_.bytes(part.from, now[0], '{', '{');
  // From `from` with n members written over a comma and one member to `to`.
  const auto member = [&](const std::vector<int32_t>& from, const std::vector<int32_t>& to,
                          const auto& key, int32_t rule) {
    for (size_t n = 0; n <= counted; ++n) {
      if (limited && static_cast<int64_t>(n) >= most) break;
      Rules::Part one = rules_.sequence({key(), separator(':'), rules_.call(rule)});
      if (n > 0) one = rules_.sequence(separator(','), one);
      rules_.empty(from[n], one.from);
      rules_.empty(one.to, to[std::min(n + 1, counted)]);
    }
  };
  for (const auto& [name, property] : properties.items()) {
    std::vector<int32_t> next(counted + 1);
    for (int32_t& state : next) state = rules_.state();
    const std::string where = path + "/properties/" + name;
    const int32_t rule = rules_.declare(where);
    rules_.define(rule, value(property, where, depth + 1));
    member(now, next, [&] { return rules_.literal(compact(name)); }, rule);
    if (std::ranges::find(must, name) == must.end()) {
      for (size_t n = 0; n <= counted; ++n) rules_.empty(now[n], next[n]);
    }
    now = std::move(next);
    if (rules_.broken()) return part;
  }
  const auto close = [&](const std::vector<int32_t>& states, size_t written) {
    for (size_t n = written; n <= counted; ++n) {
      if (static_cast<int64_t>(n) >= least) rules_.bytes(states[n], part.to, '}', '}');
    }
  };
  close(now, 0);
  if (others == false) return part;
  const std::string where = path + "/additionalProperties";
  const int32_t rule = rules_.declare(where), key = rules_.declare(where + " (name)");
  rules_.define(rule, value(others, where, depth + 1));
  rules_.define(key, other_key(properties));
  const auto any_key = [&] { return rules_.call(key); };
  // The first of them is a new one for sure; those behind it may repeat it, so they do not count
  // for minProperties.
  std::vector<int32_t> more(counted + 1);
  for (int32_t& state : more) state = rules_.state();
  member(now, more, any_key, rule);
  close(more, 1);
  if (limited) {
    for (int64_t extra = 1; extra < most; ++extra) {
      std::vector<int32_t> next(counted + 1);
      for (int32_t& state : next) state = rules_.state();
      for (size_t n = 1; static_cast<int64_t>(n) < most; ++n) {
        const Rules::Part one =
            rules_.sequence({separator(','), any_key(), separator(':'), rules_.call(rule)});
        rules_.empty(more[n], one.from);
        rules_.empty(one.to, next[n + 1]);
        if (static_cast<int64_t>(n) - (extra - 1) >= least)
          rules_.bytes(next[n + 1], part.to, '}', '}');
      }
      more = std::move(next);
    }
  } else {
    for (size_t n = 1; n <= counted; ++n) {
      const Rules::Part one =
          rules_.sequence({separator(','), any_key(), separator(':'), rules_.call(rule)});
      rules_.empty(more[n], one.from);
      rules_.empty(one.to, more[n]);
    }
  }
  return part;
}

Rules::Part JsonSchemas::array(const Schema& schema, const std::string& path, int depth) {
  int64_t least = 0, most = kUnbounded;
  if (!read_count(rules_, schema, "minItems", least) ||
      !read_count(rules_, schema, "maxItems", most))
    return rules_.never();
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
