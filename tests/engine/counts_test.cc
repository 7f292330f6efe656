// What a step of decoding costs, counted instead of timed: no memory but some small pieces for the
// events that it tells, an event for each token; and fewer steps than tokens where text repeats.
#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include "engine/fixture.h"

namespace {
std::atomic<int64_t> allocations{0};
}

void* operator new(size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  std::abort();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return operator new(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace ocelli::test {
namespace {

// Of an event's JSON and the strings in it; nothing grows with the model, the context or the rows.
constexpr int64_t kEventPieces = 60;

// The most allocations for a token while `count` requests are decoded together. They say "ababab",
// or what they like.
int64_t most_allocations(const char* kv, int count, bool repeat) {
  EngineDriver engine(container(), {{"threads", 2}, {"context", 512}, {"kv", kv}});
  ordered_json fields = {{"max_tokens", 300}, {"ignore_eos", true}};
  if (repeat) {
    std::vector<int32_t> ids(300);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = token_of(engine, i % 2 ? "a" : "b");
    fields["forced_token_ids"] = ids;
  }
  const std::string body = ask("Tell me about whales", fields).dump();
  std::vector<uint32_t> requests(static_cast<size_t>(count));
  for (uint32_t& request : requests) {
    EXPECT_EQ(ocelli_request_open(engine.handle(), body.data(), static_cast<uint32_t>(body.size()),
                                  &request),
              0);
  }
  int64_t most = 0, accepted = 0;
  for (int step = 0; step < 30; ++step) {
    uint32_t state = 0;
    const int64_t before = allocations;
    EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);
    EXPECT_EQ(state, 1u);
    const int64_t taken = allocations - before;
    const int64_t last = std::exchange(accepted, stats(engine)["accepted_tokens"].get<int64_t>());
    // Tables grow in the first steps.
    if (step > 10) most = std::max(most, taken / (count + accepted - last));
  }
  if (repeat && count < 8) EXPECT_GT(accepted, 60);
  for (const uint32_t request : requests)
    EXPECT_EQ(ocelli_request_close(engine.handle(), request), 0);
  return most;
}

TEST(Counts, AStepOfDecodingTakesNoMemoryButForItsEvents) {
  for (const char* kv : {"f16", "int8"}) {
    for (const int count : {1, 3, 8}) {
      EXPECT_LE(most_allocations(kv, count, false), kEventPieces) << kv << count;
      EXPECT_LE(most_allocations(kv, count, true), kEventPieces) << kv << count;
    }
  }
}

}  // namespace
}  // namespace ocelli::test
