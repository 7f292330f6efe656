// Objects of JsonSchemas: which members there are, what others may be called, in which order they
// are written. Called by json_schema.cc.
#include <algorithm>
#include <map>

#include "grammar/json_schema.h"
#include "grammar/json_values.h"
#include "grammar/product.h"

namespace ocelli {
namespace {

constexpr int64_t kCountedMax = 64;  // minProperties and maxProperties

// A key that is none of those listed, without quotes. It has no escapes, so that no spelling of a
// listed one slips through: along the tree of their bytes, any other byte leads out of it.
Rules::Part other_key(Rules& rules, const Schema& properties) {
  CharSet escaped = CharSet::of("\"\\");
  escaped.add(0, 0x1F);
  const CharSet plain = escaped.complement();
  const Rules::Part rest = rules.repeat(rules.chars(plain), 0, kUnbounded);
  const Rules::Part part = rules.never();
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
        tree[longer] = rules.state();
        taken[longer];
        CharSet one;
        one.add(c, c);
        if (plain.has(c)) {
          const Rules::Part step = rules.chars(one);
          rules.empty(tree[prefix], step.from);
          rules.empty(step.to, tree[longer]);
        }
      }
      prefix = longer;
    }
  }
  for (const auto& [prefix, from] : tree) {
    CharSet inside = escaped;
    inside.add(taken[prefix]);
    const Rules::Part out = rules.chars(inside.complement());
    rules.empty(from, out.from);
    rules.empty(out.to, rest.from);
    if (!properties.contains(prefix)) rules.empty(from, part.to);
  }
  rules.empty(rest.to, part.to);
  return part;
}

