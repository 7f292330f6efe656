// Rules: a grammar as a graph whose edges are ranges of bytes, steps for nothing, calls of rules
// and counted loops. Built by the front ends of this folder (regex, EBNF, JSON schema, tags), read
// by Automaton. Surprise: building never fails. What grows too large or cannot be built is kept as
// one problem that finish() reports, so that the front ends stay free of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ocelli {

inline constexpr int32_t kUnbounded = INT32_MAX;     // the upper count of an open loop
inline constexpr size_t kGrammarEdgesMax = 100'000;  // some 3 MB; a schema has a few thousand
inline constexpr int kGrammarDepthMax = 64;          // nesting of what a front end reads

// Code points, as sorted ranges that do not touch. Surrogates are never part of one.
class CharSet {
 public:
  static CharSet all();
  static CharSet of(std::string_view ascii);  // each character of it
  void add(uint32_t low, uint32_t high);      // both included
  void add(const CharSet& other);
  CharSet complement() const;
  bool has(uint32_t c) const;
  std::span<const std::pair<uint32_t, uint32_t>> ranges() const { return ranges_; }

 private:
  std::vector<std::pair<uint32_t, uint32_t>> ranges_;
};

struct Edge {
  enum class Kind : uint8_t {
    kBytes,  // one byte in [low, high]
    kEmpty,
    kCall,  // rule `what`, then `to`
    kLoop,  // loop `what`, then `to`
  };
  int32_t from = 0, to = 0;
  Kind kind = Kind::kEmpty;
  uint8_t low = 0, high = 0;
  int32_t what = 0;
};

class Rules {
 public:
  // A stretch of the graph with one way in and one way out. Used once, in one place.
  struct Part {
    int32_t from = 0, to = 0;
  };
  struct Rule {
    Part body;
    std::string name;  // for messages
  };
  struct Loop {
    Part body;
    int32_t least = 0, most = kUnbounded;
    bool may_be_empty = false;  // known after finish(): a round may read nothing
  };

  int32_t state();  // a new one
  void empty(int32_t from, int32_t to);
  void bytes(int32_t from, int32_t to, uint8_t low, uint8_t high);

  Part nothing();  // the empty text
  Part never();    // matches no text at all
  Part literal(std::string_view bytes);
  Part one_of(std::span<const std::string> literals);  // as one tree of their beginnings
  Part chars(const CharSet& set);                      // one code point as UTF-8
  Part sequence(Part a, Part b);
  Part sequence(std::initializer_list<Part> parts);
  Part choice(std::span<const Part> parts);
  Part optional(Part part);
  Part repeat(Part part, int32_t least, int32_t most);

  // A rule is declared first, so that it can be called before its body is known.
  int32_t declare(std::string name);
  void define(int32_t rule, Part body);
  Part call(int32_t rule);

  void problem(std::string message);  // the first one stays
  bool broken() const { return !problem_.empty(); }

  // Rule `root` is the grammar. Checks that it can end, drops ways that cannot, sorts the edges;
  // kInvalidValue when it is too large, left-recursive or has no text.
  Result<void> finish(int32_t root);

  // After finish().
  std::span<const Edge> edges_of(int32_t state) const {
    return {edges_.data() + begins_[state], begins_[state + 1] - begins_[state]};
  }
  // The body of a rule or loop ends here.
  bool ends(int32_t state) const { return ends_[state]; }
  // Nothing but an end is reached from here: a call that returns here needs no frame.
  bool only_ends(int32_t state) const { return only_ends_[state]; }
  std::span<const Edge> edges() const { return edges_; }
  const Rule& rule(int32_t index) const { return rules_[index]; }
  const Loop& loop(int32_t index) const { return loops_[index]; }
  int32_t root() const { return root_; }

 private:
  void add(Edge edge);
  void drop_dead_ends();
  void sort_edges();
  std::vector<bool> states_that_may_be_empty() const;
  Result<void> check_recursion(const std::vector<bool>& may_be_empty) const;
  void check_loops(const std::vector<bool>& may_be_empty);

  int32_t states_ = 0, root_ = 0;
  std::vector<Edge> edges_;
  std::vector<Rule> rules_;
  std::vector<Loop> loops_;
  std::vector<uint32_t> begins_;
  std::vector<bool> ends_, only_ends_;
  std::string problem_;
};

}  // namespace ocelli
