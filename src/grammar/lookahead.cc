#include "grammar/lookahead.h"

#include <string>

namespace ocelli {
namespace {

// Walks over groups, classes and escapes. `depth` is that of groups; -1: one is closed that was
// not opened. Stops where stop(at, depth) says so, at the end otherwise.
template <class Stop>
size_t walk(std::string_view pattern, Stop stop) {
  int depth = 0;
  bool in_class = false;
  for (size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '\\') {
      ++at;
      continue;
    }
    if (in_class) {
      in_class = c != ']';
      continue;
    }
    in_class = c == '[';
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (stop(c, depth)) return at;
  }
  return pattern.size();
}

size_t next_alternative(std::string_view pattern) {
  return walk(pattern, [](char c, int depth) { return c == '|' && depth == 0; });
}

// "a|b$" -> "^a|^b$".
std::string anchored_alternatives(std::string_view pattern) {
  std::string out;
  for (;;) {
    const size_t end = next_alternative(pattern);
    out += "^" + std::string(pattern.substr(0, end));
    if (end == pattern.size()) return out;
    out += "|";
    pattern.remove_prefix(end + 1);
  }
}

}  // namespace

std::optional<std::vector<Condition>> lookahead(std::string_view pattern, Spelling spelling,
                                                bool search) {
  const bool anchored = pattern.starts_with('^');
  if (search && !anchored) return std::nullopt;  // it may look ahead from anywhere
  std::string_view rest = pattern.substr(anchored ? 1 : 0);
  if (next_alternative(rest) < rest.size()) return std::nullopt;
  std::vector<Condition> out;
  while (rest.starts_with("(?=") || rest.starts_with("(?!")) {
    const bool holds = rest[2] == '=';
    rest.remove_prefix(3);
    const size_t end = walk(rest, [](char, int depth) { return depth < 0; });
    if (end == rest.size()) return std::nullopt;
    const std::string ahead = anchored_alternatives(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    out.push_back(
        {[ahead, spelling](Rules& own) { return regex(own, ahead, spelling, true); }, holds});
  }
  if (out.empty()) return std::nullopt;
  const std::string behind = (anchored ? "^" : "") + std::string(rest);
  out.push_back(
      {[behind, spelling, search](Rules& own) { return regex(own, behind, spelling, search); }});
  return out;
}

}  // namespace ocelli
