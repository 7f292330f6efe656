// See tool_calls.h. Characters go down: answer -> content or block -> call object -> keys and
// values (JsonRepair). Tags count only outside JSON strings, so an argument may contain
// "</tool_call>".
#include "stream/tool_calls.h"

#include <algorithm>
#include <utility>

namespace ocelli {
namespace {

constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view without_leading_space(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

}  // namespace

ToolCallParser::ToolCallParser(std::vector<std::string> tool_names, Emit emit, int calls_max)
    : names_(std::move(tool_names)), emit_(emit), calls_max_(calls_max) {}

void ToolCallParser::feed(std::string_view text, ParsedText& out) {
  for (const char c : text) text_char(c, out);
  if (where_ == Where::kObject && emit_ == Emit::kStream) send(out);
}

void ToolCallParser::text_char(char c, ParsedText& out) {
  switch (where_) {
    case Where::kLone:
      lone_char(c, out);
      break;
    case Where::kContent:
      content_char(c, out);
      break;
    case Where::kFull:
      break;
    default:
      block_char(c, out);
  }
}

// --- an answer that may be nothing but one call object

void ToolCallParser::lone_char(char c, ParsedText& out) {
  held_.push_back(c);
  if (!lone_named_ && !lone_possible()) release_lone(out);
}

// Whether held_ can still become {"name": "<known tool>", ... Once it has, lone_named_ is set and
// only the end of the answer decides (arguments first: the same, since the name may come last).
bool ToolCallParser::lone_possible() {
  std::string_view rest = without_leading_space(held_);
  const auto skip = [&rest](char c) {  // c and white space; true when the text ends here
    if (!rest.empty() && rest.front() == c) rest = without_leading_space(rest.substr(1));
    return rest.empty();
  };
  if (rest.empty()) return true;
  if (rest.front() != '{') return false;
  if (skip('{')) return true;
  constexpr std::string_view kName = "\"name\"", kArguments = "\"arguments\"";
  if (kName.starts_with(rest) || kArguments.starts_with(rest)) {
    lone_named_ = rest == kArguments;
    return true;
  }
  if (!rest.starts_with(kName)) return false;
  rest = without_leading_space(rest.substr(kName.size()));
  if (rest.empty()) return true;
  if (rest.front() != ':') return false;
  if (skip(':')) return true;
  if (rest.front() != '"') return false;
  rest.remove_prefix(1);
  const size_t end = rest.find('"');
  if (end == std::string_view::npos) {
    return std::ranges::any_of(names_, [&](const auto& name) { return name.starts_with(rest); });
  }
  lone_named_ = std::ranges::find(names_, rest.substr(0, end)) != names_.end();
  return lone_named_;
}

void ToolCallParser::release_lone(ParsedText& out) {
  where_ = Where::kContent;
  const std::string text = std::exchange(held_, {});
  for (const char c : text) text_char(c, out);
}

// The whole answer is there. To the letter one object with a known name and arguments: a call.
void ToolCallParser::finish_lone(ParsedText& out) {
  std::string normal;
  if (json_object(held_, normal)) {
    ToolCallParser probe(names_, Emit::kWhole);
    probe.where_ = Where::kBody;
    ParsedText call;
    probe.feed(normal, call);
    if (probe.calls_ == 1 && probe.arguments_seen_ &&
        std::ranges::find(names_, call.tools.front().name) != names_.end()) {
      held_.clear();
      where_ = Where::kContent;
      calls_ = 1;
      out.tools.push_back(std::move(call.tools.front()));
      return;
    }
  }
  release_lone(out);
}

// --- content

void ToolCallParser::put_content(std::string_view text, ParsedText& out) const {
  if (calls_ == 0) out.content.append(text);
}

void ToolCallParser::content_char(char c, ParsedText& out) {
  if (c == kOpen[held_.size()]) {
    held_.push_back(c);
    if (held_.size() < kOpen.size()) return;
    held_.clear();
    open_block();
    return;
  }
  put_content(std::exchange(held_, {}), out);  // no proper suffix of "<tool_call" begins the tag
  if (c == kOpen.front()) {
    held_.assign(1, c);
  } else {
    put_content({&c, 1}, out);
  }
}

// --- block: between the tags

void ToolCallParser::open_block() {
  where_ = calls_ < calls_max_ ? Where::kBody : Where::kFull;
  raw_ = kOpen;
  block_has_call_ = block_has_noise_ = false;
}

void ToolCallParser::block_char(char c, ParsedText& out) {
  if (calls_ == 0 && !name_sent_) raw_.push_back(c);
  if (where_ == Where::kObject && value_.in_string()) {
    object_char(c, out);
    return;
  }
  if (held_.empty() && c != '<') {
    inner_char(c, out);
    return;
  }
  held_.push_back(c);
  if (held_ == kClose) {
    held_.clear();
    end_block(out);
  } else if (held_ == kOpen) {
    held_.clear();
    reopen_block(out);
  } else if (!kOpen.starts_with(held_) && !kClose.starts_with(held_)) {
    const std::string text = std::exchange(held_, {});  // not a tag after all
    for (const char inner : text) {
      if (where_ != Where::kContent && where_ != Where::kFull) inner_char(inner, out);
    }
  }
}

void ToolCallParser::inner_char(char c, ParsedText& out) {
  if (where_ == Where::kObject) {
    object_char(c, out);
  } else if (c == '{') {
    begin_object();
  } else if (!is_space(c)) {
    block_has_noise_ = true;  // a list's brackets, a code fence, stray braces
  }
}

// Another <tool_call> without an end tag before it: right behind the first it is the same one, else
// it ends the block, which gives back only what is its own.
void ToolCallParser::reopen_block(ParsedText& out) {
  if (where_ == Where::kBody && !block_has_call_ && !block_has_noise_) return;
  if (!raw_.empty()) raw_.resize(raw_.size() - kOpen.size());
  end_block(out);
  put_content(std::exchange(held_, {}), out);
  open_block();
}

void ToolCallParser::end_block(ParsedText& out) {
  if (where_ == Where::kObject) {
    const bool half_a_name = key_ == Key::kName && value_.in_string();
    if (part_ == Part::kValue && !half_a_name) {
      const bool direct = direct_arguments_ && value_.begun();
      value_.close(direct ? arguments_ : value_text_);
      value_done();
    }
    close_object(out);
  } else if (!block_has_call_) {
    give_back(out);
  }
  if (where_ == Where::kBody) where_ = Where::kContent;
}

// The block is no call: what it said becomes content, word for word.
void ToolCallParser::give_back(ParsedText& out) {
  where_ = Where::kContent;
  const std::string text = std::exchange(raw_, {});
  if (calls_ > 0 || text.empty()) return;
  out.content.append(text, 0, text.size() - 1);
  content_char(text.back(), out);  // it may begin the next tag
}

// --- call object

void ToolCallParser::begin_object() {
  where_ = calls_ < calls_max_ ? Where::kObject : Where::kFull;
  part_ = Part::kKey;
  name_.clear();
  arguments_.clear();
  arguments_seen_ = name_sent_ = false;
  next_part(Part::kKey);
}

void ToolCallParser::next_part(Part part) {
  part_ = part;
  value_.reset();
  value_text_.clear();
  direct_arguments_ = false;
}

void ToolCallParser::object_char(char c, ParsedText& out) {
  switch (part_) {
    case Part::kKey:
      key_char(c, out);
      break;
    case Part::kColon:
      if (is_space(c)) break;
      next_part(Part::kValue);
      if (c != ':') value_char(c, out);
      break;
    case Part::kValue:
      value_char(c, out);
  }
}

void ToolCallParser::key_char(char c, ParsedText& out) {
  if (!value_.begun()) {
    if (c == '}') {
      close_object(out);
      return;
    }
    if (is_space(c) || std::string_view(",:{[]").find(c) != std::string_view::npos) return;
  }
  const JsonRepair::Step step = value_.feed(c, value_text_);
  if (step == JsonRepair::Step::kMore) return;
  const std::string key = json_unquote(value_text_);
  key_ = key == "name"                               ? Key::kName
         : key == "arguments" || key == "parameters" ? Key::kArguments
                                                     : Key::kOther;
  next_part(Part::kColon);
  if (step == JsonRepair::Step::kDoneBefore) object_char(c, out);
}

void ToolCallParser::value_char(char c, ParsedText& out) {
  // Objects and lists go out as they come; strings and words are looked at first (see value_done).
  if (!value_.begun() && key_ == Key::kArguments && !arguments_seen_) {
    direct_arguments_ = c == '{' || c == '[';
  }
  const JsonRepair::Step step = value_.feed(c, direct_arguments_ ? arguments_ : value_text_);
  if (step == JsonRepair::Step::kMore) {
    if (key_ == Key::kOther && value_text_.size() > 64) value_text_.clear();  // nobody reads it
    return;
  }
  value_done();
  if (step == JsonRepair::Step::kDoneBefore) object_char(c, out);
}

void ToolCallParser::value_done() {
  const bool is_string = value_text_.starts_with('"');
  if (key_ == Key::kName && name_.empty() && is_string) {
    name_ = json_unquote(value_text_);
  } else if (key_ == Key::kArguments && !arguments_seen_) {
    arguments_seen_ = true;
    if (!direct_arguments_) arguments_ += whole_arguments();
  }
  next_part(Part::kKey);
}

// Arguments that are not an object or list: null and "" mean none, a string may hold the object.
std::string ToolCallParser::whole_arguments() const {
  if (value_text_ == "null") return "{}";
  if (!value_text_.starts_with('"')) return value_text_;
  const std::string text = json_unquote(value_text_);
  if (without_leading_space(text).empty()) return "{}";
  std::string normal;
  return json_object(text, normal) ? normal : value_text_;
}

void ToolCallParser::close_object(ParsedText& out) {
  if (name_.empty()) {
    give_back(out);
    return;
  }
  if (!arguments_seen_) arguments_ += "{}";
  send(out);
  ++calls_;
  block_has_call_ = true;
  name_sent_ = false;
  raw_.clear();
  where_ = Where::kBody;
}

// Hands out what is known of the open call. Arguments wait for the name.
void ToolCallParser::send(ParsedText& out) {
  if (name_.empty()) return;
  if (!name_sent_) {
    out.tools.push_back({calls_, name_, {}});
    name_sent_ = true;
    raw_.clear();
  }
  if (arguments_.empty()) return;
  if (out.tools.empty() || out.tools.back().index != calls_) out.tools.push_back({calls_, {}, {}});
  out.tools.back().arguments += std::exchange(arguments_, {});
}

// --- the end

void ToolCallParser::finish(bool truncated, ParsedText& out) {
  if (where_ == Where::kLone) finish_lone(out);
  const bool unfinished = where_ == Where::kObject || (where_ == Where::kBody && !block_has_call_);
  if (unfinished) {
    cut_ = truncated;
    held_.clear();
    if (!truncated) {
      end_block(out);
    } else if (name_sent_) {
      send(out);
      where_ = Where::kContent;
    } else {
      give_back(out);
    }
  }
  if (where_ == Where::kContent) put_content(std::exchange(held_, {}), out);
}

}  // namespace ocelli
