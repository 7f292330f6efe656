#include "grammar/automaton.h"

#include <algorithm>

#include "grammar/vocabulary.h"

namespace ocelli {
namespace {

constexpr int32_t kNoFrame = -1;

size_t mix(size_t hash, uint32_t value) {
  hash ^= value + 0x9E3779B9u + (hash << 6) + (hash >> 2);
  return hash;
}

}  // namespace

size_t Automaton::FrameHash::operator()(const Frame& frame) const {
  size_t hash = mix(17, static_cast<uint32_t>(frame.to));
  hash = mix(hash, static_cast<uint32_t>(frame.parent));
  hash = mix(hash, static_cast<uint32_t>(frame.loop));
  return mix(hash, static_cast<uint32_t>(frame.round));
}

Automaton::Automaton(Rules rules) : rules_(std::move(rules)), bytes_max_(kAutomatonBytes) {
  classify();
  begin();
}

// Bytes between which no edge tells a difference share a column of the table.
void Automaton::classify() {
  std::array<bool, 257> cut{};
  cut[0] = true;
  for (const Edge& edge : rules_.edges()) {
    if (edge.kind != Edge::Kind::kBytes) continue;
    cut[edge.low] = true;
    cut[size_t{edge.high} + 1] = true;
  }
  uint8_t current = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte > 0 && cut[byte]) ++current;
    class_of_[byte] = current;
  }
  classes_ = size_t{current} + 1;
}

void Automaton::begin() {
  nodes_.clear();
  places_.clear();
  table_.clear();
  by_hash_.clear();
  frames_.clear();
  nearby_frames_.clear();
  frame_ids_.clear();
  seen_.clear();
  accepts_ = false;
  reach({rules_.rule(rules_.root()).body.from, kNoFrame});
  intern();
}

// Of the states alone: an entry of a hash table costs its content, a link and its hash.
size_t Automaton::own_bytes() const {
  return nodes_.size() * (sizeof(Node) + 32) + places_.size() * sizeof(Place) +
         table_.size() * sizeof(int32_t) + frames_.size() * (2 * sizeof(Frame) + 28);
}

size_t Automaton::bytes() const { return rules_.edges().size() * (sizeof(Edge) + 8) + own_bytes(); }

bool Automaton::trim(std::list<int32_t>& held) {
  if (!exhausted_ && own_bytes() < bytes_max_) return false;
  exhausted_ = false;
  const std::vector<Node> nodes = std::move(nodes_);
  const std::vector<Place> places = std::move(places_);
  const std::vector<Frame> frames = std::move(frames_);
  begin();
  // A frame's parent was made before it, so has a lower number.
  std::vector<int32_t> renamed(frames.size(), kUnknown), chain;
  const auto rename = [&](int32_t index) {
    for (chain.clear(); index != kNoFrame && renamed[index] == kUnknown;
         index = frames[index].parent)
      chain.push_back(index);
    int32_t parent = index == kNoFrame ? kNoFrame : renamed[index];
    while (!chain.empty()) {
      Frame content = frames[chain.back()];
      content.parent = parent;
      parent = renamed[chain.back()] = frame(content);
      chain.pop_back();
    }
    return parent;
  };
  for (int32_t& state : held) {
    const Node& node = nodes[state];
    for (uint32_t i = 0; i < node.count; ++i) {
      const Place place = places[node.begin + i];
      found_.push_back({place.state, rename(place.frame)});
    }
    accepts_ = node.accepts;
    state = intern();
  }
  bytes_max_ = std::max(kAutomatonBytes, 2 * own_bytes());
  return true;
}

int32_t Automaton::frame(Frame content) {
  const auto [found, fresh] = frame_ids_.try_emplace(content, static_cast<int32_t>(frames_.size()));
  if (fresh) {
    frames_.push_back(content);
    nearby_frames_.push_back(kUnknown);
  }
  return found->second;
}

// A round that is as far from the bounds of its loop as `frame`'s, told apart only within the bytes
// of a short token: each round reads one at least.
int32_t Automaton::far_round(const Frame& frame) const {
  constexpr int32_t kNear = kShortTokenBytes + 1;
  const Rules::Loop& loop = rules_.loop(frame.loop);
  if (loop.may_be_empty) return frame.round;
  const bool open = loop.most == kUnbounded;
  if (!open && loop.most - frame.round <= kNear) return frame.round;
  if (loop.least - frame.round > kNear) return loop.least - kNear;
  return open || frame.round < loop.least ? frame.round : loop.most - kNear;
}

int32_t Automaton::nearby_frame(int32_t index) {
  std::vector<int32_t> chain;
  for (; index != kNoFrame && nearby_frames_[index] == kUnknown; index = frames_[index].parent)
    chain.push_back(index);
  int32_t parent = index == kNoFrame ? kNoFrame : nearby_frames_[index];
  for (; !chain.empty(); chain.pop_back()) {
    Frame content = frames_[chain.back()];
    content.parent = parent;
    if (content.loop >= 0) content.round = far_round(content);
    parent = frame(content);
    nearby_frames_[chain.back()] = parent;
  }
  return parent;
}

