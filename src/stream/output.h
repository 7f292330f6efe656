// The way from token bytes to what a client sees, for one sequence: UTF-8, then stop strings, then
// tool calls. Called by engine once per token. Surprise: a token may yield nothing (bytes held
// back) and the last one may yield a lot.
#pragma once

#include <climits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stream/stop_strings.h"
#include "stream/tool_calls.h"
#include "stream/utf8_stream.h"

namespace ocelli {

struct OutputOptions {
  std::vector<std::string> stops = {};
  bool include_stop = false;  // keep the stop string in the text
  bool tools = false;         // tools given and tool_choice is not "none"
  std::vector<std::string> tool_names = {};
  int calls_max = INT_MAX;   // the answer ends where a call beyond them would begin
  bool whole_calls = false;  // the answer is not streamed: a cut-off call returns to content
};

// Why a token is the last one.
enum class End {
  kNo,
  kModel,      // end-of-turn token or a stop token id
  kTruncated,  // max_tokens, context full, abort
};

struct OutputStep {
  ParsedText text;
  bool finished = false;  // the sequence is over: `end` said so, a stop string was found, or all
                          // calls are there
  int stop_index = -1;    // which stop string, -1 if none; it overrules `end`
};

class OutputStream {
 public:
  explicit OutputStream(OutputOptions options);

  // bytes: what the token decodes to (empty for a special token). stops_armed = false while fewer
  // than min_tokens tokens are out. Not to be called after a step that was finished.
  OutputStep feed(std::string_view bytes, End end, bool stops_armed = true);

  // Whether finish_reason is "tool_calls": at least one complete call and none cut off.
  bool finished_by_tools() const { return parser_ && parser_->calls() > 0 && !parser_->cut(); }
  // Whether it is over because all calls that were wanted are there.
  bool full() const { return parser_ && parser_->full(); }
  int calls() const { return parser_ ? parser_->calls() : 0; }
  const std::string& stop(int index) const { return stops_.stop(index); }

 private:
  Utf8Stream utf8_;
  StopStrings stops_;
  std::optional<ToolCallParser> parser_;
  bool finished_ = false;
  std::string chars_, released_;  // scratch
};

}  // namespace ocelli
