#include "grammar/product.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "grammar/automaton.h"

namespace ocelli {
namespace {

constexpr size_t kConditionsMax = 6;
constexpr size_t kProductStatesMax = 10'000;  // some 10 ms to compile
constexpr size_t kProductEdgesMax = 60'000;

// Where each automaton is, how many characters were begun, how many bytes of an escape are to come.
struct Point {
  std::array<int32_t, kConditionsMax> states{};
  int64_t count = 0;
  int escape = 0;
  auto operator<=>(const Point&) const = default;
};

class Product {
 public:
  Product(Rules& rules, std::span<const Condition> conditions) : rules_(rules) {
    if (conditions.size() > kConditionsMax) {
      rules.problem("joins more than " + std::to_string(kConditionsMax) +
                    " conditions of one text");
      return;
    }
    for (const Condition& condition : conditions) {
      Rules own;
      const int32_t root = own.declare("text");
      own.define(root, condition.text(own));
      if (const Result<void> done = own.finish(root); !done) {
        rules.problem(done.error().message);
        return;
      }
      automata_.emplace_back(std::move(own));
      holds_.push_back(condition.holds);
    }
  }

  Point start() const {
    Point point;
    for (size_t i = 0; i < automata_.size(); ++i) point.states[i] = automata_[i].start();
    return point;
  }

  // False: no text that meets the conditions goes on like this.
  bool step(Point& point, uint8_t byte) {
    for (size_t i = 0; i < automata_.size(); ++i) {
      int32_t& state = point.states[i];
      if (state != Automaton::kDead) state = automata_[i].next(state, byte);
      if (automata_[i].exhausted()) rules_.problem("has a pattern that is too ambiguous");
      if (state == Automaton::kDead && holds_[i]) return false;
    }
    return !rules_.broken();
  }

  bool accepts(const Point& point) const {
    for (size_t i = 0; i < automata_.size(); ++i) {
      const int32_t state = point.states[i];
      if ((state != Automaton::kDead && automata_[i].accepts(state)) != holds_[i]) return false;
    }
    return true;
  }

 private:
  Rules& rules_;
  std::vector<Automaton> automata_;
  std::vector<bool> holds_;
};

// Counts the character that begins with `byte`, if one does. In JSON \n is one, and so is \u001f.
void count(Point& point, uint8_t byte, Spelling spelling) {
  if (point.escape > 0) {
    const bool named = point.escape == 1 && byte == 'u';
    point.escape = named ? 5 : point.escape == 1 || point.escape == 2 ? 0 : point.escape - 1;
    return;
  }
  if ((byte & 0xC0) == 0x80) return;
  ++point.count;
  if (spelling == Spelling::kJson && byte == '\\') point.escape = 1;
}

struct ProductEdge {
  size_t from, to;
  uint8_t low, high;
};

// The states from which an accepting one is reached.
std::vector<bool> living(const std::vector<ProductEdge>& edges,
                         const std::vector<bool>& accepting) {
  std::vector<std::vector<size_t>> back(accepting.size());
  for (const ProductEdge& edge : edges) back[edge.to].push_back(edge.from);
  std::vector<bool> alive = accepting;
  std::vector<size_t> todo;
  for (size_t i = 0; i < alive.size(); ++i) {
    if (alive[i]) todo.push_back(i);
  }
  while (!todo.empty()) {
    const size_t at = todo.back();
    todo.pop_back();
    for (const size_t from : back[at]) {
      if (alive[from]) continue;
      alive[from] = true;
      todo.push_back(from);
    }
  }
  return alive;
}

}  // namespace

Rules::Part meeting(Rules& rules, std::span<const Condition> conditions, Spelling spelling,
                    int64_t least, int64_t most) {
  Product product(rules, conditions);
  if (rules.broken()) return rules.never();
  const bool counted = least > 0 || most != kUnbounded;
  std::map<Point, size_t> known = {{product.start(), 0}};
  std::vector<Point> points = {product.start()};
  std::vector<ProductEdge> edges;
  std::vector<bool> accepting;
  for (size_t at = 0; at < points.size(); ++at) {
    const Point from = points[at];
    Point last_to;
    size_t last = SIZE_MAX;  // its number
    accepting.push_back(from.escape == 0 && from.count >= least && product.accepts(from));
    for (int byte = 0; byte < 256; ++byte) {
      Point to = from;
      if (counted) count(to, static_cast<uint8_t>(byte), spelling);
      if (to.count > most || !product.step(to, static_cast<uint8_t>(byte))) continue;
      if (most == kUnbounded) to.count = std::min(to.count, least);
      if (last == SIZE_MAX || to != last_to) {
        const auto [found, fresh] = known.try_emplace(to, points.size());
        if (fresh) points.push_back(to);
        last = found->second;
        last_to = to;
      }
      const auto next = static_cast<uint8_t>(byte);
      ProductEdge* before = edges.empty() ? nullptr : &edges.back();
      if (before && before->from == at && before->to == last && before->high + 1 == byte) {
        before->high = next;
      } else {
        edges.push_back({at, last, next, next});
      }
    }
    if (points.size() > kProductStatesMax || edges.size() > kProductEdgesMax)
      rules.problem("has conditions of one text that are too many states together");
    if (rules.broken()) return rules.never();
  }
  const std::vector<bool> alive = living(edges, accepting);
  const Rules::Part part = rules.never();
  std::vector<int32_t> states(points.size(), -1);
  for (size_t i = 0; i < points.size(); ++i) {
    if (alive[i]) states[i] = rules.state();
    if (accepting[i]) rules.empty(states[i], part.to);
  }
  if (alive[0]) rules.empty(part.from, states[0]);
  for (const ProductEdge& edge : edges) {
    if (alive[edge.to]) rules.bytes(states[edge.from], states[edge.to], edge.low, edge.high);
  }
  return part;
}

bool meets(Rules& rules, std::span<const Condition> conditions, std::string_view text) {
  Product product(rules, conditions);
  if (rules.broken()) return false;
  Point point = product.start();
  return std::ranges::all_of(
             text, [&](char c) { return product.step(point, static_cast<uint8_t>(c)); }) &&
         product.accepts(point);
}

}  // namespace ocelli