int32_t Automaton::nearby(int32_t state) {
  if (nodes_[state].nearby != kUnknown) return nodes_[state].nearby;
  const Node node = nodes_[state];
  for (uint32_t i = 0; i < node.count; ++i) {
    const Place place = places_[node.begin + i];
    found_.push_back({place.state, nearby_frame(place.frame)});
  }
  accepts_ = node.accepts;
  const int32_t found = intern();
  return nodes_[state].nearby = found;
}

// A body has ended: back to the caller, or into the next round.
void Automaton::leave(Place place) {
  if (place.frame == kNoFrame) {
    accepts_ = true;
    return;
  }
  const Frame top = frames_[place.frame];
  if (top.loop < 0) {
    todo_.push_back({top.to, top.parent});
    return;
  }
  const Rules::Loop& loop = rules_.loop(top.loop);
  const int32_t done = top.round + 1;
  if (done >= loop.least) todo_.push_back({top.to, top.parent});
  if (done >= loop.most) return;
  // In an open loop only the rounds still needed are told apart.
  const int32_t round = loop.most == kUnbounded ? std::min(done, loop.least) : done;
  todo_.push_back({loop.body.from, frame({top.to, top.parent, top.loop, round})});
}

// All places that can be reached without a byte; those that can read one are kept.
void Automaton::reach(Place place) {
  todo_.push_back(place);
  while (!todo_.empty()) {
    const Place at = todo_.back();
    todo_.pop_back();
    const uint64_t key =
        uint64_t{static_cast<uint32_t>(at.state)} << 32 | static_cast<uint32_t>(at.frame);
    if (!seen_.try_emplace(key, true).second) continue;
    if (seen_.size() > kPlacesMax) {
      exhausted_ = true;
      todo_.clear();
      return;
    }
    bool reads = false;
    for (const Edge& edge : rules_.edges_of(at.state)) {
      switch (edge.kind) {
        case Edge::Kind::kBytes:
          reads = true;
          break;
        case Edge::Kind::kEmpty:
          todo_.push_back({edge.to, at.frame});
          break;
        case Edge::Kind::kCall: {
          const bool tail = rules_.only_ends(edge.to);
          todo_.push_back({rules_.rule(edge.what).body.from,
                           tail ? at.frame : frame({edge.to, at.frame, -1, 0})});
          break;
        }
        case Edge::Kind::kLoop:
          todo_.push_back(
              {rules_.loop(edge.what).body.from, frame({edge.to, at.frame, edge.what, 0})});
          break;
      }
    }
    if (reads) found_.push_back(at);
    if (rules_.ends(at.state)) leave(at);
  }
}

// The node of the places found: an old one with the same places, else a new one.
int32_t Automaton::intern() {
  std::ranges::sort(found_);
  found_.erase(std::ranges::unique(found_).begin(), found_.end());
  size_t hash = accepts_;
  for (const Place& place : found_) {
    hash = mix(hash, static_cast<uint32_t>(place.state));
    hash = mix(hash, static_cast<uint32_t>(place.frame));
  }
  int32_t id = kDead;
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto entry = first; entry != last && id == kDead; ++entry) {
    const Node& node = nodes_[entry->second];
    const bool same = node.accepts == accepts_ && node.count == found_.size() &&
                      std::equal(found_.begin(), found_.end(), places_.begin() + node.begin);
    if (same) id = entry->second;
  }
  if (id == kDead) {
    id = static_cast<int32_t>(nodes_.size());
    nodes_.push_back(
        {static_cast<uint32_t>(places_.size()), static_cast<uint32_t>(found_.size()), accepts_});
    places_.insert(places_.end(), found_.begin(), found_.end());
    table_.insert(table_.end(), classes_, kUnknown);
    by_hash_.emplace(hash, id);
  }
  found_.clear();
  return id;
}

int32_t Automaton::step(int32_t state, uint8_t byte) {
  if (own_bytes() > bytes_max_ + kAutomatonBytesHard) exhausted_ = true;
  if (exhausted_) return kDead;
  const Node node = nodes_[state];
  seen_.clear();
  accepts_ = false;
  for (uint32_t i = 0; i < node.count; ++i) {
    const Place place = places_[node.begin + i];
    for (const Edge& edge : rules_.edges_of(place.state)) {
      if (edge.kind == Edge::Kind::kBytes && byte >= edge.low && byte <= edge.high)
        reach({edge.to, place.frame});
    }
  }
  if (exhausted_) {
    found_.clear();
    return kDead;
  }
  const int32_t next = found_.empty() && !accepts_ ? kDead : intern();
  table_[static_cast<size_t>(state) * classes_ + class_of_[byte]] = next;
  return next;
}

}  // namespace ocelli
