#include "grammar/rules.h"

#include <algorithm>
#include <map>

namespace ocelli {
namespace {

constexpr uint32_t kLastChar = 0x10FFFF, kSurrogates = 0xD800, kAfterSurrogates = 0xE000;
// A loop whose body may be empty counts rounds that read nothing; so few of them cost little.
constexpr int32_t kEmptyRoundsMax = 64;

int utf8_length(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

void encode(uint32_t c, int length, uint8_t out[4]) {
  static constexpr uint8_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int i = length - 1; i > 0; --i, c >>= 6) out[i] = static_cast<uint8_t>(0x80 | (c & 0x3F));
  out[0] = static_cast<uint8_t>(kLead[length] | c);
}

}  // namespace

CharSet CharSet::all() {
  CharSet set;
  set.add(0, kLastChar);
  return set;
}

CharSet CharSet::of(std::string_view ascii) {
  CharSet set;
  for (const char c : ascii) set.add(static_cast<uint8_t>(c), static_cast<uint8_t>(c));
  return set;
}

void CharSet::add(uint32_t low, uint32_t high) {
  if (low < kSurrogates && high >= kAfterSurrogates) {
    add(low, kSurrogates - 1);
    low = kAfterSurrogates;
  }
  if (low >= kSurrogates && low < kAfterSurrogates) low = kAfterSurrogates;
  if (high >= kSurrogates && high < kAfterSurrogates) high = kSurrogates - 1;
  if (low > high) return;
  const auto at = std::ranges::lower_bound(ranges_, std::pair{low, high});
  ranges_.insert(at, {low, high});
  std::vector<std::pair<uint32_t, uint32_t>> merged;
  for (const auto& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

void CharSet::add(const CharSet& other) {
  for (const auto& [low, high] : other.ranges_) add(low, high);
}

CharSet CharSet::complement() const {
  CharSet out;
  uint32_t next = 0;
  for (const auto& [low, high] : ranges_) {
    if (low > next) out.add(next, low - 1);
    next = high + 1;
  }
  if (next <= kLastChar) out.add(next, kLastChar);
  return out;
}

bool CharSet::has(uint32_t c) const {
  return std::ranges::any_of(
      ranges_, [c](const auto& range) { return c >= range.first && c <= range.second; });
}

int32_t Rules::state() { return states_++; }

void Rules::add(Edge edge) {
  if (edges_.size() >= kGrammarEdgesMax) return problem("is too large");
  edges_.push_back(edge);
}

void Rules::empty(int32_t from, int32_t to) { add({from, to}); }

void Rules::bytes(int32_t from, int32_t to, uint8_t low, uint8_t high) {
  add({from, to, Edge::Kind::kBytes, low, high});
}

Rules::Part Rules::nothing() {
  const int32_t at = state();
  return {at, at};
}

Rules::Part Rules::never() { return {state(), state()}; }

Rules::Part Rules::literal(std::string_view text) {
  Part part = nothing();
  for (const char c : text) {
    const int32_t next = state();
    bytes(part.to, next, static_cast<uint8_t>(c), static_cast<uint8_t>(c));
    part.to = next;
  }
  return part;
}

Rules::Part Rules::one_of(std::span<const std::string> literals) {
  Part part = never();
  std::map<std::pair<int32_t, char>, int32_t> tree;
  for (const std::string& text : literals) {
    int32_t at = part.from;
    for (const char c : text) {
      const auto [found, fresh] = tree.try_emplace({at, c}, 0);
      if (fresh) {
        found->second = state();
        bytes(at, found->second, static_cast<uint8_t>(c), static_cast<uint8_t>(c));
      }
      at = found->second;
      if (broken()) return part;
    }
    empty(at, part.to);
  }
  return part;
}

// Cuts a range of code points where the number of bytes changes, then where all following bytes
// run from the lowest to the highest.
Rules::Part Rules::chars(const CharSet& set) {
  Part part = never();
  std::vector<std::pair<uint32_t, uint32_t>> todo(set.ranges().begin(), set.ranges().end());
  while (!todo.empty() && !broken()) {
    const auto [low, high] = todo.back();
    todo.pop_back();
    const auto cut = [&, low = low, high = high](uint32_t last) {  // last one of the first half
      todo.emplace_back(last + 1, high);
      todo.emplace_back(low, last);
    };
    const int length = utf8_length(low);
    if (length != utf8_length(high)) {
      cut(length == 1 ? 0x7F : length == 2 ? 0x7FF : 0xFFFF);
      continue;
    }
    bool whole = true;
    for (int tail = length - 1; tail >= 1 && whole; --tail) {
      const uint32_t mask = (1u << (6 * tail)) - 1;
      if ((low & ~mask) == (high & ~mask)) continue;
      if ((low & mask) != 0) {
        cut(low | mask);
        whole = false;
      } else if ((high & mask) != mask) {
        cut((high & ~mask) - 1);
        whole = false;
      }
    }
    if (!whole) continue;
    uint8_t first[4], last[4];
    encode(low, length, first);
    encode(high, length, last);
    int32_t at = part.from;
    for (int i = 0; i < length; ++i) {
      const int32_t next = i + 1 == length ? part.to : state();
      bytes(at, next, first[i], last[i]);
      at = next;
    }
  }
  return part;
}

Rules::Part Rules::sequence(Part a, Part b) {
  empty(a.to, b.from);
  return {a.from, b.to};
}

Rules::Part Rules::sequence(std::initializer_list<Part> parts) {
  Part all = nothing();
  for (const Part part : parts) all = sequence(all, part);
  return all;
}

Rules::Part Rules::choice(std::span<const Part> parts) {
  const Part all = never();
  for (const Part part : parts) {
    empty(all.from, part.from);
    empty(part.to, all.to);
  }
  return all;
}

Rules::Part Rules::optional(Part part) { return choice({{part, nothing()}}); }

Rules::Part Rules::repeat(Part part, int32_t least, int32_t most) {
  if (most == 0) return nothing();
  if (least == 1 && most == 1) return part;
  if (least == 0 && most == 1) return optional(part);
  const Part all = never();
  if (least <= 1 && most == kUnbounded) {
    empty(all.from, part.from);
    empty(part.to, part.from);
    empty(part.to, all.to);
    if (least == 0) empty(all.from, all.to);
    return all;
  }
  loops_.push_back({part, least, most});
  add({all.from, all.to, Edge::Kind::kLoop, 0, 0, static_cast<int32_t>(loops_.size()) - 1});
  if (least == 0) empty(all.from, all.to);
  return all;
}

int32_t Rules::declare(std::string name) {
  rules_.push_back({{-1, -1}, std::move(name)});
  return static_cast<int32_t>(rules_.size()) - 1;
}

void Rules::define(int32_t rule, Part body) {
  // A state of its own: what is called in several places must not be left by another's edges.
  const int32_t end = state();
  empty(body.to, end);
  rules_[rule].body = {body.from, end};
}

Rules::Part Rules::call(int32_t rule) {
  const Part part = never();
  add({part.from, part.to, Edge::Kind::kCall, 0, 0, rule});
  return part;
}

void Rules::problem(std::string message) {
  if (problem_.empty()) problem_ = std::move(message);
}

// From the ends backwards: which states lead to an end; the edges that lead nowhere go.
void Rules::drop_dead_ends() {
  std::vector<bool> live(static_cast<size_t>(states_));
  for (const Rule& rule : rules_) live[rule.body.to] = true;
  for (const Loop& loop : loops_) live[loop.body.to] = true;
  const auto usable = [&](const Edge& edge) {
    if (!live[edge.to]) return false;
    if (edge.kind == Edge::Kind::kCall) return bool{live[rules_[edge.what].body.from]};
    if (edge.kind == Edge::Kind::kLoop) return bool{live[loops_[edge.what].body.from]};
    return true;
  };
  // Parts are built front to back as often as back to front, so the passes go both ways.
  for (bool grown = true; grown;) {
    grown = false;
    const auto visit = [&](const Edge& edge) {
      if (live[edge.from] || !usable(edge)) return;
      live[edge.from] = true;
      grown = true;
    };
    for (auto edge = edges_.rbegin(); edge != edges_.rend(); ++edge) visit(*edge);
    for (const Edge& edge : edges_) visit(edge);
  }
  std::erase_if(edges_, [&](const Edge& edge) { return !usable(edge); });
}

void Rules::sort_edges() {
  std::ranges::stable_sort(edges_, {}, &Edge::from);
  begins_.assign(static_cast<size_t>(states_) + 1, 0);
  for (const Edge& edge : edges_) ++begins_[edge.from + 1];
  for (int32_t i = 0; i < states_; ++i) begins_[i + 1] += begins_[i];
  ends_.assign(static_cast<size_t>(states_), false);
  for (const Rule& rule : rules_) ends_[rule.body.to] = true;
  for (const Loop& loop : loops_) ends_[loop.body.to] = true;
  only_ends_.assign(static_cast<size_t>(states_), false);
  for (int32_t first = 0; first < states_; ++first) {
    int32_t at = first;
    for (int hop = 0; hop < 8; ++hop) {
      const auto out = edges_of(at);
      if (ends_[at] && out.empty()) only_ends_[first] = true;
      if (ends_[at] || out.size() != 1 || out[0].kind != Edge::Kind::kEmpty) break;
      at = out[0].to;
    }
  }
}

// Backwards again: from which states an end can be reached without a byte.
std::vector<bool> Rules::states_that_may_be_empty() const {
  std::vector<bool> may = ends_;
  for (bool grown = true; grown;) {
    grown = false;
    const auto visit = [&](const Edge& edge) {
      if (edge.kind == Edge::Kind::kBytes || may[edge.from] || !may[edge.to]) return;
      if (edge.kind == Edge::Kind::kCall && !may[rules_[edge.what].body.from]) return;
      if (edge.kind == Edge::Kind::kLoop && !may[loops_[edge.what].body.from]) return;
      may[edge.from] = true;
      grown = true;
    };
    for (auto edge = edges_.rbegin(); edge != edges_.rend(); ++edge) visit(*edge);
    for (const Edge& edge : edges_) visit(edge);
  }
  return may;
}

// A rule that calls itself before any byte would push frames for ever. Rules and loops are nodes
// here: rule r is r, loop l is rules_.size() + l.
Result<void> Rules::check_recursion(const std::vector<bool>& may_be_empty) const {
  const size_t rules = rules_.size(), nodes = rules + loops_.size();
  const auto body = [&](size_t node) {
    return node < rules ? rules_[node].body : loops_[node - rules].body;
  };
  std::vector<std::vector<size_t>> first(nodes);  // what a node calls before any byte
  std::vector<int32_t> seen_by(static_cast<size_t>(states_), -1);
  for (size_t node = 0; node < nodes; ++node) {
    std::vector<int32_t> todo = {body(node).from};
    while (!todo.empty()) {
      const int32_t at = todo.back();
      todo.pop_back();
      if (seen_by[at] == static_cast<int32_t>(node)) continue;
      seen_by[at] = static_cast<int32_t>(node);
      for (const Edge& edge : edges_of(at)) {
        if (edge.kind == Edge::Kind::kBytes) continue;
        if (edge.kind == Edge::Kind::kEmpty) {
          todo.push_back(edge.to);
          continue;
        }
        const size_t called =
            static_cast<size_t>(edge.what) + (edge.kind == Edge::Kind::kLoop ? rules : 0);
        first[node].push_back(called);
        if (may_be_empty[body(called).from]) todo.push_back(edge.to);
      }
    }
  }
  // Depth first with an explicit stack: 1 = on the way, 2 = done.
  std::vector<uint8_t> mark(nodes);
  for (size_t top = 0; top < nodes; ++top) {
    std::vector<std::pair<size_t, size_t>> way;
    if (mark[top] == 0) way.emplace_back(top, 0);
    while (!way.empty()) {
      auto& [node, next] = way.back();
      mark[node] = 1;
      if (next == first[node].size()) {
        mark[node] = 2;
        way.pop_back();
        continue;
      }
      const size_t called = first[node][next++];
      if (mark[called] == 1) {
        const std::string name =
            called < rules ? "\"" + rules_[called].name + "\"" : "a repetition";
        return fail(Status::kInvalidValue, "is left-recursive: " + name +
                                               " can begin with itself before it reads anything");
      }
      if (mark[called] == 0) way.emplace_back(called, 0);
    }
  }
  return {};
}

void Rules::check_loops(const std::vector<bool>& may_be_empty) {
  for (Loop& loop : loops_) {
    if (loop.body.from < 0 || !may_be_empty[loop.body.from]) continue;
    loop.may_be_empty = true;
    loop.least = 0;  // rounds that read nothing make up the rest
    if (loop.most != kUnbounded && loop.most > kEmptyRoundsMax)
      problem("repeats what may be empty up to " + std::to_string(loop.most) + " times, at most " +
              std::to_string(kEmptyRoundsMax) + " are possible");
  }
}

Result<void> Rules::finish(int32_t root) {
  root_ = root;
  for (const Rule& rule : rules_) {
    if (rule.body.from < 0) problem("uses the rule \"" + rule.name + "\", which is not defined");
  }
  if (broken()) return fail(Status::kInvalidValue, problem_);
  drop_dead_ends();
  sort_edges();
  const auto start = rules_[root].body;
  if (edges_of(start.from).empty() && !ends_[start.from])
    return fail(Status::kInvalidValue, "allows no text at all");
  const std::vector<bool> may_be_empty = states_that_may_be_empty();
  OCELLI_TRY_VOID(check_recursion(may_be_empty));
  check_loops(may_be_empty);
  if (broken()) return fail(Status::kInvalidValue, problem_);
  return {};
}

}  // namespace ocelli
