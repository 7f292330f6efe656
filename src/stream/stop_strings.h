// Stop strings across token borders. Called by OutputStream between UTF-8 and tool calls. Text is
// held back only as far as needed: the longest suffix that is a proper prefix of some stop string.
// The match that ends first wins; if two end at the same byte, the one listed first. Surprise: with
// the wish "include" the text up to the end of the stop string is kept, otherwise up to its
// beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

class StopStrings {
 public:
  // No stop string may be empty (the engine refuses the request).
  StopStrings(std::vector<std::string> stops, bool include_in_output);

  // Appends releasable text to `out`. Returns true when a stop string was found; everything after
  // it is dropped, here and in later calls. armed = false (below min_tokens): matches that end here
  // do not count.
  bool feed(std::string_view text, bool armed, std::string& out);
  // End of the sequence without a match: releases what was held.
  void finish(std::string& out);
  // Which stop string ended the text, -1 if none did.
  int matched() const { return matched_; }
  const std::string& stop(int index) const { return stops_[static_cast<size_t>(index)]; }

 private:
  int advance(char c);

  std::vector<std::string> stops_;
  bool include_;
  std::vector<std::vector<uint32_t>>
      borders_;                  // per stop and byte: longest border of the prefix so far
  std::vector<uint32_t> state_;  // per stop: bytes of it that end the text so far
  std::string held_;
  int matched_ = -1;
};

}  // namespace ocelli
