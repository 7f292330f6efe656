// EventQueue: what steps yield, as the JSON lines that ocelli_next_event hands out (shapes in
// src/abi/ocelli.h).
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/result.h"
#include "engine/sequence.h"
#include "text/tokenizer.h"

namespace ocelli {

// Fields of ocelli_last_error: {"status","code","http","message","param"}.
std::string error_json(const Error& error);

class EventQueue {
 public:
  explicit EventQueue(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void prompt(const Request& request);
  void progress(const Request& request, const char* stage, int64_t done, int64_t total);
  // One token of one sequence and the text that became certain with it. Nothing to tell: no event.
  void delta(const Request& request, const Sequence& sequence, const Sampled& sampled,
             const ParsedText& text);
  // stop_reason: empty, a stop string, or a token id when `stop_id` >= 0.
  void finish(const Request& request, const Sequence& sequence, const char* reason,
              const std::string* stop_string, int32_t stop_id);
  void done(const Request& request);
  void error(uint32_t request, const Error& error);

  bool next(std::string& json);
  void drop(uint32_t request);  // forgets the events of a closed request

 private:
  struct Event {
    uint32_t request;
    std::string json;
  };
  const Tokenizer& tokenizer_;
  std::deque<Event> events_;
};

}  // namespace ocelli
