// The inside of a JSON string, character by character, written as Python's
// json.dumps(ensure_ascii=False) writes it: \u escapes become characters, control characters become
// escapes. Called by JsonRepair. Surprise: half a surrogate pair stays an escape, because UTF-8 has
// no bytes for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ocelli {

class JsonString {
 public:
  // The opening quote was read, " or (a repair) '. Writes ".
  void begin(char quote, std::string& out);
  // The next character. False when it was the closing quote; " is written for it.
  bool feed(char c, std::string& out);
  // The text ended inside the string: ends it.
  void close(std::string& out);
  bool open() const { return quote_ != 0; }
  // Whether it was not JSON to the letter.
  bool repaired() const { return repaired_; }

 private:
  bool escape_char(char c, std::string& out);
  void unicode_unit(std::string& out);
  void flush_high(std::string& out);
  void flush_escape(std::string& out);

  char quote_ = 0;
  bool repaired_ = false;
  std::string escape_;  // backslash sequence being read
  uint32_t high_ = 0;   // first half of a surrogate pair
};

// One byte of a string's content, escaped where json.dumps escapes.
void put_json_char(char c, std::string& out);
// The content of a string in json.dumps form ("..." with its quotes). Only for text JsonRepair
// wrote.
std::string json_unquote(std::string_view json);

}  // namespace ocelli
