// Automaton: the states that a text can lead to in Rules, made one by one as they are met. A state
// is a set of places in the graph, each with its frames (what to go on with when a rule ends), so
// that a step is one look into a table once it has been made. Used by Matcher. Surprise: states
// are forgotten when they take too much memory; those that somebody holds get other numbers then.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "grammar/rules.h"

namespace ocelli {

inline constexpr size_t kAutomatonBytes = 2 << 20;      // of states, then they are forgotten
inline constexpr size_t kAutomatonBytesHard = 6 << 20;  // more, in the middle of one mask
inline constexpr size_t kPlacesMax = 4096;              // of one state

class Automaton {
 public:
  static constexpr int32_t kDead = -1;

  explicit Automaton(Rules rules);

  int32_t start() const { return 0; }
  // kDead when the byte is not allowed, or when a limit is reached (then exhausted() is true).
  int32_t next(int32_t state, uint8_t byte) {
    const int32_t known = table_[static_cast<size_t>(state) * classes_ + class_of_[byte]];
    return known != kUnknown ? known : step(state, byte);
  }
  bool accepts(int32_t state) const { return nodes_[state].accepts; }  // the text may end here
  bool goes_on(int32_t state) const { return nodes_[state].count > 0; }

  // A state from which the same texts of at most kShortTokenBytes lead on, and are kDead, as from
  // `state`: in it all counts are the same that are still far from their bounds. So the places in
  // the middle of a string of at most 200 characters have one such state.
  int32_t nearby(int32_t state);

  // Forgets states, if they take much memory or met a limit, and is true then. The held ones are
  // kept under new numbers, which it writes in their place. To be called between tokens.
  bool trim(std::list<int32_t>& held);
  bool exhausted() const { return exhausted_; }
  size_t bytes() const;

 private:
  static constexpr int32_t kUnknown = -2;
  struct Place {
    int32_t state, frame;
    auto operator<=>(const Place&) const = default;
  };
  // Where a rule returns to, or the round of a loop (`loop` >= 0). Frames with equal contents are
  // one frame.
  struct Frame {
    int32_t to, parent, loop, round;
    bool operator==(const Frame&) const = default;
  };
  struct FrameHash {
    size_t operator()(const Frame& frame) const;
  };
  struct Node {
    uint32_t begin, count;  // in places_
    bool accepts;
    int32_t nearby = kUnknown;
  };

  void begin();
  size_t own_bytes() const;
  int32_t step(int32_t state, uint8_t byte);
  int32_t frame(Frame content);
  int32_t far_round(const Frame& frame) const;
  int32_t nearby_frame(int32_t index);
  void reach(Place place);
  void leave(Place place);
  int32_t intern();
  void classify();

  Rules rules_;
  std::array<uint8_t, 256> class_of_{};
  size_t classes_ = 0;

  std::vector<Node> nodes_;
  std::vector<Place> places_;
  std::vector<int32_t> table_;  // [node, class of bytes] -> node, kDead or kUnknown
  std::unordered_multimap<size_t, int32_t> by_hash_;
  std::vector<Frame> frames_;
  std::vector<int32_t> nearby_frames_;  // of each frame, or kUnknown
  std::unordered_map<Frame, int32_t, FrameHash> frame_ids_;

  // Of the state being made.
  std::vector<Place> todo_, found_;
  std::unordered_map<uint64_t, bool> seen_;
  bool accepts_ = false;

  size_t bytes_max_ = 0;  // from which on states are forgotten
  bool exhausted_ = false;
};

}  // namespace ocelli
