// See stop_strings.h. Knuth-Morris-Pratt for each stop string: its state is the length of its
// longest prefix that ends the text, which is what must be held back for it.
#include "stream/stop_strings.h"

#include <algorithm>

#include "base/check.h"

namespace ocelli {

StopStrings::StopStrings(std::vector<std::string> stops, bool include_in_output)
    : stops_(std::move(stops)), include_(include_in_output), state_(stops_.size(), 0) {
  for (const std::string& stop : stops_) {
    OCELLI_CHECK(!stop.empty());
    std::vector<uint32_t> border(stop.size(), 0);
    for (size_t i = 1; i < stop.size(); ++i) {
      uint32_t length = border[i - 1];
      while (length > 0 && stop[i] != stop[length]) length = border[length - 1];
      border[i] = stop[i] == stop[length] ? length + 1 : 0;
    }
    borders_.push_back(std::move(border));
  }
}

// Moves every automaton on by one byte; returns the first in the list that has now matched, else
// -1.
int StopStrings::advance(char c) {
  int found = -1;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const std::string& stop = stops_[i];
    uint32_t length = state_[i];
    if (length == stop.size()) length = borders_[i].back();  // a match that did not count
    while (length > 0 && c != stop[length]) length = borders_[i][length - 1];
    if (c == stop[length]) ++length;
    state_[i] = length;
    if (length == stop.size() && found < 0) found = static_cast<int>(i);
  }
  return found;
}

bool StopStrings::feed(std::string_view text, bool armed, std::string& out) {
  if (matched_ >= 0) return true;
  if (stops_.empty()) {
    out.append(text);
    return false;
  }
  for (const char c : text) {
    held_.push_back(c);
    const int found = advance(c);
    if (found < 0 || !armed) continue;
    matched_ = found;
    if (!include_) held_.resize(held_.size() - stop(found).size());
    finish(out);
    return true;
  }
  size_t needed = 0;
  for (size_t i = 0; i < stops_.size(); ++i) {
    const uint32_t whole = static_cast<uint32_t>(stops_[i].size());
    needed = std::max<size_t>(needed, state_[i] == whole ? borders_[i].back() : state_[i]);
  }
  out.append(held_, 0, held_.size() - needed);
  held_.erase(0, held_.size() - needed);
  return false;
}

void StopStrings::finish(std::string& out) {
  out.append(held_);
  held_.clear();
}

}  // namespace ocelli
