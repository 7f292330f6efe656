// Hermes tool calls out of generated text: <tool_call>{"name": .., "arguments": {..}}</tool_call>,
// as one state machine for streamed and whole answers, so that both give the same strings however
// the text is cut into pieces. Called by OutputStream when a request has tools. Rules:
//  - content is the text before the first call, untrimmed; text between and after calls is dropped;
//  - a name is given once and whole, before or with the first fragment of its arguments;
//  - arguments come as Python's json.dumps(ensure_ascii=False) writes them (json_repair.h), {} if
//  missing;
//  - a block that never becomes a call (no JSON object, no name) goes back into content as it was
//  written,
//    unless a call came before it;
//  - an answer that is nothing but one JSON object with the name of a known tool is a call, too.
// Surprise: a call cut off by max_tokens is no call. With Emit::kWhole its text returns to content;
// with Emit::kStream the fragments already sent stay sent and cut() tells that the last call is
// unfinished.
#pragma once

#include <climits>
#include <string>
#include <string_view>
#include <vector>

#include "stream/json_repair.h"

namespace ocelli {

struct ToolDelta {
  int index = 0;          // counts calls from 0
  std::string name;       // empty except in the first delta of a call
  std::string arguments;  // fragment, may be empty
};

struct ParsedText {
  std::string content;
  std::vector<ToolDelta> tools;
  bool empty() const { return content.empty() && tools.empty(); }
};

class ToolCallParser {
 public:
  enum class Emit {
    kStream,  // deltas as soon as they are certain
    kWhole,   // a call only when it is complete (answers that are not streamed)
  };

  // calls_max: how many calls are wanted; the text ends where another one would begin.
  explicit ToolCallParser(std::vector<std::string> tool_names, Emit emit = Emit::kStream,
                          int calls_max = INT_MAX);

  // Adds what became certain to `out`. Text in any pieces; whole characters keep deltas valid
  // UTF-8.
  void feed(std::string_view text, ParsedText& out);
  // End of the text. truncated: by a token limit, a stop string or an abort rather than by the
  // model itself; then an unfinished call is not repaired.
  void finish(bool truncated, ParsedText& out);
  // Complete calls so far. finish_reason is "tool_calls" when this is > 0 and cut() is false.
  int calls() const { return calls_; }
  // True when finish(true) met an unfinished call.
  bool cut() const { return cut_; }
  // True when calls_max calls are complete and another one began: nothing of what follows counts.
  bool full() const { return where_ == Where::kFull; }

 private:
  enum class Where { kLone, kContent, kBody, kObject, kFull };
  enum class Key { kOther, kName, kArguments };
  enum class Part { kKey, kColon, kValue };

  void text_char(char c, ParsedText& out);
  void lone_char(char c, ParsedText& out);
  bool lone_possible();
  void release_lone(ParsedText& out);
  void finish_lone(ParsedText& out);
  void put_content(std::string_view text, ParsedText& out) const;
  void content_char(char c, ParsedText& out);
  void open_block();
  void block_char(char c, ParsedText& out);
  void inner_char(char c, ParsedText& out);
  void reopen_block(ParsedText& out);
  void end_block(ParsedText& out);
  void give_back(ParsedText& out);
  void begin_object();
  void next_part(Part part);
  void object_char(char c, ParsedText& out);
  void key_char(char c, ParsedText& out);
  void value_char(char c, ParsedText& out);
  void value_done();
  std::string whole_arguments() const;
  void close_object(ParsedText& out);
  void send(ParsedText& out);

  std::vector<std::string> names_;
  Emit emit_;
  int calls_max_;
  Where where_ = Where::kLone;
  std::string held_;  // start of a tag, or the possible lone object
  std::string raw_;   // the block as written, until it is a call
  bool lone_named_ = false;

  // the call being read
  Part part_ = Part::kKey;
  Key key_ = Key::kOther;
  JsonRepair value_;
  std::string value_text_;         // normalised text of the key or value being read, not yet taken
  bool direct_arguments_ = false;  // the value being read goes to arguments_ as it comes
  std::string name_;
  std::string arguments_;  // normalised, not yet sent
  bool arguments_seen_ = false, name_sent_ = false, block_has_call_ = false,
       block_has_noise_ = false;

  int calls_ = 0;
  bool cut_ = false;
};

}  // namespace ocelli
