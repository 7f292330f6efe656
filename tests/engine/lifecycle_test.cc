// Requests and engines from birth to end: cancelling in every phase, closing, taking turns in a
// full cache, limits of the queues, handles that outlive what they named.
#include <algorithm>

#include "base/status.h"
#include "engine/fixture.h"
#include "engine/limits.h"

namespace ocelli::test {
namespace {

constexpr auto kStale = static_cast<int32_t>(Status::kStaleHandle);

// Cancels and takes one step: everything about the request must be over and given back.
void expect_cancel_ends(EngineDriver& engine, std::vector<Reply>& replies, size_t which) {
  ASSERT_TRUE(replies[which].usage.is_null()) << "it was over before the cancel";
  EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[which].handle), 0);
  bool more = true;
  engine.step_once(replies, more);
  EXPECT_FALSE(replies[which].usage.is_null());
  EXPECT_FALSE(replies[which].prompt.is_null());
  for (const auto& [index, choice] : replies[which].choices) {
    EXPECT_EQ(choice.finish_reason, "abort") << index;
    EXPECT_TRUE(choice.stop_reason.is_null());
  }
  EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[which].handle), 0);  // again: nothing
  if (replies.size() == 1) {
    EXPECT_FALSE(more);
    expect_all_blocks_free(engine);
  }
}

TEST(Lifecycle, CancelWhileWaiting) {
  EngineDriver engine(container(), {{"context", 512}, {"sequences_max", 1}});
  const Reply alone = run(engine, ask("hi"));
  std::vector<Reply> replies{engine.open(ask("hi"), ""), engine.open(ask("you"), "")};
  bool more = true;
  engine.step_once(replies, more);
  expect_cancel_ends(engine, replies, 1);
  EXPECT_EQ(replies[1].choices.at(0).token_ids.size(), 0u);
  EXPECT_EQ(replies[1].usage["completion_tokens"], 0);
  engine.finish(replies);
  EXPECT_EQ(replies[0].choices.at(0).token_ids, alone.choices.at(0).token_ids);
  expect_all_blocks_free(engine);
}

TEST(Lifecycle, CancelWhileAnImageIsEncoded) {
  EngineDriver engine(container(), {{"context", 1024}});
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(560, 560), media), 0);
  // Beside a stream an image is encoded in small slices.
  std::vector<Reply> replies{
      engine.open(ask("hi", {{"max_tokens", 60}, {"ignore_eos", true}}), "")};
  bool more = true;
  engine.step_once(replies, more);
  ordered_json body = ask("");
  body["messages"] = user(parts(image_part(media), image_part(media)));
  replies.push_back(engine.open(body, ""));
  ASSERT_TRUE(replies[1].error.is_null()) << replies[1].error.dump();
  engine.step_once(replies, more);
  const uint8_t* data = nullptr;
  uint32_t bytes = 0, rows = 0, columns = 0;
  EXPECT_EQ(ocelli_dump(engine.handle(), replies[1].handle, "vision_1", 8, &data, &bytes, &rows,
                        &columns),
            static_cast<int32_t>(Status::kNotReady));
  expect_cancel_ends(engine, replies, 1);
  EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[0].handle), 0);
  engine.finish(replies);
  expect_all_blocks_free(engine);
}

TEST(Lifecycle, CancelInsideAPrompt) {
  EngineDriver engine(container(), {{"context", 1024}});
  std::vector<Reply> replies{engine.open(ask(std::string(600, '7'), {{"n", 3}}), "")};
  bool more = true;
  engine.step_once(replies, more);  // 256 of its rows
  EXPECT_LT(stats(engine)["kv_blocks_free"], stats(engine)["kv_blocks"]);
  expect_cancel_ends(engine, replies, 0);
  EXPECT_EQ(replies[0].choices.size(), 3u);
}

TEST(Lifecycle, CancelWhileDecoding) {
  EngineDriver engine(container(), {{"context", 512}, {"guess", false}});  // a token a step
  std::vector<Reply> replies{engine.open(
      ask(std::string(33, '7'), {{"n", 3}, {"max_tokens", 50}, {"ignore_eos", true}}), "")};
  bool more = true;
  for (int i = 0; i < 5; ++i) engine.step_once(replies, more);
  EXPECT_EQ(replies[0].choices.at(2).token_ids.size(), 5u);
  expect_cancel_ends(engine, replies, 0);
  EXPECT_EQ(replies[0].usage["completion_tokens"], 15);
}

