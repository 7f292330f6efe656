// What a request may say about its prompt besides the messages: raw text or ids, truncation, echo,
// log-probabilities of the prompt, counting only.
#include <algorithm>

#include "engine/fixture.h"
#include "engine/limits.h"

namespace ocelli::test {
namespace {

class PromptFields : public testing::Test {
 protected:
  Reply reply_of(const ordered_json& fields, const std::string& text = "the weather in London") {
    Reply reply = run(engine_, ask(text, fields));
    EXPECT_TRUE(reply.error.is_null()) << reply.error.dump();
    return reply;
  }
  // A body without messages.
  Reply raw(const ordered_json& prompt, const ordered_json& fields = nullptr) {
    ordered_json body = ask("", fields);
    body.erase("messages");
    body["prompt"] = prompt;
    return run(engine_, body);
  }
  static std::vector<int32_t> prompt_ids(const Reply& reply) {
    return reply.prompt["prompt_token_ids"].get<std::vector<int32_t>>();
  }

  EngineDriver engine_{container(), {{"context", 512}, {"sequences_max", 4}}};
};

TEST_F(PromptFields, ARawPromptIsTakenAsItIs) {
  const Reply chat = reply_of(nullptr);
  const std::vector<int32_t> ids = prompt_ids(chat);
  const Reply same = raw(ids);
  EXPECT_EQ(prompt_ids(same), ids);
  EXPECT_EQ(same.choices.at(0).token_ids, chat.choices.at(0).token_ids);
  // Text too; what spells a control token is one, as in services' plain completions.
  const std::string text = "<|im_start|>user\nhi<|im_end|>\n";
  EXPECT_EQ(prompt_ids(raw(text)), tokens_of(engine_, text));
  EXPECT_EQ(raw(ordered_json::array()).error["message"], "the prompt is empty");
  EXPECT_EQ(raw(3).error["message"], "prompt must be text or an array of token ids, got 3");
  EXPECT_EQ(raw({1, -2}).error["code"], "invalid_token_id");
}

TEST_F(PromptFields, TruncationKeepsTheLastTokens) {
  const std::vector<int32_t> ids = prompt_ids(reply_of(nullptr));
  for (const int kept : {1, 5, static_cast<int>(ids.size()), 400}) {
    const Reply cut = reply_of({{"truncate_prompt_tokens", kept}});
    const size_t count = std::min(ids.size(), static_cast<size_t>(kept));
    const std::vector<int32_t> last(ids.end() - static_cast<ptrdiff_t>(count), ids.end());
    EXPECT_EQ(prompt_ids(cut), last);
    EXPECT_EQ(cut.usage["prompt_tokens"], count);
    EXPECT_EQ(cut.choices.at(0).token_ids, raw(last).choices.at(0).token_ids);
  }
  // -1: as much as leaves room for the answer.
  const Reply fitted =
      reply_of({{"truncate_prompt_tokens", -1}, {"max_tokens", 12}}, std::string(600, '7'));
  EXPECT_EQ(fitted.usage["prompt_tokens"], 500);
  for (const int wrong : {0, -2}) {
    const Reply refused = run(engine_, ask("hi", {{"truncate_prompt_tokens", wrong}}));
    EXPECT_EQ(refused.error["param"], "truncate_prompt_tokens");
  }
}

TEST_F(PromptFields, TruncationCutsNoImage) {
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine_, bmp(56, 56), media), 0);
  const auto asked = [&](int kept) {
    ordered_json body = ask("", {{"truncate_prompt_tokens", kept}, {"max_tokens", 4}});
    body["messages"] = user(parts(image_part(media), "what is it"));
    return run(engine_, body);
  };
  const Reply whole = asked(400);
  ASSERT_TRUE(whole.error.is_null()) << whole.error.dump();
  const std::vector<int32_t> ids = prompt_ids(whole);
  const int32_t start = token_of(engine_, "<|vision_start|>");
  const auto at = std::find(ids.begin(), ids.end(), start);
  ASSERT_NE(at, ids.end());
  const int from_image = static_cast<int>(ids.end() - at);
  const Reply kept = asked(from_image);
  ASSERT_TRUE(kept.error.is_null()) << kept.error.dump();
  EXPECT_EQ(prompt_ids(kept), std::vector<int32_t>(at, ids.end()));
  EXPECT_EQ(kept.choices.at(0).token_ids.size(), 4u);
  for (const int less : {from_image - 1, from_image - 3, 2}) {
    const Reply cut = asked(less);
    EXPECT_EQ(cut.error["param"], "truncate_prompt_tokens");
    EXPECT_NE(cut.error["message"].get<std::string>().find("messages[0].content[0]"),
              std::string::npos);
  }
}

