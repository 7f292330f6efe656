#include "grammar/matcher.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ocelli {

std::vector<uint32_t>& Grammar::kept(int32_t state, bool whole, bool& fresh) {
  const auto [entry, added] = masks_.try_emplace(int64_t{state} * 2 + whole);
  fresh = added;
  entry->second.used = ++turn_;
  if (fresh) entry->second.bits.assign(vocabulary_.words(), 0);
  return entry->second.bits;
}

// Adds those of the tokens that may come next in `state`.
void Grammar::walk(const TokenTree& tokens, int32_t state, std::vector<uint32_t>& bits) {
  // at[k]: the state after the first k bytes of the token looked at. Those up to what the next one
  // shares with it still hold.
  std::array<int32_t, kTokenBytesMax + 1> at;
  at[0] = state;
  for (size_t i = 0; i < tokens.size();) {
    const TokenTree::Token token = tokens[i];
    const char *byte = tokens.bytes(i), *end = tokens.bytes(i + 1);
    size_t depth = token.shared;
    int32_t now = at[depth];
    for (; byte < end; ++byte) {
      now = automaton_.next(now, static_cast<uint8_t>(*byte));
      if (now == Automaton::kDead) break;
      at[++depth] = now;
    }
    if (now != Automaton::kDead) {
      bits[token.id / 32] |= 1u << (token.id % 32);
      ++i;
    } else {
      i = depth == token.shared ? token.behind : tokens.behind(i, depth);
    }
  }
}

std::span<const uint32_t> Grammar::mask(int32_t state) {
  bool fresh = false;
  const int32_t nearby = automaton_.nearby(state);
  std::vector<uint32_t>& bits = kept(nearby, nearby == state, fresh);
  if (fresh) walk(vocabulary_.short_tokens(), nearby, bits);
  if (nearby == state) {
    if (fresh) walk(vocabulary_.long_tokens(), state, bits);
    return bits;
  }
  bits_ = bits;
  walk(vocabulary_.long_tokens(), state, bits_);
  return bits_;
}

void Grammar::trim() {
  if (automaton_.trim(held_)) return masks_.clear();
  while (masks_.size() > kMasksKept)
    masks_.erase(
        std::ranges::min_element(masks_, {}, [](const auto& entry) { return entry.second.used; }));
}

size_t Grammar::bytes() const {
  return automaton_.bytes() + (masks_.size() + 1) * vocabulary_.words() * sizeof(uint32_t);
}

Matcher::Matcher(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) {
  grammar_->held().push_front(grammar_->automaton().start());
  state_ = grammar_->held().begin();
}

Matcher::Matcher(const Matcher& other) : grammar_(other.grammar_), bytes_(other.bytes_) {
  grammar_->held().push_front(*other.state_);
  state_ = grammar_->held().begin();
}

Matcher& Matcher::operator=(Matcher other) noexcept {
  std::swap(grammar_, other.grammar_);
  std::swap(state_, other.state_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Matcher::~Matcher() {
  if (grammar_) grammar_->held().erase(state_);
}

Result<std::span<const uint32_t>> Matcher::mask() {
  grammar_->trim();
  const auto bits = grammar_->mask(*state_);
  const bool any = std::ranges::any_of(bits, [](uint32_t word) { return word != 0; });
  const bool exhausted = grammar_->automaton().exhausted();
  if (!exhausted && (any || may_end())) return bits;
  return fail(Status::kInvalidValue,
              (exhausted ? "the grammar became too ambiguous to follow after "
                         : "no token of the vocabulary continues the grammar after ") +
                  std::to_string(bytes_) + " bytes");
}

bool Matcher::accept(int32_t token) {
  const std::string_view bytes = grammar_->vocabulary().bytes(token);
  int32_t state = *state_;
  for (const char byte : bytes) {
    state = grammar_->automaton().next(state, static_cast<uint8_t>(byte));
    if (state == Automaton::kDead) return false;
  }
  if (bytes.empty()) return false;
  *state_ = state;
  bytes_ += bytes.size();
  return true;
}

bool Matcher::may_end() const { return grammar_->automaton().accepts(*state_); }

bool Matcher::must_end() const { return may_end() && !grammar_->automaton().goes_on(*state_); }

}  // namespace ocelli
