// Reads one JSON value character by character and writes it the way Python's
// json.dumps(ensure_ascii=False) would: ", " and ": ", no other white space, \u escapes as
// characters, numbers as spelled. Called by ToolCallParser. Surprise: it never fails. What models
// get wrong (single quotes, trailing or missing commas, True / None, raw newlines in strings,
// missing closers) is repaired, so that what was written so far is always the beginning of valid
// JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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
  bool in_string() const { return quote_ != 0; }
  // A character of the value (not white space) was read.
  bool begun() const { return begun_; }
  // Whether anything had to be repaired so far (for callers that want JSON to the letter).
  bool repaired() const { return repaired_; }

 private:
  enum class Want { kItem, kColon, kValue, kNext };  // inside a container: what may come next

  Step structural(char c, std::string& out);
  Step closer(char c, std::string& out);
  Step nothing(std::string& out);
  Step string_char(char c, std::string& out);
  bool escape_char(char c, std::string& out);
  void begin_item(bool key, std::string& out);
  void fill_gap(std::string& out);
  Step end_item();
  void end_token(std::string& out);
  void pop(std::string& out);
  void unicode_unit(std::string& out);
  void flush_high(std::string& out);
  void flush_escape(std::string& out);

  std::string stack_;  // open containers, '{' or '['
  Want want_ = Want::kItem;
  bool begun_ = false, repaired_ = false, comma_ = false, first_ = true;
  char quote_ = 0;      // open string's quote
  bool key_ = false;    // the string or token is an object key
  std::string token_;   // number or word being read
  std::string escape_;  // backslash sequence being read
  uint32_t high_ = 0;   // first half of a surrogate pair
};

// The content of a string in json.dumps form ("..." with its quotes). Only for text JsonRepair
// wrote.
std::string json_unquote(std::string_view json);
// True if text is one JSON object to the letter; `normal` is then its json.dumps form.
bool json_object(std::string_view text, std::string& normal);

}  // namespace ocelli