TEST_F(PromptFields, EchoPutsTheLastMessageBeforeTheAnswer) {
  ordered_json messages = user("say it");
  messages.push_back({{"role", "assistant"}, {"content", "It is"}});
  const ordered_json going_on = {{"messages", messages}, {"continue_final_message", true}};
  const auto text = [&](ordered_json fields, int index = 0) {
    const Reply reply = reply_of(fields);
    return reply.choices.at(index).text;
  };
  const std::string plain = text(going_on);
  ordered_json echo = going_on;
  echo["echo"] = true;
  EXPECT_EQ(text(echo), "It is" + plain);
  echo["n"] = 3;
  EXPECT_EQ(text(echo, 2), "It is" + plain);
  // Parts are joined as the template joins them.
  echo["messages"][1]["content"] = parts(ordered_json{{"type", "text"}, {"text", "It "}}, "is");
  EXPECT_EQ(text(echo), "It is" + plain);
  // A new turn repeats what an assistant said, not what the user did.
  EXPECT_EQ(text({{"messages", messages}, {"echo", true}}).substr(0, 5), "It is");
  EXPECT_EQ(text({{"echo", true}}), text(nullptr));
  // Echoed text is not the model's: it counts no tokens, and stop strings do not look at it.
  ordered_json stopped = going_on;
  stopped["echo"] = true;
  stopped["stop"] = "It";
  const Reply reply = reply_of(stopped);
  EXPECT_EQ(reply.usage["completion_tokens"], reply.choices.at(0).token_ids.size());
  EXPECT_EQ(reply.choices.at(0).text.substr(0, 5), "It is");
  // Raw prompts, also from ids.
  const std::string prompt = "Once upon";
  const std::string after = raw(prompt).choices.at(0).text;
  EXPECT_EQ(raw(prompt, {{"echo", true}}).choices.at(0).text, prompt + after);
  EXPECT_EQ(raw(tokens_of(engine_, prompt), {{"echo", true}}).choices.at(0).text, prompt + after);
}

// Against the log-probabilities of the same tokens when they are forced as an answer.
TEST_F(PromptFields, PromptLogprobsAreThoseOfTheSameTokensForced) {
  const std::vector<int32_t> ids = prompt_ids(reply_of(nullptr));
  ASSERT_GT(ids.size(), 20u);
  const std::vector<int32_t> rest(ids.begin() + 1, ids.end());
  for (const int top : {0, 3}) {
    const Reply forced =
        raw(ordered_json::array({ids[0]}),
            {{"forced_token_ids", rest}, {"logprobs", true}, {"top_logprobs", top}});
    ASSERT_TRUE(forced.error.is_null()) << forced.error.dump();
    const Reply reply = reply_of({{"prompt_logprobs", top}});
    const ordered_json& list = reply.prompt_logprobs;
    ASSERT_EQ(list.size(), ids.size());
    EXPECT_TRUE(list[0].is_null());
    for (size_t i = 1; i < ids.size(); ++i) {
      const ordered_json& expected = forced.choices.at(0).logprobs.at(i - 1);
      const ordered_json& own = list[i].at(std::to_string(ids[i]));
      EXPECT_EQ(list[i].begin().key(), std::to_string(ids[i]));
      EXPECT_EQ(own["logprob"], expected["logprob"]) << i;
      EXPECT_EQ(own["decoded_token"], expected["token"]);
      const int rank = own["rank"].get<int>();
      EXPECT_EQ(list[i].size(), static_cast<size_t>(rank <= top ? top : top + 1));
      for (int k = 0; k < top; ++k) {
        const auto found = std::ranges::find_if(
            list[i], [&](const ordered_json& entry) { return entry["rank"] == k + 1; });
        ASSERT_NE(found, list[i].end());
        EXPECT_EQ((*found)["logprob"], expected["top_logprobs"][static_cast<size_t>(k)]["logprob"]);
      }
    }
  }
}

