#include "convert/synth_tokenizer.h"

#include <string_view>

#include "base/check.h"

namespace ocelli {
namespace {

// A word may begin with a space, which is the likeliest first letter of a piece.
constexpr std::string_view kFirst = " etaoinshrdlucmfwypvbgkjqxz";
constexpr std::string_view kNext = "etaoinshrdlucmfwypvbgkjqxz";
constexpr int kFirsts = static_cast<int>(kFirst.size());
constexpr int kNexts = static_cast<int>(kNext.size());

struct Added {
  std::string_view content;
  bool special;
};
constexpr Added kAdded[] = {
    {"<|endoftext|>", true},        {"<|im_start|>", true},       {"<|im_end|>", true},
    {"<|object_ref_start|>", true}, {"<|object_ref_end|>", true}, {"<|box_start|>", true},
    {"<|box_end|>", true},          {"<|quad_start|>", true},     {"<|quad_end|>", true},
    {"<|vision_start|>", true},     {"<|vision_end|>", true},     {"<|vision_pad|>", true},
    {"<|image_pad|>", true},        {"<|video_pad|>", true},      {"<tool_call>", false},
    {"</tool_call>", false},        {"<|fim_prefix|>", false},    {"<|fim_middle|>", false},
    {"<|fim_suffix|>", false},      {"<|fim_pad|>", false},       {"<|repo_name|>", false},
    {"<|file_sep|>", false}};
constexpr int kAddedTokens = static_cast<int>(std::size(kAdded));

class Builder {
 public:
  explicit Builder(int ordinary) : ordinary_(ordinary) {
    for (int byte = 0; byte < 256; ++byte) {
      tables_.bytes.push_back(static_cast<uint8_t>(byte));
      end_token();
    }
  }

  bool full() const { return tables_.tokens >= ordinary_; }

  // The token of two joined ones; its id. Only while not full.
  int merge(int left, int right) {
    for (const int part : {left, right}) {
      const uint32_t begin = part == 0 ? 0 : tables_.ends[part - 1];
      for (uint32_t i = begin; i < tables_.ends[part]; ++i) {
        const uint8_t byte = tables_.bytes[i];
        tables_.bytes.push_back(byte);
      }
    }
    tables_.merges.insert(tables_.merges.end(),
                          {static_cast<uint32_t>(left), static_cast<uint32_t>(right),
                           static_cast<uint32_t>(tables_.tokens), 0});
    end_token();
    return tables_.tokens - 1;
  }

  TokenizerTables finish() {
    for (const Added& token : kAdded) {
      tables_.added.push_back({tables_.tokens, std::string(token.content), token.special});
      tables_.bytes.insert(tables_.bytes.end(), token.content.begin(), token.content.end());
      end_token();
    }
    return std::move(tables_);
  }

 private:
  void end_token() {
    tables_.ends.push_back(static_cast<uint32_t>(tables_.bytes.size()));
    ++tables_.tokens;
  }

  int ordinary_;
  TokenizerTables tables_;
};

// Calls visit(a, b, c, d) for all combinations of four letters by rising sum of their indices,
// until it returns false.
template <class Visit>
void by_likelihood(Visit visit) {
  const int sum_max = kFirsts - 1 + 3 * (kNexts - 1);
  for (int sum = 0; sum <= sum_max; ++sum) {
    for (int a = 0; a < kFirsts && a <= sum; ++a) {
      for (int b = 0; b < kNexts && a + b <= sum; ++b) {
        for (int c = 0; c < kNexts && a + b + c <= sum; ++c) {
          const int d = sum - a - b - c;
          if (d < kNexts && !visit(a, b, c, d)) return;
        }
      }
    }
  }
}

}  // namespace

TokenizerTables rule_tokenizer(int tokens) {
  OCELLI_CHECK(tokens >= 512 && tokens <= 200'000);
  Builder builder(tokens - kAddedTokens);
  std::vector<int> pairs(static_cast<size_t>(kFirsts * kNexts), -1);  // ids, -1: did not fit
  for (int sum = 0; sum <= kFirsts + kNexts; ++sum) {
    for (int a = 0; a < kFirsts && a <= sum; ++a) {
      const int b = sum - a;
      if (b < kNexts && !builder.full())
        pairs[static_cast<size_t>(a * kNexts + b)] = builder.merge(kFirst[a], kNext[b]);
    }
  }
  by_likelihood([&](int a, int b, int c, int d) {
    if (builder.full()) return false;
    // The second pair begins with a letter: kFirst has the space in front of those of kNext.
    builder.merge(pairs[static_cast<size_t>(a * kNexts + b)],
                  pairs[static_cast<size_t>((c + 1) * kNexts + d)]);
    return true;
  });
  OCELLI_CHECK(builder.full());
  return builder.finish();
}

}  // namespace ocelli