TEST(Lifecycle, CloseInAnyPhase) {
  EngineDriver engine(container(), {{"context", 512}});
  for (const int steps : {0, 1, 2, 3, 6}) {
    std::vector<Reply> replies{engine.open(ask(std::string(300, '7'), {{"n", 2}}), ""),
                               engine.open(ask("hi"), "")};
    bool more = true;
    for (int i = 0; i < steps; ++i) engine.step_once(replies, more);
    uint32_t state = 0;
    EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);  // leaves events undelivered
    engine.close(replies[0]);
    EXPECT_EQ(ocelli_request_close(engine.handle(), replies[0].handle), kStale);
    EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[0].handle), kStale);
    // No event of a closed request comes any more.
    const char* json = nullptr;
    uint32_t bytes = 0;
    while (ocelli_next_event(engine.handle(), &json, &bytes) == 0 && bytes > 0) {
      EXPECT_EQ(ordered_json::parse(json, json + bytes)["request"], replies[1].handle);
    }
    engine.finish(replies);
    engine.close(replies[1]);
    expect_all_blocks_free(engine);
    EXPECT_EQ(stats(engine)["requests"], 0);
  }
  uint32_t state = 7;
  EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);
  EXPECT_EQ(state, 0u);
}

TEST(Lifecycle, HandlesAreNotUsedAgain) {
  EngineDriver engine(container(), {{"context", 512}});
  std::vector<uint32_t> seen;
  for (int i = 0; i < 5; ++i) {
    const Reply reply = engine.open(ask("hi"), "");
    EXPECT_EQ(std::count(seen.begin(), seen.end(), reply.handle), 0);
    seen.push_back(reply.handle);
    engine.close(reply);
  }
  for (const uint32_t handle : {0u, 1u, 4000000000u}) {
    EXPECT_EQ(ocelli_request_cancel(engine.handle(), handle), kStale);
  }
}

TEST(Lifecycle, AFullCacheTakesTurnsWithoutChangingAnswers) {
  std::vector<std::string> texts;
  for (int i = 0; i < 5; ++i) texts.push_back(std::string(static_cast<size_t>(2 + 3 * i), 'a'));
  const ordered_json fields = {{"max_tokens", 40}, {"ignore_eos", true},
                               {"logprobs", true}, {"temperature", 0.9},
                               {"seed", 11},       {"repetition_penalty", 1.1}};
  std::vector<Choice> roomy;
  {
    EngineDriver engine(container(), {{"context", 2048}});
    for (const std::string& text : texts) {
      roomy.push_back(run(engine, ask(text, fields)).choices.at(0));
    }
    EXPECT_EQ(stats(engine)["preemptions"], 0);
  }
  EngineDriver engine(container(), {{"context", 112}, {"sequences_max", 4}});
  std::vector<Reply> replies;
  for (const std::string& text : texts) replies.push_back(engine.open(ask(text, fields), ""));
  ordered_json several = fields;
  several["n"] = 4;
  replies.push_back(engine.open(ask(texts[0], several), ""));
  EXPECT_LT(engine.finish(replies), 2000);
  EXPECT_GT(stats(engine)["preemptions"], 0);
  for (size_t i = 0; i < texts.size(); ++i) {
    ASSERT_TRUE(replies[i].error.is_null()) << replies[i].error.dump();
    EXPECT_EQ(replies[i].choices.at(0).token_ids, roomy[i].token_ids) << i;
    EXPECT_EQ(replies[i].choices.at(0).logprobs, roomy[i].logprobs) << i;
    EXPECT_EQ(replies[i].choices.at(0).text, roomy[i].text) << i;
  }
  EXPECT_EQ(replies[5].choices.at(0).token_ids, roomy[0].token_ids);
  EXPECT_EQ(replies[5].choices.size(), 4u);
  expect_all_blocks_free(engine);
}

