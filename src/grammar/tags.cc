#include "grammar/tags.h"

#include <algorithm>
#include <map>

#include "grammar/json_values.h"

namespace ocelli {
namespace {

constexpr size_t kTriggersMax = 64;
constexpr uint8_t kTextByteMax = 0xF4;  // no text has higher ones
constexpr std::string_view kToolOpen = "<tool_call>";

// The tree of the triggers with, for each beginning, where any next byte leads: the longest end of
// the text so far that is a beginning itself.
class TriggerTree {
 public:
  explicit TriggerTree(std::span<const std::string> triggers) {
    for (const std::string& trigger : triggers) {
      for (size_t length = 1; length <= trigger.size(); ++length)
        beginnings_[trigger.substr(0, length)] = 0;
      whole_.push_back(trigger);
    }
    beginnings_[""] = 0;
  }
  const std::map<std::string, int32_t>& beginnings() const { return beginnings_; }
  // The trigger that a text ends with; empty if none.
  std::string trigger_at_end(const std::string& text) const {
    for (const std::string& trigger : whole_) {
      if (text.ends_with(trigger)) return trigger;
    }
    return "";
  }
  std::string longest_end(const std::string& text) const {
    for (size_t begin = 0; begin < text.size(); ++begin) {
      if (beginnings_.contains(text.substr(begin))) return text.substr(begin);
    }
    return "";
  }

 private:
  std::map<std::string, int32_t> beginnings_;
  std::vector<std::string> whole_;
};

}  // namespace

Rules::Part tagged_text(Rules& rules, JsonSchemas& schemas, std::span<const Tag> tags,
                        std::span<const std::string> triggers) {
  const Rules::Part all = rules.never();
  if (triggers.empty() || triggers.size() > kTriggersMax ||
      std::ranges::any_of(triggers,
                          [](const auto& text) { return text.empty() || text.size() > 64; })) {
    rules.problem("needs 1 to " + std::to_string(kTriggersMax) + " triggers of 1 to 64 bytes");
    return all;
  }
  const TriggerTree tree(triggers);
  std::map<std::string, int32_t> states;
  for (const auto& [text, unused] : tree.beginnings()) {
    if (!tree.trigger_at_end(text).empty()) continue;
    states[text] = rules.state();
    rules.empty(states[text], all.to);
  }
  rules.empty(all.from, states[""]);
  // What follows each trigger.
  std::map<std::string, int32_t> entries;
  for (const std::string& trigger : triggers) entries[trigger] = rules.state();
  for (const Tag& tag : tags) {
    bool begun = false;
    for (const auto& [trigger, entry] : entries) {
      if (!tag.begin.starts_with(trigger)) continue;
      begun = true;
      const Rules::Part part =
          rules.sequence({rules.literal(std::string_view(tag.begin).substr(trigger.size())),
                          schemas.document(tag.schema), rules.literal(tag.end)});
      rules.empty(entry, part.from);
      rules.empty(part.to, states[""]);
    }
    if (!begun)
      rules.problem("has a structure that begins with none of the triggers: " + tag.begin);
  }
  for (const auto& [text, from] : states) {
    const auto target = [&](int byte) {
      const std::string longer = text + static_cast<char>(byte);
      const std::string trigger = tree.trigger_at_end(longer);
      return trigger.empty() ? states[tree.longest_end(longer)] : entries[trigger];
    };
    // A marker is a byte that text has not, so it is followed where it is the next of a trigger.
    for (int low = 0; low <= 0xFF;) {
      const int32_t to = target(low);
      int high = low;
      while (high < 0xFF && high != kTextByteMax && target(high + 1) == to) ++high;
      if (low <= kTextByteMax || to != states[""])
        rules.bytes(from, to, static_cast<uint8_t>(low), static_cast<uint8_t>(high));
      low = high + 1;
    }
  }
  return all;
}

Rules::Part structural_tag(Rules& rules, JsonSchemas& schemas, const Schema& source) {
  std::vector<Tag> tags;
  std::vector<std::string> triggers;
  const auto text_of = [](const Schema& object, const char* name) -> const std::string* {
    return object.is_object() && object.contains(name) && object[name].is_string()
               ? object[name].get_ptr<const std::string*>()
               : nullptr;
  };
  const bool lists = source.is_object() && source.contains("structures") &&
                     source["structures"].is_array() && source.contains("triggers") &&
                     source["triggers"].is_array();
  if (!lists) {
    rules.problem("needs structures and triggers, both lists");
    return rules.never();
  }
  for (const Schema& structure : source["structures"]) {
    const std::string *begin = text_of(structure, "begin"), *end = text_of(structure, "end");
    if (!begin || !end) {
      rules.problem("needs structures {\"begin\":..,\"schema\":..,\"end\":..}");
      return rules.never();
    }
    tags.push_back({*begin, *end, structure.value("schema", Schema(true))});
  }
  for (const Schema& trigger : source["triggers"]) {
    if (trigger.is_string()) triggers.push_back(trigger.get<std::string>());
  }
  return tagged_text(rules, schemas, tags, triggers);
}

Rules::Part tool_calls(Rules& rules, JsonSchemas& schemas, const Schema& source,
                       const std::string& marker_open, const std::string& marker_close) {
  const std::string mode = source["mode"].get<std::string>();
  const std::string end = "}\n" + marker_close;
  std::vector<Tag> tags;
  for (const Schema& tool : source["tools"]) {
    const Schema parameters = tool.value("parameters", Schema({{"type", "object"}}));
    const std::string rest = "\n{\"name\": " + compact(tool["name"]) + ", \"arguments\": ";
    tags.push_back({marker_open + rest, end, parameters});
    // Spelled out the tag is one, too: the parser reads text.
    if (mode == "text" && marker_open != kToolOpen)
      tags.push_back({std::string(kToolOpen) + rest, end, parameters});
  }
  if (mode == "text") {
    std::vector<std::string> triggers = {marker_open};
    if (marker_open != kToolOpen) triggers.emplace_back(kToolOpen);
    return tagged_text(rules, schemas, tags, triggers);
  }
  const int32_t call = rules.declare("tool call");
  std::vector<Rules::Part> calls;
  for (const Tag& tag : tags) {
    calls.push_back(rules.sequence(
        {rules.literal(tag.begin), schemas.document(tag.schema), rules.literal(tag.end)}));
  }
  rules.define(call, rules.choice(calls));
  if (mode == "call") return rules.call(call);
  const Rules::Part all = rules.sequence(
      rules.call(call),
      rules.repeat(rules.sequence(rules.literal("\n"), rules.call(call)), 0, kUnbounded));
  if (mode == "calls") return all;
  return rules.choice({{all, schemas.document(source["answer"])}});
}

}  // namespace ocelli
