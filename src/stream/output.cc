// See output.h.
#include "stream/output.h"

#include <utility>

#include "base/check.h"

namespace ocelli {

OutputStream::OutputStream(OutputOptions options)
    : stops_(std::move(options.stops), options.include_stop) {
  if (!options.tools) return;
  parser_.emplace(
      std::move(options.tool_names),
      options.whole_calls ? ToolCallParser::Emit::kWhole : ToolCallParser::Emit::kStream,
      options.calls_max);
}

OutputStep OutputStream::feed(std::string_view bytes, End end, bool stops_armed) {
  OCELLI_CHECK(!finished_);
  OutputStep step;
  chars_.clear();
  utf8_.feed(bytes, chars_);
  if (end != End::kNo) utf8_.finish(chars_);
  released_.clear();
  const bool stopped = stops_.feed(chars_, stops_armed, released_);
  finished_ = stopped || end != End::kNo;
  if (finished_ && !stopped) stops_.finish(released_);
  if (parser_) {
    parser_->feed(released_, step.text);
    // A stop string inside a call cuts it off as a limit does.
    if (finished_) parser_->finish(stopped || end == End::kTruncated, step.text);
    finished_ |= parser_->full();
  } else {
    step.text.content = released_;
  }
  step.finished = finished_;
  step.stop_index = stops_.matched();
  return step;
}

}  // namespace ocelli
