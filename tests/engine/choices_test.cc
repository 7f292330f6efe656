// What the same request gives twice: greedy answers, seeds, and several choices that share a
// prompt.
#include <algorithm>

#include "engine/fixture.h"

namespace ocelli::test {
namespace {

ordered_json sampled(const std::string& text, const ordered_json& fields) {
  ordered_json body = ask(text, fields);
  body["temperature"] = 1.2;
  body["ignore_eos"] = true;
  return body;
}

std::vector<int32_t> ids_of(const Reply& reply, int index = 0) {
  EXPECT_TRUE(reply.error.is_null()) << reply.error.dump();
  return reply.choices.count(index) ? reply.choices.at(index).token_ids : std::vector<int32_t>{};
}

TEST(Choices, GreedyAnswersRepeat) {
  std::vector<int32_t> first;
  for (const int threads : {1, 2}) {
    EngineDriver engine(container(), {{"context", 512}, {"threads", threads}});
    for (int i = 0; i < 3; ++i) {
      const std::vector<int32_t> ids = ids_of(run(engine, ask("the weather in London")));
      ASSERT_FALSE(ids.empty());
      if (first.empty()) first = ids;
      EXPECT_EQ(ids, first);
    }
    EXPECT_NE(ids_of(run(engine, ask("a name"))), first);
  }
}

TEST(Choices, ASeedRepeatsItsAnswer) {
  EngineDriver engine(container(), {{"context", 512}});
  const std::vector<int32_t> seven = ids_of(run(engine, sampled("hi", {{"seed", 7}})));
  EXPECT_EQ(ids_of(run(engine, sampled("hi", {{"seed", 7}}))), seven);
  EXPECT_NE(ids_of(run(engine, sampled("hi", {{"seed", 8}}))), seven);
  // Without one, each request draws its own; the engine's seed option makes runs repeat.
  const std::vector<int32_t> free = ids_of(run(engine, sampled("hi", nullptr)));
  EXPECT_NE(ids_of(run(engine, sampled("hi", nullptr))), free);
  std::vector<std::vector<int32_t>> firsts;
  for (const int seed : {5, 5, 6}) {
    EngineDriver other(container(), {{"context", 512}, {"seed", seed}});
    firsts.push_back(ids_of(run(other, sampled("hi", nullptr))));
  }
  EXPECT_EQ(firsts[0], firsts[1]);
  EXPECT_NE(firsts[0], firsts[2]);
}

TEST(Choices, SeveralChoicesEqualSeparateRequests) {
  EngineDriver engine(container(), {{"context", 512}});
  // Every alignment of the prompt's end with the blocks of the cache.
  for (int length = 1; length <= 16; ++length) {
    const std::string text(static_cast<size_t>(length), '7');
    const ordered_json fields = {{"seed", 40}, {"n", 3}, {"max_tokens", 20}, {"logprobs", true}};
    const Reply together = run(engine, sampled(text, fields));
    ASSERT_EQ(together.choices.size(), 3u) << together.error.dump();
    EXPECT_EQ(together.usage["completion_tokens"], 60);
    for (int i = 0; i < 3; ++i) {
      ordered_json own = fields;
      own["n"] = 1;
      own["seed"] = 40 + i;
      const Reply alone = run(engine, sampled(text, own));
      EXPECT_EQ(ids_of(together, i), ids_of(alone)) << length << " " << i;
      EXPECT_EQ(together.choices.at(i).logprobs, alone.choices.at(0).logprobs) << length;
      EXPECT_EQ(together.choices.at(i).text, alone.choices.at(0).text);
    }
    EXPECT_NE(ids_of(together, 0), ids_of(together, 1));
    expect_all_blocks_free(engine);
  }
}

TEST(Choices, ChoicesEndOnTheirOwn) {
  EngineDriver engine(container(), {{"context", 512}});
  const std::string many(40, '7');
  const Reply whole = run(engine, sampled(many, {{"seed", 3}, {"n", 3}}));
  const int32_t stop = ids_of(whole, 1).at(0);
  const Reply cut = run(engine, sampled(many, {{"seed", 3}, {"n", 3}, {"stop_token_ids", {stop}}}));
  EXPECT_EQ(ids_of(cut, 1), std::vector<int32_t>{stop});
  EXPECT_EQ(cut.choices.at(1).finish_reason, "stop");
  for (const int index : {0, 2}) {
    std::vector<int32_t> expected = ids_of(whole, index);
    const auto at = std::find(expected.begin(), expected.end(), stop);
    if (at != expected.end()) expected.erase(at + 1, expected.end());
    EXPECT_EQ(ids_of(cut, index), expected);
  }
  expect_all_blocks_free(engine);
}

TEST(Choices, AsManyAsSequencesNoMore) {
  EngineDriver engine(container(), {{"context", 512}, {"sequences_max", 4}});
  EXPECT_EQ(run(engine, ask("hi", {{"n", 4}})).choices.size(), 4u);
  const Reply refused = run(engine, ask("hi", {{"n", 5}}));
  EXPECT_EQ(refused.error["param"], "n");
  EXPECT_EQ(refused.error["message"], "n must be in [1, 4], got 5.");
  // Greedy choices are equal, not refused.
  const Reply greedy = run(engine, ask("hi", {{"n", 2}}));
  EXPECT_EQ(ids_of(greedy, 0), ids_of(greedy, 1));
}

}  // namespace
}  // namespace ocelli::test
