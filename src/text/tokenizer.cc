#include "text/tokenizer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "text/pre_tokenize.h"
#include "text/unicode.h"

namespace ocelli {
namespace {

constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();
constexpr size_t kAddedMax = 4096;
constexpr int kTokensMax = 1 << 24;
// A well-mixed hash never comes near this at two thirds load; crafted merges are refused instead of
// slow.
constexpr uint32_t kProbesMax = 1024;

uint32_t hash_pair(uint32_t left, uint32_t right) {
  uint64_t key = (uint64_t{left} << 32 | right) * 0x9e3779b97f4a7c15u;
  key ^= key >> 29;
  key *= 0xbf58476d1ce4e5b9u;
  return static_cast<uint32_t>(key >> 32);
}

std::unexpected<Error> invalid(std::string message) {
  return fail(Status::kInvalidTokenizer, "tokenizer: " + std::move(message));
}

}  // namespace

// Working memory of one encode() call, reused from word to word.
struct Tokenizer::Scratch {
  struct Symbol {
    uint32_t id;
    uint32_t previous;
    uint32_t next;
    uint32_t rank;  // of the merge with the next symbol, kNoMerge when there is none
  };
  std::vector<Symbol> symbols;
  std::vector<uint64_t>
      heap;  // rank << 32 | symbol: the smallest is the leftmost pair of the lowest rank
};

Result<Tokenizer> Tokenizer::open(const TokenizerData& data) {
  Tokenizer out;
  out.bytes_ = data.bytes;
  out.ends_ = data.ends;
  out.merges_ = data.merges;
  out.tokens_ = data.tokens;

  if (data.tokens < 256 || data.tokens > kTokensMax)
    return invalid("tokens is " + std::to_string(data.tokens) + ", must be 256 to " +
                   std::to_string(kTokensMax));
  if (data.ends.size() < static_cast<size_t>(data.tokens))
    return invalid("ends has " + std::to_string(data.ends.size()) + " entries, must have " +
                   std::to_string(data.tokens));
  uint32_t previous = 0;
  for (int id = 0; id < data.tokens; ++id) {
    const uint32_t end = data.ends[static_cast<size_t>(id)];
    if (end < previous || end > data.bytes.size())
      return invalid("end of token " + std::to_string(id) + " is " + std::to_string(end) +
                     ", must be " + std::to_string(previous) + " to " +
                     std::to_string(data.bytes.size()));
    previous = end;
  }

  if (data.added.size() > kAddedMax)
    return invalid(std::to_string(data.added.size()) + " added tokens, at most " +
                   std::to_string(kAddedMax));
  out.added_ = data.added;
  std::sort(out.added_.begin(), out.added_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (size_t i = 0; i < out.added_.size(); ++i) {
    const AddedToken& token = out.added_[i];
    const std::string name = "added token " + std::to_string(token.id);
    if (token.id < 0 || token.id >= data.tokens)
      return invalid(name + ", must be 0 to " + std::to_string(data.tokens - 1));
    if (token.content.empty()) return invalid(name + " has no content");
    if (utf8_valid_prefix(token.content) != token.content.size())
      return invalid(name + " is not valid UTF-8");
    if (out.token_bytes(token.id) != token.content)
      return invalid(name + " differs from its bytes");
    if (i > 0 && out.added_[i - 1].content == token.content)
      return invalid(name + " has the same content as added token " +
                     std::to_string(out.added_[i - 1].id));
    out.added_by_id_.push_back(static_cast<int32_t>(i));
  }
  std::sort(out.added_by_id_.begin(), out.added_by_id_.end(), [&](int32_t a, int32_t b) {
    return out.added_[static_cast<size_t>(a)].id < out.added_[static_cast<size_t>(b)].id;
  });
  for (size_t first = 0, i = 0; first <= 256; ++first) {
    while (i < out.added_.size() && static_cast<uint8_t>(out.added_[i].content[0]) < first) ++i;
    out.added_first_[first] = static_cast<uint16_t>(i);
  }

  out.byte_ids_.fill(-1);
  for (int id = data.tokens - 1; id >= 0; --id) {
    const std::string_view text = out.token_bytes(id);
    if (text.size() == 1 && !out.is_added(id)) out.byte_ids_[static_cast<uint8_t>(text[0])] = id;
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (out.byte_ids_[byte] < 0)
      return invalid("no token for the single byte " + std::to_string(byte));
  }
  OCELLI_TRY_VOID(out.index_merges());
  return out;
}

Result<void> Tokenizer::index_merges() {
  if (merges_.size() % 4 != 0 || merges_.size() / 4 > static_cast<size_t>(kTokensMax))
    return invalid("merges has " + std::to_string(merges_.size()) +
                   " numbers, must be 4 for each of at most " + std::to_string(kTokensMax) +
                   " merges");
  const uint32_t count = static_cast<uint32_t>(merges_.size() / 4);
  merge_slots_.assign(std::bit_ceil(size_t{count} + count / 2 + 1), 0);
  const size_t mask = merge_slots_.size() - 1;
  for (uint32_t rank = 0; rank < count; ++rank) {
    const std::span<const uint32_t> row = merges_.subspan(size_t{rank} * 4, 4);
    const std::string name = "merge " + std::to_string(rank);
    for (int i = 0; i < 3; ++i) {
      const uint32_t id = row[static_cast<size_t>(i)];
      if (id >= static_cast<uint32_t>(tokens_))
        return invalid(name + " names token " + std::to_string(id) + ", must be 0 to " +
                       std::to_string(tokens_ - 1));
    }
    const std::string_view left = token_bytes(static_cast<int32_t>(row[0]));
    const std::string_view right = token_bytes(static_cast<int32_t>(row[1]));
    const std::string_view merged = token_bytes(static_cast<int32_t>(row[2]));
    if (left.empty() || right.empty() || merged.size() != left.size() + right.size() ||
        !merged.starts_with(left) || !merged.ends_with(right))
      return invalid(name + " makes token " + std::to_string(row[2]) +
                     ", which is not its two parts joined");
    size_t slot = hash_pair(row[0], row[1]) & mask;
    for (uint32_t probes = 0; merge_slots_[slot] != 0; slot = (slot + 1) & mask) {
      const uint32_t* other = &merges_[size_t{merge_slots_[slot] - 1} * 4];
      if (other[0] == row[0] && other[1] == row[1])
        break;  // of equal pairs the last counts, as in a Rust map
      if (++probes > kProbesMax) return invalid(name + " collides with too many others");
    }
    merge_slots_[slot] = rank + 1;
  }
  return {};
}

uint32_t Tokenizer::find_merge(uint32_t left, uint32_t right) const {
  const size_t mask = merge_slots_.size() - 1;
  for (size_t slot = hash_pair(left, right) & mask; merge_slots_[slot] != 0;
       slot = (slot + 1) & mask) {
    const uint32_t rank = merge_slots_[slot] - 1;
    const uint32_t* row = &merges_[size_t{rank} * 4];
    if (row[0] == left && row[1] == right) return rank;
  }
  return kNoMerge;
}

void Tokenizer::encode(std::string_view text, bool match_added, std::vector<int32_t>& ids) const {
  std::string repaired;
  if (utf8_valid_prefix(text) != text.size()) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  if (!match_added) return encode_plain(text, ids);
  split_added(
      text, [&](std::string_view plain) { encode_plain(plain, ids); },
      [&](int32_t id) { ids.push_back(id); });
}

void Tokenizer::encode_plain(std::string_view text, std::vector<int32_t>& ids) const {
  std::string normalized;
  if (normalize_nfc(text, normalized)) text = normalized;
  Scratch scratch;
  for (size_t at = 0; at < text.size();) {
    const size_t end = next_piece(text, at);
    encode_word(text.substr(at, end - at), scratch, ids);
    at = end;
  }
}

// The pair of lowest rank is merged first, of equal ranks the leftmost. A heap entry is stale when
// its symbol has been swallowed or has got another neighbour; then its rank no longer is the
// symbol's.
void Tokenizer::encode_word(std::string_view word, Scratch& scratch,
                            std::vector<int32_t>& ids) const {
  auto& [symbols, heap] = scratch;
  const auto later = std::greater<uint64_t>();
  const uint32_t count = static_cast<uint32_t>(word.size());
  symbols.resize(count);
  heap.clear();
  for (uint32_t i = 0; i < count; ++i)
    symbols[i] = {static_cast<uint32_t>(byte_ids_[static_cast<uint8_t>(word[i])]), i - 1, i + 1,
                  kNoMerge};
  for (uint32_t i = 0; i + 1 < count; ++i) {
    symbols[i].rank = find_merge(symbols[i].id, symbols[i + 1].id);
    if (symbols[i].rank != kNoMerge) heap.push_back(uint64_t{symbols[i].rank} << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), later);

  const auto pair_again = [&](uint32_t i) {
    const uint32_t next = symbols[i].next;
    symbols[i].rank = next < count ? find_merge(symbols[i].id, symbols[next].id) : kNoMerge;
    if (symbols[i].rank == kNoMerge) return;
    heap.push_back(uint64_t{symbols[i].rank} << 32 | i);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const uint32_t rank = static_cast<uint32_t>(heap.back() >> 32);
    const uint32_t i = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    if (symbols[i].rank != rank) continue;
    const uint32_t swallowed = symbols[i].next;
    symbols[i].id = merges_[size_t{rank} * 4 + 2];
    symbols[i].next = symbols[swallowed].next;
    symbols[swallowed].rank = kNoMerge;
    if (symbols[i].next < count) symbols[symbols[i].next].previous = i;
    pair_again(i);
    if (i > 0)
      pair_again(symbols[i].previous);  // symbol 0 is never swallowed: it is the first of the chain
  }
  for (uint32_t i = 0; i < count; i = symbols[i].next)
    ids.push_back(static_cast<int32_t>(symbols[i].id));
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= tokens_) return {};
  const uint32_t begin = id == 0 ? 0 : ends_[static_cast<size_t>(id) - 1];
  const uint32_t end = ends_[static_cast<size_t>(id)];
  return {reinterpret_cast<const char*>(bytes_.data()) + begin, end - begin};
}

const AddedToken* Tokenizer::find_added_by_id(int32_t id) const {
  const auto found = std::lower_bound(added_by_id_.begin(), added_by_id_.end(), id,
                                      [&](int32_t index, int32_t wanted) {
                                        return added_[static_cast<size_t>(index)].id < wanted;
                                      });
  if (found == added_by_id_.end() || added_[static_cast<size_t>(*found)].id != id) return nullptr;
  return &added_[static_cast<size_t>(*found)];
}

bool Tokenizer::is_added(int32_t id) const { return find_added_by_id(id) != nullptr; }

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = find_added_by_id(id);
  return token != nullptr && token->special;
}

std::optional<int32_t> Tokenizer::find_added(std::string_view content) const {
  const auto found = std::lower_bound(
      added_.begin(), added_.end(), content,
      [](const AddedToken& token, std::string_view wanted) { return token.content < wanted; });
  if (found == added_.end() || found->content != content) return std::nullopt;
  return found->id;
}

const AddedToken* Tokenizer::match_added_at(std::string_view text, size_t at) const {
  const uint8_t first = static_cast<uint8_t>(text[at]);
  for (size_t i = added_first_[first + 1]; i-- > added_first_[first];) {
    if (text.substr(at).starts_with(added_[i].content))
      return &added_[i];  // extensions sort after their prefix
  }
  return nullptr;
}

}  // namespace ocelli
