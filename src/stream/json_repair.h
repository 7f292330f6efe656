// Reads one JSON value character by character and writes it the way Python's
// json.dumps(ensure_ascii=False) would: ", " and ": ", no other white space, \u escapes as
// characters, numbers as spelled. Called by ToolCallParser. Surprise: it never fails. What models
// get wrong (single quotes, trailing or missing commas, True / None, raw newlines in strings,
// missing closers) is repaired, so that what was written so far is always the beginning of valid
// JSON.
#pragma once

#include <string>
#include <string_view>

#include "stream/json_string.h"

namespace ocelli {

class JsonRepair {
 public:
  enum class Step {
    kMore,        // c was taken, the value goes on
    kDone,        // c was taken and ended the value
    kDoneBefore,  // the value ended before c, which belongs to what encloses it
  };

  // Ready for a new value.
  void reset();
  Step feed(char c, std::string& out);
  // The text ended: closes what is open. Nothing read at all gives null.
  void close(std::string& out);
  // Inside a string, where tags and brackets mean nothing.
  bool in_string() const { return string_.open(); }
  // A character of the value (not white space) was read.
  bool begun() const { return begun_; }
  // Whether anything had to be repaired so far (for callers that want JSON to the letter).
  bool repaired() const { return repaired_; }

 private:
  enum class Want { kItem, kColon, kValue, kNext };  // inside a container: what may come next

  Step structural(char c, std::string& out);
  Step closer(char c, std::string& out);
  Step nothing(std::string& out);
  void begin_item(bool key, std::string& out);
  void fill_gap(std::string& out);
  Step end_item();
  void end_token(std::string& out);
  void pop(std::string& out);

  std::string stack_;  // open containers, '{' or '['
  Want want_ = Want::kItem;
  bool begun_ = false, repaired_ = false, comma_ = false, first_ = true;
  JsonString string_;
  bool key_ = false;   // the string or token is an object key
  std::string token_;  // number or word being read
};

// True if text is one JSON object to the letter; `normal` is then its json.dumps form.
bool json_object(std::string_view text, std::string& normal);

}  // namespace ocelli
