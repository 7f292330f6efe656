#include "grammar/ebnf.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "grammar/regex.h"

namespace ocelli {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

// What Lark's `%import common.NAME` brings, as regular expressions.
const std::map<std::string, const char*, std::less<>> kLarkCommon = {
    {"DIGIT", "[0-9]"},
    {"HEXDIGIT", "[0-9a-fA-F]"},
    {"INT", "[0-9]+"},
    {"SIGNED_INT", "[+-]?[0-9]+"},
    {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"},
    {"NUMBER", "[0-9]+(\\.[0-9]*)?([eE][+-]?[0-9]+)?|\\.[0-9]+([eE][+-]?[0-9]+)?"},
    {"SIGNED_NUMBER", "[+-]?([0-9]+(\\.[0-9]*)?([eE][+-]?[0-9]+)?|\\.[0-9]+([eE][+-]?[0-9]+)?)"},
    {"ESCAPED_STRING", "\"([^\"\\\\\\n]|\\\\.)*\""},
    {"LCASE_LETTER", "[a-z]"},
    {"UCASE_LETTER", "[A-Z]"},
    {"LETTER", "[A-Za-z]"},
    {"WORD", "[A-Za-z]+"},
    {"CNAME", "[A-Za-z_][A-Za-z0-9_]*"},
    {"WS_INLINE", "[ \\t]+"},
    {"WS", "[ \\t\\f\\r\\n]+"},
    {"NEWLINE", "(\\r?\\n)+"},
};

class Parser {
 public:
  Parser(Rules& rules, std::string_view source)
      : rules_(rules), source_(source), lark_(source.find("::=") == std::string_view::npos) {}

  int32_t whole() {
    for (skip(); at_ < source_.size(); skip()) {
      if (lark_ && source_[at_] == '%') {
        directive();
        continue;
      }
      std::string name;
      if (!header(name)) {
        bad("no rule");
        break;
      }
      const int32_t rule = rule_of(name);
      if (defined_[name]) bad("a second rule " + name);
      defined_[name] = true;
      rules_.define(rule, choices(0));
      if (at_ < source_.size() && !starts_rule() && !(lark_ && source_[at_] == '%'))
        bad("something that is no part of a rule");
    }
    const char* first = lark_ ? "start" : "root";
    if (!defined_[first]) rules_.problem(std::string("has no rule \"") + first + "\"");
    return rule_of(first);
  }

 private:
  void bad(const std::string& what) {
    const auto line =
        std::count(source_.begin(), source_.begin() + static_cast<ptrdiff_t>(at_), '\n');
    rules_.problem("has " + what + " in line " + std::to_string(line + 1));
    at_ = source_.size();
  }

  void skip() {
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const bool comment = lark_ ? source_.substr(at_, 2) == "//" : c == '#';
      if (comment) {
        while (at_ < source_.size() && source_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool take(std::string_view text) {
    if (source_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    skip();
    return true;
  }
  std::string_view name_at() const {
    size_t end = at_;
    while (end < source_.size() && is_name_char(source_[end]) && !(lark_ && source_[end] == '-'))
      ++end;
    return source_.substr(at_, end - at_);
  }

  // "name ::=", in Lark "?name.2:"; then `at_` is behind it.
  bool header(std::string& name) {
    if (lark_ && at_ < source_.size() && (source_[at_] == '?' || source_[at_] == '!')) ++at_;
    name = std::string(name_at());
    at_ += name.size();
    if (lark_ && at_ < source_.size() && source_[at_] == '.') {  // a priority
      ++at_;
      at_ += name_at().size();
    }
    skip();
    return !name.empty() && take(lark_ ? ":" : "::=");
  }
  bool starts_rule() {
    const size_t at = at_;
    std::string name;
    const bool starts = header(name);
    at_ = at;
    return starts;
  }

  int32_t rule_of(const std::string& name) {
    const auto [found, fresh] = names_.try_emplace(name, 0);
    if (fresh) found->second = rules_.declare(name);
    return found->second;
  }

  void directive() {
    const size_t end = std::min(source_.find('\n', at_), source_.size());
    std::string_view line = source_.substr(at_, end - at_);
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    constexpr std::string_view kImport = "%import common.";
    if (!line.starts_with(kImport)) return bad(std::string(line) + " (unsupported)");
    std::string name(line.substr(kImport.size()));
    const auto known = kLarkCommon.find(name);
    if (known == kLarkCommon.end()) return bad(std::string(line) + " (unsupported)");
    defined_[name] = true;
    rules_.define(rule_of(name), regex(rules_, known->second, Spelling::kPlain));
    at_ = end;
  }

  Rules::Part choices(int depth) {
    if (depth > kGrammarDepthMax) bad("groups nested too deeply");
    std::vector<Rules::Part> parts;
    take("|");  // Lark lets a rule begin with one
    do {
      Rules::Part part = rules_.nothing();
      while (at_ < source_.size() && !std::string_view("|)]").contains(source_[at_]) &&
             !starts_rule() && !(lark_ && source_[at_] == '%')) {
        if (lark_ && take("->")) {  // a name for the tree
          at_ += name_at().size();
          skip();
          break;
        }
        part = rules_.sequence(part, counted(term(depth)));
      }
      parts.push_back(part);
    } while (take("|"));
    return parts.size() == 1 ? parts[0] : rules_.choice(parts);
  }

  Rules::Part counted(Rules::Part part) {
    int32_t least = 1, most = 1;
    if (take("*")) {
      least = 0, most = kUnbounded;
    } else if (take("+")) {
      most = kUnbounded;
    } else if (!(lark_ && (starts_rule())) && take("?")) {
      least = 0;
    } else if (lark_ ? take("~") : take("{")) {
      std::string text = "{";
      if (lark_) {  // "2" or "2..5"
        size_t end = at_;
        while (end < source_.size() && ((source_[end] >= '0' && source_[end] <= '9') ||
                                        source_.substr(end, 2) == ".." || source_[end] == '.'))
          ++end;
        std::string counts(source_.substr(at_, end - at_));
        const size_t dots = counts.find("..");
        if (dots != std::string::npos) counts.replace(dots, 2, ",");
        text = counts + "}";
        at_ = end;
      } else {
        const size_t end = std::min(source_.find('}', at_), source_.size() - 1);
        text = std::string(source_.substr(at_, end - at_ + 1));
        std::erase(text, ' ');
        at_ = end + 1;
      }
      size_t read = 0;
      if (!read_counts(text, read, least, most)) bad("a count that is not well formed");
      skip();
    }
    return rules_.repeat(part, least, most);
  }

  // Between quotes; escapes as in JSON, and \xHH.
  std::string string() {
    std::string out;
    const char quote = source_[at_++];
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] == '\n') break;
      if (source_[at_] != '\\') {
        out += source_[at_++];
        continue;
      }
      ++at_;
      CharSet set;
      if (!read_escape(source_, at_, set) || set.ranges().size() != 1 ||
          set.ranges()[0].first != set.ranges()[0].second) {
        bad("an escape that is not supported");
        return out;
      }
      append_utf8(set.ranges()[0].first, out);
    }
    if (at_ >= source_.size() || source_[at_] != quote) {
      bad("a string without an end");
      return out;
    }
    ++at_;
    return out;
  }
  static void append_utf8(uint32_t c, std::string& out) {
    if (c < 0x80) {
      out += static_cast<char>(c);
      return;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static constexpr uint8_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
    out += static_cast<char>(kLead[more] | (c >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
  }

  Rules::Part term(int depth) {
    const char c = source_[at_];
    if (take("(")) {
      if (at_ < source_.size() && source_[at_] == '=') bad("a lookahead (unsupported)");
      const Rules::Part part = choices(depth + 1);
      if (!take(")")) bad("an unmatched (");
      return part;
    }
    if (lark_ && take("[")) {
      const Rules::Part part = choices(depth + 1);
      if (!take("]")) bad("an unmatched [");
      return rules_.optional(part);
    }
    if (c == '[') {
      CharSet set;
      if (!read_class(source_, at_, set)) bad("a class that is not well formed");
      skip();
      return rules_.chars(set);
    }
    if (c == '"' || (c == '\'' && !lark_)) return quoted();
    if (lark_ && c == '/') return slashed();
    const std::string name(name_at());
    if (name.empty()) {
      bad(std::string("an unexpected '") + c + "'");
      return rules_.never();
    }
    at_ += name.size();
    if (lark_ && at_ < source_.size() && source_[at_] == '{') bad("a template (unsupported)");
    skip();
    return rules_.call(rule_of(name));
  }

  Rules::Part quoted() {
    const std::string first = string();
    if (lark_ && at_ < source_.size() && source_[at_] == 'i') {
      bad("a string that ignores case (unsupported)");
    } else if (lark_ && source_.substr(at_, 2) == "..") {
      at_ += 2;
      const std::string last = at_ < source_.size() && source_[at_] == '"' ? string() : "";
      uint32_t low = 0, high = 0;
      size_t a = 0, b = 0;
      if (!read_char(first, a, low) || !read_char(last, b, high) || a != first.size() ||
          b != last.size())
        bad("a range that is not of two characters");
      skip();
      CharSet set;
      set.add(low, high);
      return rules_.chars(set);
    }
    skip();
    return rules_.literal(first);
  }

  Rules::Part slashed() {
    size_t end = ++at_;
    while (end < source_.size() && source_[end] != '/' && source_[end] != '\n')
      end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size() || source_[end] != '/') {
      bad("a regular expression without an end");
      return rules_.never();
    }
    std::string pattern(source_.substr(at_, end - at_));
    for (size_t slash; (slash = pattern.find("\\/")) != std::string::npos;) pattern.erase(slash, 1);
    at_ = end + 1;
    if (!name_at().empty()) bad("flags of a regular expression (unsupported)");
    skip();
    return regex(rules_, pattern, Spelling::kPlain);
  }

  Rules& rules_;
  std::string_view source_;
  bool lark_;
  size_t at_ = 0;
  std::map<std::string, int32_t> names_;
  std::map<std::string, bool> defined_;
};

}  // namespace

int32_t ebnf(Rules& rules, std::string_view source) { return Parser(rules, source).whole(); }

}  // namespace ocelli
