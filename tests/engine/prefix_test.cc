// What is computed once is not computed again, and nobody can tell but by the work: every answer
// here is compared with that of an engine that takes nothing over.
#include <algorithm>
#include <random>

#include "engine/fixture.h"
#include "engine/image_cache.h"

namespace ocelli::test {
namespace {

const ordered_json kFields = {{"logprobs", true}, {"top_logprobs", 2}, {"ignore_eos", true}};

ordered_json options(const ordered_json& more = nullptr) {
  ordered_json all = {{"context", 1024}};
  for (const auto& [name, value] : more.items()) all[name] = value;
  return all;
}

std::string digits(int count, unsigned seed = 1) {  // each is a token of its own
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>('0' + random() % 10);
  return text;
}

void expect_same(const Reply& reply, const Reply& other) {
  ASSERT_TRUE(reply.error.is_null()) << reply.error.dump();
  ASSERT_EQ(reply.choices.size(), other.choices.size());
  for (const auto& [index, choice] : other.choices) {
    EXPECT_EQ(reply.choices.at(index).token_ids, choice.token_ids);
    EXPECT_EQ(reply.choices.at(index).logprobs, choice.logprobs);
    EXPECT_EQ(reply.choices.at(index).text, choice.text);
  }
}

// Both engines' answers, which are equal; of the one that takes over.
class Pair {
 public:
  explicit Pair(const ordered_json& more = nullptr)
      : cached_(container(), options(more)), plain_(container(), without(more)) {}

  Reply run(const ordered_json& body) {
    Reply reply = test::run(cached_, body);
    const Reply plain = test::run(plain_, body);
    EXPECT_EQ(plain.usage["cached_tokens"], 0);
    expect_same(reply, plain);
    return reply;
  }
  uint32_t put(const std::string& file) {  // the same handle in both
    uint32_t media = 0, other = 0;
    EXPECT_EQ(put_image(cached_, file, media), 0);
    EXPECT_EQ(put_image(plain_, file, other), 0);
    EXPECT_EQ(media, other);
    return media;
  }
  EngineDriver& cached() { return cached_; }