TEST(Lifecycle, QueuesHaveAnEnd) {
  EngineDriver engine(container(), {{"context", 512}});
  std::vector<Reply> replies;
  for (int i = 0; i < kRequestsMax; ++i) replies.push_back(engine.open(ask("hi"), ""));
  EXPECT_TRUE(replies.back().error.is_null());
  const Reply refused = engine.open(ask("hi"), "");
  EXPECT_EQ(refused.error["code"], "queue_full");
  EXPECT_EQ(refused.error["http"], 429);
  engine.close(replies[100]);
  EXPECT_TRUE(engine.open(ask("hi"), "").error.is_null());
  uint32_t media = 0;
  const std::string file = bmp(28, 28);
  for (int i = 0; i < kMediaMax; ++i) ASSERT_EQ(put_image(engine, file, media), 0);
  EXPECT_EQ(put_image(engine, file, media), static_cast<int32_t>(Status::kQueueFull));
  EXPECT_EQ(ocelli_media_drop(engine.handle(), media), 0);
  EXPECT_EQ(put_image(engine, file, media), 0);
}

TEST(Lifecycle, TwoEnginesDoNotMeet) {
  EngineDriver one(container(), {{"context", 512}}), two(container(), {{"context", 256}});
  ASSERT_NE(one.handle(), two.handle());
  const std::vector<int32_t> alone = run(one, ask("hi")).choices.at(0).token_ids;
  std::vector<Reply> ones{one.open(ask("hi"), "")}, twos{two.open(ask("hi"), "")};
  bool more_one = true, more_two = true;
  while (more_one || more_two) {
    one.step_once(ones, more_one);
    two.step_once(twos, more_two);
  }
  EXPECT_EQ(ones[0].choices.at(0).token_ids, alone);
  EXPECT_EQ(twos[0].choices.at(0).token_ids, alone);
  uint32_t media = 0;
  ASSERT_EQ(put_image(one, bmp(28, 28), media), 0);
  EXPECT_EQ(ocelli_media_drop(two.handle(), media), kStale);
}

TEST(Lifecycle, AClosedEngineIsStaleForGood) {
  uint32_t old = 0;
  {
    EngineDriver engine(container(), {{"context", 512}});
    old = engine.handle();
    std::vector<Reply> replies{engine.open(ask("hi"), "")};
    bool more = true;
    engine.step_once(replies, more);  // closed while it runs
  }
  EngineDriver next(container(), {{"context", 512}});
  EXPECT_NE(next.handle(), old);
  const char* json = nullptr;
  void* address = nullptr;
  const uint8_t* data = nullptr;
  uint32_t out = 0, rows = 0, columns = 0;
  EXPECT_EQ(ocelli_step(old, &out), kStale);
  EXPECT_EQ(ocelli_ready(old), kStale);
  EXPECT_EQ(ocelli_warm_up(old, &out), kStale);
  EXPECT_EQ(ocelli_close(old), kStale);
  EXPECT_EQ(ocelli_shard_reserve(old, 0, &address, &out), kStale);
  EXPECT_EQ(ocelli_shard_hash(old, 0, 0), kStale);
  EXPECT_EQ(ocelli_shard_digest(old, 0, "", 0), kStale);
  EXPECT_EQ(ocelli_shard_commit(old, 0), kStale);
  EXPECT_EQ(ocelli_tokenize(old, "a", 1, 0, &json, &out), kStale);
  EXPECT_EQ(ocelli_detokenize(old, nullptr, 0, 0, &json, &out), kStale);
  EXPECT_EQ(ocelli_media_put(old, nullptr, 0, &out), kStale);
  EXPECT_EQ(ocelli_media_drop(old, 1), kStale);
  EXPECT_EQ(ocelli_request_open(old, "{}", 2, &out), kStale);
  EXPECT_EQ(ocelli_request_cancel(old, 1), kStale);
  EXPECT_EQ(ocelli_request_close(old, 1), kStale);
  EXPECT_EQ(ocelli_next_event(old, &json, &out), kStale);
  EXPECT_EQ(ocelli_stats(old, &json, &out), kStale);
  EXPECT_EQ(ocelli_dump(old, 1, "x", 1, &data, &out, &rows, &columns), kStale);
  EXPECT_EQ(ocelli_ready(0), kStale);
  EXPECT_EQ(ocelli_ready(UINT32_MAX), kStale);
  EXPECT_EQ(ocelli_ready(next.handle()), 0);
}

}  // namespace
}  // namespace ocelli::test