// A name as a JSON string writes it, without quotes.
std::string spelled(const std::string& name) {
  const std::string quoted = compact(name);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

// The members of an object: each listed one, those that must be there, and what others are called.
struct JsonSchemas::Members {
  Schema properties = Schema::object();
  std::vector<std::string> must;
  Schema others;                      // false: there are none
  std::vector<Condition> names = {};  // of others

  void keep(const std::function<bool(const std::string&)>& allowed) {
    Schema kept = Schema::object();
    for (const auto& [name, property] : properties.items()) {
      if (allowed(name)) kept[name] = property;
    }
    properties = std::move(kept);
  }
};

bool JsonSchemas::read_members(const Schema& schema, const std::string& path, Members& out) {
  out.properties = schema.value("properties", Schema::object());
  out.others = schema.value("additionalProperties", Schema(!schema.contains("properties")));
  const Schema unlisted = schema.value("additionalProperties", Schema(true));
  const Schema patterns = schema.value("patternProperties", Schema::object());
  if (patterns.size() > 1 || (patterns.size() == 1 && unlisted != false && unlisted != true)) {
    refuse(patterns.size() > 1 ? "patternProperties of several patterns"
                               : "patternProperties beside a schema of additionalProperties",
           path);
    return false;
  }
  for (const auto& [pattern, value] : patterns.items()) {
    out.others = value;
    out.names.push_back(
        {[pattern](Rules& own) { return regex(own, pattern, Spelling::kJson, true); }});
    for (auto& [name, property] : out.properties.items()) {
      if (!meets(rules_, out.names, spelled(name))) continue;
      Result<Schema> joined = merge(property, value);
      if (!joined) rules_.problem(joined.error().message + " at " + path);
      if (joined) property = std::move(*joined);
    }
  }
  for (const Schema& name : schema.value("required", Schema::array())) {
    out.must.push_back(name.get<std::string>());
    if (out.properties.contains(out.must.back())) continue;
    const bool patterned = !out.names.empty() && meets(rules_, out.names, spelled(out.must.back()));
    out.properties[out.must.back()] = patterned ? out.others : unlisted;
  }
  if (schema.contains("propertyNames") &&
      !read_names(schema["propertyNames"], path + "/propertyNames", out))
    return false;
  // A name that must be there and may not be: no such object.
  return !rules_.broken() && std::ranges::all_of(out.must, [&](const std::string& name) {
    return out.properties.contains(name);
  });
}

// propertyNames: takes away what they forbid; where they are a list, others become listed.
bool JsonSchemas::read_names(const Schema& given, const std::string& path, Members& out) {
  const Schema* at = &given;
  for (int hops = 0; at && at->is_object() && at->contains("$ref") && at->size() == 1; ++hops) {
    const Schema& pointer = (*at)["$ref"];
    at = hops < kGrammarDepthMax && pointer.is_string()
             ? resolve(pointer.get_ref<const std::string&>())
             : nullptr;
  }
  if (!at) {
    rules_.problem("has a reference at " + path + " that names nothing in it");
    return false;
  }
  if (*at == true) return true;
  if (*at != false && (!known_keywords(*at, path) || !malformed(*at).empty())) {
    if (!malformed(*at).empty()) rules_.problem("has at " + path + " " + malformed(*at));
    return false;
  }
  if (*at == false || !types_of(*at).contains("string")) {
    out.keep([](const std::string&) { return false; });
    out.others = false;
    return true;
  }
  const bool list = at->contains("enum") || at->contains("const");
  for (const auto& [key, value] : at->items()) {
    const unsigned about = keyword_kind(key).value_or(0);
    const bool followed = list ? key == "enum" || key == "const" : about == kAboutString;
    if (about == 0 || key == "type" || followed) continue;
    refuse("propertyNames with " + key, path);
    return false;
  }
  if (!list) {
    const Schema names = *at;
    const Condition condition{[names](Rules& own) { return string_text(own, names); }};
    out.keep(
        [&](const std::string& name) { return meets(rules_, {&condition, 1}, spelled(name)); });
    out.names.push_back(condition);
    return true;
  }
  std::vector<std::string> names;
  for (const Schema& name :
       at->contains("enum") ? (*at)["enum"] : Schema::array({(*at)["const"]})) {
    const bool meant = !at->contains("const") || name == (*at)["const"];
    if (meant && name.is_string()) names.push_back(name.get<std::string>());
  }
  out.keep([&](const std::string& name) { return std::ranges::find(names, name) != names.end(); });
  for (const std::string& name : names) {
    if (out.others == false || out.properties.contains(name)) continue;
    if (out.names.empty() || meets(rules_, out.names, spelled(name)))
      out.properties[name] = out.others;
  }
  out.others = false;
  out.names.clear();
  return true;
}

// The name of a member that is not listed.
Rules::Part JsonSchemas::key_of(const Members& members) {
  const Schema& listed = members.properties;
  Rules::Part text;
  if (members.names.empty()) {
    text = other_key(rules_, listed);
  } else {
    std::vector<Condition> all = members.names;
    all.push_back({[&listed](Rules& own) { return other_key(own, listed); }});
    text = meeting(rules_, all, Spelling::kJson);
  }
  return rules_.sequence({rules_.literal("\""), text, rules_.literal("\"")});
}

// States [i][n]: before property i, with n members written (counted up to what still matters).
Rules::Part JsonSchemas::object(const Schema& schema, const std::string& path, int depth) {
  int64_t least = 0, most = kUnbounded;
  if (!read_count(rules_, schema, "minProperties", least) ||
      !read_count(rules_, schema, "maxProperties", most))
    return rules_.never();
  Members members;
  if (!read_members(schema, path, members)) return rules_.never();
  const auto& [properties, must, others, names] = members;
  if (least <= static_cast<int64_t>(must.size())) least = 0;
  const bool limited =
      most != kUnbounded && (others != false || most < static_cast<int64_t>(properties.size()));
  if (!limited) most = kUnbounded;
  if (least > kCountedMax || (limited && most > kCountedMax)) {
    rules_.problem("has minProperties or maxProperties above " + std::to_string(kCountedMax));
    return rules_.never();
  }
  const auto sure = static_cast<int64_t>(properties.size()) + 1;
  if (others != false && least > sure) {
    rules_.problem("has minProperties " + std::to_string(least) + " at " + path + ": at most " +
                   std::to_string(sure) +
                   ", the listed ones and one more, as names that are not listed may repeat");
    return rules_.never();
  }
  if (properties.empty() && names.empty() && least == 0 && !limited && others == true)
    return any_object();

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
  rules_.define(key, key_of(members));
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

}  // namespace ocelli
