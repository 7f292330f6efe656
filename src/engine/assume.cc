// Scheduler::assume: a prompt that counts as computed without having been, for measuring what a
// long context costs (`ocelli bench --context`). Engine::request_assume calls it. Surprise: what
// such a sequence computes is never found by others, nor does it take anything over.
#include <vector>

#include "base/scramble.h"
#include "engine/scheduler.h"

namespace ocelli {
namespace {

constexpr int kNoiseRows = 61;  // rows of made-up values repeat after so many tokens
constexpr uint64_t kNoiseKey = 0x6f63656c6c69u;

// Deviation 1, mean 0: what normed inputs times weights give, roughly.
std::vector<float> noise(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    const auto uniform = static_cast<int32_t>(bits_at(kNoiseKey, i) >> 40) - (1 << 23);
    values[i] = static_cast<float>(uniform) * (1.7320508f / (1 << 23));
  }
  return values;
}

}  // namespace

Result<void> Scheduler::assume(Request& request, int tokens) {
  const auto refuse = [](const std::string& why) {
    return fail(Status::kInvalidArgument, "tokens cannot be assumed: " + why);
  };
  Sequence& sequence = request.sequences.front();
  if (request.sequences.size() > 1 || !request.images.empty())
    return refuse("the request has several choices or images");
  if (request.finished || sequence.begun > 0)
    return refuse("the request has been computed already");
  if (tokens <= 0 || tokens % kKvBlock != 0 || tokens >= request.prompt_tokens) {
    return refuse("their number must be a multiple of " + std::to_string(kKvBlock) + " below " +
                  std::to_string(request.prompt_tokens) + ", the prompt's, got " +
                  std::to_string(tokens));
  }
  const int blocks = tokens / kKvBlock;
  if (blocks > kv_.free_blocks()) {
    return fail(Status::kOutOfMemory, std::to_string(tokens) + " tokens need " +
                                          std::to_string(blocks) + " blocks of the KV cache, " +
                                          std::to_string(kv_.free_blocks()) + " are free");
  }
  for (int i = 0; i < blocks; ++i) sequence.blocks.push_back(kv_.take());
  const int64_t width = int64_t{config_.text.kv_heads} * config_.text.head_dim;
  const std::vector<float> rows = noise(2 * kNoiseRows * width);  // keys, then values
  for (int layer = 0; layer < config_.text.layers; ++layer) {
    for (int token = 0; token < tokens; ++token) {
      const float* row = rows.data() + (token + layer) % kNoiseRows * width;
      kv_store(kv_.layer(layer), sequence.blocks[static_cast<size_t>(token / kKvBlock)],
               token % kKvBlock, row, row + kNoiseRows * width);
    }
  }
  sequence.computed = sequence.begun = tokens;
  sequence.assumed = true;
  return {};
}

}  // namespace ocelli
