// Text with parts that follow a schema: structural tags, and tool calls in the hermes format.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "grammar/json_schema.h"
#include "grammar/rules.h"

namespace ocelli {

struct Tag {
  std::string begin, end;
  Schema schema;
};

// Any text; where it holds one of the triggers, it goes on as one of the tags that begin with that
// trigger. Problems: a tag that begins with no trigger.
Rules::Part tagged_text(Rules& rules, JsonSchemas& schemas, std::span<const Tag> tags,
                        std::span<const std::string> triggers);

// {"structures":[{"begin":..,"schema":..,"end":..}],"triggers":[..]}
Rules::Part structural_tag(Rules& rules, JsonSchemas& schemas, const Schema& source);

// {"tools":[{"name","parameters"}],"mode":"text"|"calls"|"call"|"answer","answer":schema}
//  text: any text, calls in it follow their tool; calls: one or more and nothing else; call: one;
//  answer: a document of the schema, or calls.
// marker_open and marker_close are the spellings of <tool_call> and </tool_call>: their markers
// when the vocabulary has such tokens.
Rules::Part tool_calls(Rules& rules, JsonSchemas& schemas, const Schema& source,
                       const std::string& marker_open, const std::string& marker_close);

}  // namespace ocelli
