#include "grammar/matcher.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace ocelli {

std::span<const uint32_t> Grammar::mask(int32_t state) {
  const auto [entry, fresh] = masks_.try_emplace(state);
  std::vector<uint32_t>& bits = entry->second;
  if (!fresh) return bits;
  bits.assign(vocabulary_.words(), 0);
  // at[k]: the state after the first k bytes of the token looked at. Those up to what it shares
  // with the last one still hold; from `dead` on none is alive.
  std::array<int32_t, kTokenBytesMax + 1> at;
  at[0] = state;
  size_t dead = kTokenBytesMax + 1;
  const auto& sorted = vocabulary_.sorted();
  for (size_t i = 0; i < sorted.size();) {
    const auto [id, shared] = sorted[i++];
    if (shared >= dead) continue;
    const std::string_view bytes = vocabulary_.bytes(id);
    size_t length = shared;
    dead = kTokenBytesMax + 1;
    while (length < bytes.size()) {
      const int32_t next = automaton_.next(at[length], static_cast<uint8_t>(bytes[length]));
      if (next == Automaton::kDead) {
        dead = length + 1;
        break;
      }
      at[++length] = next;
    }
    if (dead > kTokenBytesMax) {
      bits[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    } else if (dead == 1) {
      i = vocabulary_.first_with(static_cast<uint8_t>(bytes[0]) + size_t{1});
      dead = kTokenBytesMax + 1;
    }
  }
  return bits;
}

void Grammar::trim() {
  const uint32_t generation = automaton_.generation();
  automaton_.trim();
  if (masks_.size() > kMasksKept || automaton_.generation() != generation) masks_.clear();
}

size_t Grammar::bytes() const {
  return automaton_.bytes() + masks_.size() * vocabulary_.words() * sizeof(uint32_t);
}

void Matcher::settle() {
  Automaton& automaton = grammar_->automaton();
  generation_ = automaton.generation();
  state_ = automaton.start();
  for (const char byte : text_) {
    state_ = automaton.next(state_, static_cast<uint8_t>(byte));
    if (state_ == Automaton::kDead) return;  // only when a limit was met
  }
}

Result<std::span<const uint32_t>> Matcher::mask() {
  grammar_->trim();
  if (generation_ != grammar_->automaton().generation()) settle();
  if (state_ != Automaton::kDead) {
    const auto bits = grammar_->mask(state_);
    const bool any = std::ranges::any_of(bits, [](uint32_t word) { return word != 0; });
    if (!grammar_->automaton().exhausted() && (any || may_end())) return bits;
  }
  return fail(Status::kInvalidValue,
              grammar_->automaton().exhausted()
                  ? "the grammar became too ambiguous to follow after " +
                        std::to_string(text_.size()) + " bytes"
                  : "no token of the vocabulary continues the grammar after " +
                        std::to_string(text_.size()) + " bytes");
}

bool Matcher::accept(int32_t token) {
  Automaton& automaton = grammar_->automaton();
  if (generation_ != automaton.generation()) settle();
  const std::string_view bytes = grammar_->vocabulary().bytes(token);
  int32_t state = state_;
  for (const char byte : bytes) {
    if (state == Automaton::kDead) return false;
    state = automaton.next(state, static_cast<uint8_t>(byte));
  }
  if (bytes.empty() || state == Automaton::kDead) return false;
  state_ = state;
  text_ += bytes;
  return true;
}

bool Matcher::may_end() const {
  return state_ != Automaton::kDead && grammar_->automaton().accepts(state_);
}

bool Matcher::must_end() const { return may_end() && !grammar_->automaton().goes_on(state_); }

}  // namespace ocelli
