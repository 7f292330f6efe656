// See json_repair.h. One state machine over characters: `want_` says what may come next inside the
// innermost container; whatever else comes is made to fit (a missing comma, colon, key or value is
// written for it).
#include "stream/json_repair.h"

#include <utility>

namespace ocelli {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
bool is_number(std::string_view text) {
  size_t i = 0;
  const auto digits = [&] {
    const size_t start = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    return i > start;
  };
  if (i < text.size() && text[i] == '-') ++i;
  if (i < text.size() && text[i] == '0') {
    ++i;
  } else if (!digits()) {
    return false;
  }
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < text.size() && (text[i] | 0x20) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

}  // namespace

void JsonRepair::reset() { *this = JsonRepair(); }

JsonRepair::Step JsonRepair::feed(char c, std::string& out) {
  if (string_.open()) {
    if (string_.feed(c, out)) return Step::kMore;
    repaired_ |= string_.repaired();
    return end_item();
  }
  if (!token_.empty()) {
    if (!is_space(c) && std::string_view(",:{}[]\"'").find(c) == std::string_view::npos) {
      token_.push_back(c);
      return Step::kMore;
    }
    end_token(out);
    if (end_item() == Step::kDone) return Step::kDoneBefore;
  }
  return is_space(c) ? Step::kMore : structural(c, out);
}

JsonRepair::Step JsonRepair::structural(char c, std::string& out) {
  switch (c) {
    case '{':
    case '[':
      begin_item(false, out);
      stack_.push_back(c);
      out.push_back(c);
      want_ = Want::kItem;
      first_ = true;
      return Step::kMore;
    case '}':
    case ']':
      return closer(c, out);
    case ',':
      if (stack_.empty()) return nothing(out);
      fill_gap(out);
      if (want_ != Want::kNext) repaired_ = true;
      want_ = Want::kItem;
      comma_ = true;
      return Step::kMore;
    case ':':
      if (want_ == Want::kColon) {
        out += ": ";
        want_ = Want::kValue;
      } else {
        repaired_ = true;
      }
      return Step::kMore;
    default: {
      const bool key =
          !stack_.empty() && stack_.back() == '{' && (want_ == Want::kItem || want_ == Want::kNext);
      begin_item(key, out);
      key_ = key;
      if (c == '"' || c == '\'') {
        string_.begin(c, out);
      } else {
        token_.assign(1, c);
      }
      return Step::kMore;
    }
  }
}

// A closer of an outer container closes those inside it, too; one that fits nothing is the parent's
// or noise.
JsonRepair::Step JsonRepair::closer(char c, std::string& out) {
  if (stack_.empty()) return nothing(out);
  const char opener = c == '}' ? '{' : '[';
  if (stack_.find(opener) == std::string::npos) {
    repaired_ = true;
    if (c == ']') return Step::kMore;
    while (!stack_.empty()) pop(out);
    return Step::kDoneBefore;
  }
  while (stack_.back() != opener) {
    repaired_ = true;
    pop(out);
  }
  pop(out);
  return stack_.empty() ? Step::kDone : Step::kMore;
}

// A delimiter where the value should begin: there is no value.
JsonRepair::Step JsonRepair::nothing(std::string& out) {
  repaired_ = true;
  begun_ = true;
  out += "null";
  return Step::kDoneBefore;
}

// Writes what is due before an item of the innermost container.
void JsonRepair::begin_item(bool key, std::string& out) {
  begun_ = true;
  if (stack_.empty()) return;
  if (want_ == Want::kItem || want_ == Want::kNext) {
    repaired_ |= want_ == Want::kNext;
    if (!first_) out += ", ";
    if (stack_.back() == '{' && !key) {
      repaired_ = true;
      out += "\"\": ";
    }
  } else if (want_ == Want::kColon) {
    repaired_ = true;
    out += ": ";
  }
  first_ = false;
  comma_ = false;
}

// Completes a key that has no value.
void JsonRepair::fill_gap(std::string& out) {
  if (want_ != Want::kColon && want_ != Want::kValue) return;
  repaired_ = true;
  out += want_ == Want::kColon ? ": null" : "null";
  want_ = Want::kNext;
}

JsonRepair::Step JsonRepair::end_item() {
  if (stack_.empty()) return Step::kDone;
  want_ = std::exchange(key_, false) ? Want::kColon : Want::kNext;
  return Step::kMore;
}

void JsonRepair::pop(std::string& out) {
  fill_gap(out);
  repaired_ |= std::exchange(comma_, false);
  out.push_back(stack_.back() == '{' ? '}' : ']');
  stack_.pop_back();
  want_ = Want::kNext;
  first_ = false;
}

void JsonRepair::end_token(std::string& out) {
  const std::string token = std::exchange(token_, {});
  if (!key_) {
    if (token == "true" || token == "false" || token == "null" || is_number(token)) {
      out += token;
      return;
    }
    repaired_ = true;
    if (token == "True" || token == "False" || token == "None") {
      out += token == "True" ? "true" : token == "False" ? "false" : "null";
      return;
    }
  }
  repaired_ = true;
  out.push_back('"');
  for (const char c : token) put_json_char(c, out);
  out.push_back('"');
}

void JsonRepair::close(std::string& out) {
  if (!begun_) {
    nothing(out);
    return;
  }
  if (string_.open()) {
    string_.close(out);
    repaired_ = true;
    end_item();
  } else if (!token_.empty()) {
    end_token(out);
    end_item();
  }
  while (!stack_.empty()) {
    repaired_ = true;
    pop(out);
  }
}

bool json_object(std::string_view text, std::string& normal) {
  normal.clear();
  JsonRepair scanner;
  bool done = false;
  for (const char c : text) {
    if (is_space(c) && (done || !scanner.begun())) continue;
    if (done || (!scanner.begun() && c != '{')) return false;
    done = scanner.feed(c, normal) == JsonRepair::Step::kDone;
    if (scanner.repaired()) return false;
  }
  return done;
}

}  // namespace ocelli