 private:
  static ordered_json without(const ordered_json& more) {
    ordered_json all = options(more);
    all["prefix_cache"] = false;
    return all;
  }
  EngineDriver cached_, plain_;
};

int tokens_in(const Reply& reply) { return reply.usage["prompt_tokens"].get<int>(); }

TEST(Prefix, ThePromptIsTakenOverButForItsLastBlock) {
  for (const char* kv : {"f16", "int8"}) {
    Pair pair({{"kv", kv}});
    const ordered_json body = ask(digits(100), kFields);
    EXPECT_EQ(pair.run(body).usage["cached_tokens"], 0);
    const Reply again = pair.run(body);
    EXPECT_EQ(again.usage["cached_tokens"], (tokens_in(again) - 1) / 16 * 16) << kv;
    EXPECT_EQ(stats(pair.cached())["prefix_hits"], again.usage["cached_tokens"]);
    EXPECT_EQ(stats(pair.cached())["prefix_queries"], 2 * tokens_in(again));
    expect_all_blocks_free(pair.cached());
  }
}

// One token of a prompt is always computed, also where all of it are whole blocks.
TEST(Prefix, APromptOfWholeBlocks) {
  Pair pair;
  const int template_tokens = tokens_in(pair.run(ask("7", kFields))) - 1;
  const ordered_json body = ask(digits(64 - template_tokens), kFields);
  const Reply first = pair.run(body);
  ASSERT_EQ(tokens_in(first), 64);
  EXPECT_EQ(pair.run(body).usage["cached_tokens"], 48);
}

TEST(Prefix, AConversationGoesOnWhereItWas) {
  Pair pair;
  ordered_json body = ask(digits(120), kFields);
  int before = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const Reply reply = pair.run(body);
    if (turn > 0) EXPECT_GE(reply.usage["cached_tokens"].get<int>(), (before - 8) / 16 * 16);
    before = tokens_in(reply);
    body["messages"].push_back({{"role", "assistant"}, {"content", reply.choices.at(0).text}});
    body["messages"].push_back({{"role", "user"}, {"content", digits(20, 9)}});
  }
}

TEST(Prefix, OneTokenElsewhereEndsIt) {
  Pair pair;
  std::string text = digits(200);
  pair.run(ask(text, kFields));
  text[100] = text[100] == '1' ? '2' : '1';
  const Reply reply = pair.run(ask(text, kFields));
  EXPECT_GT(reply.usage["cached_tokens"], 80);
  EXPECT_LE(reply.usage["cached_tokens"], 100 + tokens_in(reply) - 200);
}

TEST(Prefix, SaltsAndAdaptersShareNothing) {
  Pair pair;
  ordered_json body = ask(digits(100), kFields);
  pair.run(body);
  body["cache_salt"] = "mine";
  EXPECT_EQ(pair.run(body).usage["cached_tokens"], 0);
  EXPECT_GT(pair.run(body).usage["cached_tokens"], 0);
  body["cache_salt"] = "yours";
  EXPECT_EQ(pair.run(body).usage["cached_tokens"], 0);

  EngineDriver engine(container(), options());
  const AdapterFiles files = adapter_of("tied_bf16", "all");
  body.erase("cache_salt");
  run(engine, body);
  ASSERT_EQ(engine.add_adapter("all", files.config, files.tensors), 0);
  body["adapter"] = "all";
  const Reply first = run(engine, body);
  EXPECT_EQ(first.usage["cached_tokens"], 0);
  const Reply second = run(engine, body);
  EXPECT_GT(second.usage["cached_tokens"], 0);
  expect_same(second, first);
  // An adapter of the same name, loaded anew, may be another one.
  ASSERT_EQ(ocelli_adapter_drop(engine.handle(), "all", 3), 0);
  ASSERT_EQ(engine.add_adapter("all", files.config, files.tensors), 0);
  EXPECT_EQ(run(engine, body).usage["cached_tokens"], 0);
}

// Its rows need not even be made again when all its tokens are in the cache.
TEST(Prefix, ASecondQuestionAboutAPictureDoesNotLookAtItAgain) {
  Pair pair;
  const uint32_t media = pair.put(bmp(140, 140));
  ordered_json body = ask("", kFields);
  body["messages"] = user(parts(image_part(media), ordered_json{{"type", "text"}, {"text", "1"}}));
  EXPECT_FALSE(pair.run(body).vision.is_null());
  body["messages"] = user(parts(image_part(media), ordered_json{{"type", "text"}, {"text", "2"}}));
  Reply reply = pair.run(body);
  EXPECT_TRUE(reply.vision.is_null()) << reply.vision.dump();
  EXPECT_GE(reply.usage["cached_tokens"], 25);
  // What comes before it is new: its tokens are computed, its rows are there.
  body["messages"] = user(parts(ordered_json{{"type", "text"}, {"text", "3"}}, image_part(media)));
  reply = pair.run(body);
  EXPECT_TRUE(reply.vision.is_null()) << reply.vision.dump();
  EXPECT_LT(reply.usage["cached_tokens"], 25);
  EXPECT_EQ(stats(pair.cached())["image_tokens"], 25);
  // The same file under another handle is the same picture; at another size it is not.
  body["messages"] = user(parts(image_part(pair.put(bmp(140, 140)))));
  EXPECT_TRUE(pair.run(body).vision.is_null());
  body["messages"][0]["content"][0]["max_pixels"] = 100 * 100;
  EXPECT_FALSE(pair.run(body).vision.is_null());
}

TEST(Prefix, OtherPicturesOfTheSizeAreOthers) {
  Pair pair;
  const std::string first = bmp(140, 140);
  std::string second = first;
  second[second.size() / 2] = static_cast<char>(second[second.size() / 2] ^ 0x7F);
  ordered_json body = ask("", kFields);
  std::vector<int> cached;
  for (const std::string& file : {first, second, first}) {
    body["messages"] = user(parts(image_part(pair.put(file))));
    const Reply reply = pair.run(body);
    EXPECT_EQ(reply.vision.is_null(), cached.size() == 2);
    cached.push_back(reply.usage["cached_tokens"].get<int>());
  }
  EXPECT_EQ(cached[0], 0);
  EXPECT_LT(cached[1], 25);
  EXPECT_GT(cached[2], 25);
}

// Both at once: the second takes over what the first has computed so far, rows of images too.
TEST(Prefix, TwoOfAKindAtOnceAreComputedOnce) {
  EngineDriver engine(container(), options());
  const auto rows_of = [&](int count) {
    uint32_t media = 0;
    EXPECT_EQ(put_image(engine, bmp(280, 252), media), 0);
    ordered_json body = ask("", kFields);
    body["cache_salt"] = std::to_string(count);
    body["messages"] = user(
        parts(image_part(media), ordered_json{{"type", "text"}, {"text", digits(500, count)}}));
    std::vector<Reply> replies;
    for (int i = 0; i < count; ++i) replies.push_back(engine.open(body, ""));
    const int64_t before = stats(engine)["rows"].get<int64_t>();
    engine.finish(replies);
    for (const Reply& reply : replies) {
      expect_same(reply, replies[0]);
      engine.close(reply);
    }
    return stats(engine)["rows"].get<int64_t>() - before;
  };
  const int64_t one = rows_of(1), three = rows_of(3);
  EXPECT_LT(three, one + 2 * 60);
  expect_all_blocks_free(engine);
}

TEST(Prefix, LogprobsOfThePromptAreAllComputed) {
  Pair pair;
  ordered_json body = ask(digits(60), kFields);
  pair.run(body);
  body["prompt_logprobs"] = 1;
  const Reply reply = pair.run(body);
  EXPECT_EQ(reply.usage["cached_tokens"], 0);
  ASSERT_EQ(reply.prompt_logprobs.size(), static_cast<size_t>(tokens_in(reply)));
  EXPECT_FALSE(reply.prompt_logprobs.back().is_null());
}

TEST(Prefix, ACancelledPromptLeavesWhatItHasComputed) {
  EngineDriver engine(container(), options());
  const ordered_json body = ask(digits(600), kFields);
  std::vector<Reply> replies{engine.open(body, "")};
  bool more = true;
  engine.step_once(replies, more);  // 256 of its rows
  engine.close(replies[0]);
  expect_all_blocks_free(engine);
  EXPECT_EQ(run(engine, body).usage["cached_tokens"], 256);
}

// A choice whose blocks were given back takes over its own, what it has written included.
TEST(Prefix, APreemptedSequenceFindsItsOwnBlocks) {
  const ordered_json fields = {{"max_tokens", 60}, {"ignore_eos", true}, {"logprobs", true}};
  for (const bool cache : {false, true}) {
    EngineDriver engine(container(),
                        {{"context", 160}, {"sequences_max", 3}, {"prefix_cache", cache}});
    std::vector<Reply> replies;
    for (unsigned i = 0; i < 3; ++i) replies.push_back(engine.open(ask(digits(20, i), fields), ""));
    engine.finish(replies);
    EXPECT_GT(stats(engine)["preemptions"], 0);
    EngineDriver roomy(container(), options({{"prefix_cache", false}}));
    for (unsigned i = 0; i < 3; ++i)
      expect_same(replies[i], run(roomy, ask(digits(20, i), fields)));
  }
}

// Prompts that begin alike, pictures among them, in a small cache, some left in the middle.
TEST(Prefix, AnyCompanyGivesTheSameAnswers) {
  EngineDriver plain(container(), options({{"prefix_cache", false}}));
  for (const char* kv : {"f16", "int8"}) {
    EngineDriver engine(container(), {{"context", 192}, {"sequences_max", 4}, {"kv", kv}});
    EngineDriver alone(container(), options({{"prefix_cache", false}, {"kv", kv}}));
    std::mt19937 random(11);
    const std::string base = digits(80);
    for (int round = 0; round < 12; ++round) {
      std::vector<ordered_json> bodies;
      std::vector<Reply> replies, expected;
      for (int i = 0; i < 4; ++i) {
        ordered_json fields = kFields;
        fields["max_tokens"] = 1 + random() % 20;
        fields["temperature"] = random() % 2 == 0 ? 0.0 : 0.8;
        fields["seed"] = random() % 3;
        fields["n"] = 1 + random() % 2;
        ordered_json body = ask("", fields);
        const std::string text = base.substr(0, 20 + random() % 50) + digits(8, random() % 2);
        ordered_json content = parts(ordered_json{{"type", "text"}, {"text", text}});
        const int side = random() % 2 == 0 ? 112 : 140;
        const bool seen = random() % 3 > 0;
        for (EngineDriver* each : {&engine, &alone}) {
          ordered_json own = body;
          ordered_json list = content;
          uint32_t media = 0;
          ASSERT_EQ(put_image(*each, bmp(side, side), media), 0);
          if (seen) list.insert(list.begin(), image_part(media));
          own["messages"] = user(list);
          (each == &engine ? replies : expected).push_back(each->open(own, ""));
          EXPECT_EQ(ocelli_media_drop(each->handle(), media), 0);
        }
      }
      bool more = true;
      for (int i = static_cast<int>(random() % 6); i > 0; --i) engine.step_once(replies, more);
      const size_t leaves = random() % 8;
      if (leaves < replies.size())
        EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[leaves].handle), 0);
      engine.finish(replies);
      alone.finish(expected);
      for (size_t i = 0; i < replies.size(); ++i) {
        if (i != leaves) expect_same(replies[i], expected[i]);
        engine.close(replies[i]);
        alone.close(expected[i]);
      }
      expect_all_blocks_free(engine);
    }
    EXPECT_GT(stats(engine)["prefix_hits"], 0);
  }
}

