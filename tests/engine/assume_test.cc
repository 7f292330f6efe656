// ocelli_request_assume: a prompt that counts as computed, for measuring what a long context costs.
#include "base/status.h"
#include "engine/fixture.h"

namespace ocelli::test {
namespace {

constexpr auto kOutOfMemory = static_cast<int32_t>(Status::kOutOfMemory);
constexpr auto kStale = static_cast<int32_t>(Status::kStaleHandle);
constexpr auto kInvalidArgument = static_cast<int32_t>(Status::kInvalidArgument);

const std::string kText = "what is the weather in London and what is this image of the system";

ordered_json options() { return {{"context", 128}, {"sequences_max", 1}}; }

int32_t assume(const EngineDriver& engine, const Reply& reply, uint32_t tokens) {
  return ocelli_request_assume(engine.handle(), reply.handle, tokens);
}

std::vector<int32_t> finish(EngineDriver& engine, Reply reply) {
  std::vector<Reply> replies = {std::move(reply)};
  engine.finish(replies);
  EXPECT_TRUE(replies[0].error.is_null());
  engine.close(replies[0]);
  return replies[0].choices.at(0).token_ids;
}

TEST(Assume, AnswersGoOnFromThereAndGiveAllBack) {
  EngineDriver engine(container(), options());
  const std::vector<int32_t> real = finish(engine, engine.open(ask(kText), ""));
  std::vector<int32_t> answers[2];
  for (std::vector<int32_t>& answer : answers) {
    const Reply reply = engine.open(ask(kText), "");
    const int before = stats(engine)["kv_blocks_free"].get<int>();
    ASSERT_EQ(assume(engine, reply, 32), 0);
    EXPECT_EQ(stats(engine)["kv_blocks_free"], before - 2);
    answer = finish(engine, reply);
    EXPECT_EQ(answer.size(), 8u);
    expect_all_blocks_free(engine);
  }
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_NE(answers[0], real);  // made-up keys and values are not the prompt's
  // And what was made up stays with the request it was made up for.
  EXPECT_EQ(finish(engine, engine.open(ask(kText), "")), real);
}

TEST(Assume, SkipsTheStepsOfThePrompt) {
  EngineDriver engine(container(), {{"context", 1024}, {"sequences_max", 1}});
  std::string longer;
  while (longer.size() < 1500) longer += "0123456789";  // digits are tokens of their own
  longer.resize(600);
  std::vector<Reply> replies = {engine.open(ask(longer, {{"max_tokens", 1}}), "")};
  const int steps_real = engine.finish(replies);
  engine.close(replies[0]);
  replies = {engine.open(ask(longer, {{"max_tokens", 1}}), "")};
  ASSERT_EQ(assume(engine, replies[0], 592), 0);
  const int steps_assumed = engine.finish(replies);
  EXPECT_LT(steps_assumed, steps_real);
  engine.close(replies[0]);
}

TEST(Assume, RefusesWhatIsNoPlainUntouchedPrompt) {
  EngineDriver engine(container(), {{"context", 128}, {"sequences_max", 2}});
  Reply reply = engine.open(ask(kText), "");
  for (const uint32_t tokens : {0u, 8u, 33u, 1024u, 0x80000000u}) {
    EXPECT_EQ(assume(engine, reply, tokens), kInvalidArgument) << tokens;
    EXPECT_NE(EngineDriver::last_error()["message"].get<std::string>().find("multiple of 16"),
              std::string::npos);
  }
  std::vector<Reply> replies = {reply};
  bool more = true;
  engine.step_once(replies, more);
  EXPECT_EQ(assume(engine, reply, 16), kInvalidArgument);  // computed already
  engine.finish(replies);
  EXPECT_EQ(assume(engine, reply, 16), kInvalidArgument);  // finished
  engine.close(replies[0]);
  EXPECT_EQ(assume(engine, reply, 16), kStale);

  reply = engine.open(ask(kText, {{"n", 2}}), "");
  EXPECT_EQ(assume(engine, reply, 16), kInvalidArgument);
  engine.close(reply);

  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(56, 56), media), 0);
  ordered_json body = ask("");
  body["messages"] =
      user(parts(image_part(media), ordered_json{{"type", "text"}, {"text", kText}}));
  reply = engine.open(body, "");
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  EXPECT_EQ(assume(engine, reply, 16), kInvalidArgument);
  engine.close(reply);
  expect_all_blocks_free(engine);
}

TEST(Assume, SaysWhenTheCacheIsFull) {
  EngineDriver engine(container(), {{"context", 64}, {"sequences_max", 1}});
  const ordered_json body = ask(kText.substr(0, 20), {{"max_tokens", 1}});
  std::vector<Reply> replies;
  int32_t status = 0;
  while (status == 0 && replies.size() < 10) {
    replies.push_back(engine.open(body, ""));
    ASSERT_TRUE(replies.back().error.is_null()) << replies.back().error.dump();
    status = assume(engine, replies.back(), 16);
  }
  EXPECT_EQ(status, kOutOfMemory);
  EXPECT_EQ(replies.size(), 6u);  // five blocks
  for (const Reply& reply : replies) engine.close(reply);
  expect_all_blocks_free(engine);
}

}  // namespace
}  // namespace ocelli::test
