// Hostile tokenizer tensors and texts: open() refuses or encode() gives back exactly the normalised
// text.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

// Layout of an input: one byte each for extra tokens, merges and added tokens, then their numbers,
// then text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  size_t at = 0;
  const auto next = [&] { return at < size ? data[at++] : uint8_t{0}; };
  const size_t extra = next() % 16, merges_count = next() % 16, added_count = next() % 4;

  std::vector<uint8_t> bytes;
  std::vector<uint32_t> ends;
  for (int byte = 0; byte < 256; ++byte) {
    bytes.push_back(static_cast<uint8_t>(byte));
    ends.push_back(static_cast<uint32_t>(bytes.size()));
  }
  std::vector<uint32_t> merges;
  for (size_t i = 0; i < merges_count;
       ++i) {  // most are sound, so that the merging itself is reached
    const uint32_t left = next() % static_cast<uint32_t>(ends.size());
    const uint32_t right = next() % static_cast<uint32_t>(ends.size());
    const uint32_t merged = static_cast<uint32_t>(ends.size());
    for (const uint32_t id : {left, right}) {
      for (uint32_t k = id == 0 ? 0 : ends[id - 1]; k < ends[id]; ++k) bytes.push_back(bytes[k]);
    }
    ends.push_back(static_cast<uint32_t>(bytes.size()));
    merges.insert(merges.end(), {left, right, merged, 0});
  }
  for (size_t i = 0; i < extra; ++i) {
    for (size_t length = next() % 6; length > 0; --length) bytes.push_back(next());
    ends.push_back(static_cast<uint32_t>(bytes.size()));
  }
  std::vector<AddedToken> added;
  for (size_t i = 0; i < added_count && i < extra; ++i) {
    const size_t id = ends.size() - 1 - i;
    added.push_back({static_cast<int32_t>(id),
                     std::string(bytes.begin() + ends[id - 1], bytes.begin() + ends[id]),
                     next() % 2 == 0});
  }
  if (next() % 8 == 0) {  // damage one number
    const uint32_t value = next() % 3 == 0 ? 0xffffffffu : next();
    if (!merges.empty() && next() % 2 == 0)
      merges[next() % merges.size()] = value;
    else
      ends[(next() * 256u + next()) % ends.size()] = value;
  }
  const auto tokenizer =
      Tokenizer::open({bytes, ends, merges, added, static_cast<int>(ends.size())});
  if (!tokenizer) return 0;

  const std::string_view text(reinterpret_cast<const char*>(data) + at, size - at);
  std::string want = replace_invalid_utf8(text), normalized;
  if (normalize_nfc(want, normalized)) want = normalized;
  std::vector<int32_t> ids;
  tokenizer->encode(text, false, ids);
  std::string got;
  for (const int32_t id : ids) got += tokenizer->token_bytes(id);
  OCELLI_CHECK(got == want);

  ids.clear();
  tokenizer->encode(text, true, ids);
  for (const int32_t id : ids) OCELLI_CHECK(!tokenizer->token_bytes(id).empty());
  return 0;
}