// The slices in which such a prompt is read, its company and being computed again change nothing.
TEST_F(PromptFields, PromptLogprobsDoNotDependOnCompany) {
  const ordered_json fields = {
      {"prompt_logprobs", 2}, {"n", 2}, {"max_tokens", 30}, {"ignore_eos", true}};
  const Reply alone = reply_of(fields);
  const ordered_json plain = {{"max_tokens", 30}, {"ignore_eos", true}};
  const Reply other = reply_of(plain, "a name");
  EXPECT_EQ(alone.choices.at(1).token_ids, reply_of(plain).choices.at(0).token_ids);
  for (const int context : {512, 96}) {
    EngineDriver engine(container(), {{"context", context}, {"sequences_max", 4}});
    std::vector<Reply> replies;
    replies.push_back(engine.open(ask("a name", plain), ""));
    replies.push_back(engine.open(ask("the weather in London", fields), ""));
    replies.push_back(engine.open(ask("a name", plain), ""));
    replies.push_back(engine.open(ask("the weather in London", fields), ""));
    EXPECT_LT(engine.finish(replies), 3000);
    for (const size_t i : {1u, 3u}) {
      ASSERT_TRUE(replies[i].error.is_null()) << replies[i].error.dump();
      EXPECT_EQ(replies[i].prompt_logprobs, alone.prompt_logprobs);
      EXPECT_EQ(replies[i].choices.at(1).token_ids, alone.choices.at(1).token_ids);
    }
    for (const size_t i : {0u, 2u})
      EXPECT_EQ(replies[i].choices.at(0).token_ids, other.choices.at(0).token_ids);
    for (const Reply& reply : replies) engine.close(reply);
    expect_all_blocks_free(engine);
  }
}

TEST_F(PromptFields, PromptLogprobsHaveBounds) {
  EXPECT_TRUE(reply_of(nullptr).prompt_logprobs.is_null());
  const ordered_json refused = {{{"prompt_logprobs", -1}},
                                {{"prompt_logprobs", kLogprobsMax + 1}},
                                {{"prompt_logprobs", 1}, {"stream", true}},
                                {{"prompt_logprobs", "1"}}};
  for (const ordered_json& fields : refused)
    EXPECT_EQ(run(engine_, ask("hi", fields)).error["param"], "prompt_logprobs") << fields.dump();
  EXPECT_EQ(run(engine_, ask("hi", refused[1])).error["message"],
            "`prompt_logprobs` must be a positive value, in [0, 20], got 21");
  // 0 streams: it asks for nothing that a stream could not give.
  EXPECT_TRUE(reply_of({{"prompt_logprobs", 0}, {"stream", true}}).prompt_logprobs.is_null());
  EXPECT_EQ(raw({5}, {{"prompt_logprobs", 2}}).prompt_logprobs, ordered_json::array({nullptr}));
}

TEST_F(PromptFields, CountingComputesNothing) {
  const std::vector<int32_t> ids = prompt_ids(reply_of(nullptr));
  const int64_t steps = stats(engine_)["steps"].get<int64_t>();
  const Reply counted = reply_of({{"tokenize_only", true}, {"return_token_ids", false}, {"n", 3}});
  EXPECT_EQ(prompt_ids(counted), ids);
  EXPECT_EQ(counted.usage["completion_tokens"], 0);
  EXPECT_TRUE(counted.choices.empty());
  // Longer than the context: counted all the same.
  EXPECT_GT(reply_of({{"tokenize_only", true}}, std::string(900, '7')).prompt["prompt_tokens"],
            900);
  EXPECT_EQ(stats(engine_)["steps"], steps);
  EXPECT_EQ(stats(engine_)["requests"], 0);
}

TEST_F(PromptFields, ImagesTellTheirSizeBeforeAndAfterResizing) {
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine_, bmp(150, 60), media), 0);
  ordered_json body = ask("", {{"mm_processor_kwargs", {{"max_pixels", 5000}}}});
  body["messages"] = user(parts(image_part(media)));
  const Reply reply = run(engine_, body);
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  const ordered_json& image = reply.prompt["images"][0];
  EXPECT_EQ(image["source_width"], 150);
  EXPECT_EQ(image["source_height"], 60);
  EXPECT_EQ(image["width"].get<int>() % 28, 0);
  EXPECT_LE(image["width"].get<int>() * image["height"].get<int>(), 5000);
}

}  // namespace
}  // namespace ocelli::test