TEST(Prefix, TheOptionIsABoolean) {
  uint32_t engine = 0;
  const std::string manifest = read_file(container() + "/manifest.json");
  const std::string bad = R"({"prefix_cache": 1})";
  EXPECT_NE(ocelli_open(manifest.data(), static_cast<uint32_t>(manifest.size()), bad.data(),
                        static_cast<uint32_t>(bad.size()), &engine),
            0);
  EXPECT_EQ(EngineDriver::last_error()["message"],
            "option prefix_cache must be true or false, got 1");
}

ImageCache::Rows rows() { return std::make_shared<const Buffer<float>>(); }

TEST(ImageCache, LetsGoOfWhatNobodyHoldsOldestUseFirst) {
  ImageCache cache;
  for (uint64_t i = 1; i <= 3; ++i) cache.put({i, 0}, rows(), 100);
  EXPECT_EQ(cache.tokens(), 300);
  EXPECT_EQ(cache.find({9, 0}), nullptr);
  EXPECT_NE(cache.find({1, 0}), nullptr);
  const ImageCache::Rows held = cache.find({2, 0});
  EXPECT_EQ(cache.idle_tokens(), 200);
  cache.shrink(250);
  EXPECT_EQ(cache.find({3, 0}), nullptr);
  cache.shrink(0);
  EXPECT_EQ(cache.tokens(), 100);
  EXPECT_EQ(cache.find({2, 0}), held);
}

}  // namespace
}  // namespace ocelli::test
