// Requests before the weights: what is computed while shards are still to come, and that nobody can
// tell from the answers. Surprise: the container is cut into one shard a tensor, so that weights
// can stop anywhere.
#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "base/status.h"
#include "convert/shard_writer.h"
#include "engine/fixture.h"
#include "engine/limits.h"
#include "format/shard.h"

namespace ocelli::test {
namespace {

constexpr uint32_t kMore = 1, kWaiting = 2;
constexpr int kLayers = 3;  // of the checkpoint

class MapSink : public Sink {
 public:
  Result<void> write(const std::string& file,
                     std::span<const std::span<const uint8_t>> parts) override {
    for (const std::span<const uint8_t> part : parts)
      files[file].append(reinterpret_cast<const char*>(part.data()), part.size());
    return {};
  }
  Result<void> commit() override { return {}; }
  std::map<std::string, std::string> files;
};

std::string holds_of(const std::string& tensor) {
  if (tensor.starts_with("tokenizer.")) return "tokenizer";
  if (tensor.starts_with("visual.")) return "vision";
  if (tensor.starts_with("model.embed_tokens")) return "embed";
  if (tensor.starts_with("model.norm")) return "norm";
  if (tensor.starts_with("lm_head")) return "lm_head";
  const size_t number = std::string("model.layers.").size();
  return "layer." + tensor.substr(number, tensor.find('.', number) - number);
}

// The container of the fixture, one tensor a shard.
struct Pieces {
  std::string manifest;
  std::vector<std::string> files, tensors, holds;  // by shard

  Pieces() {
    MapSink sink;
    ShardWriter writer(sink, 1);
    Manifest whole = *parse_manifest(read_file(container() + "/manifest.json"));
    for (const ShardInfo& shard : whole.shards) {
      const std::string file = read_file(container() + "/" + shard.sha256 + ".safetensors");
      // Tensors must lie at multiples of 8, a string need not.
      std::vector<uint64_t> aligned((file.size() + 7) / 8);
      std::memcpy(aligned.data(), file.data(), file.size());
      const auto views = read_shard({reinterpret_cast<uint8_t*>(aligned.data()), file.size()});
      EXPECT_TRUE(views);
      for (const TensorView& view : *views) {
        tensors.push_back(view.name);
        holds.push_back(holds_of(view.name));
        EXPECT_TRUE(writer.begin(holds.back(), view.data.size()));
        std::ranges::copy(view.data, writer.add(view.name, view.dtype, view.shape).begin());
      }
    }
    whole.shards = *writer.finish();
    EXPECT_EQ(whole.shards.size(), tensors.size());
    for (const ShardInfo& shard : whole.shards)
      files.push_back(sink.files.at(shard.sha256 + ".safetensors"));
    manifest = write_manifest(whole);
  }

  uint32_t count() const { return static_cast<uint32_t>(files.size()); }
  // Shard numbers, those that `first` names before the others.
  std::vector<uint32_t> order(const std::function<bool(const std::string&)>& first) const {
    std::vector<uint32_t> order(files.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_partition(order, [&](uint32_t index) { return first(holds[index]); });
    std::ranges::stable_partition(order,
                                  [&](uint32_t index) { return holds[index] == "tokenizer"; });
    return order;
  }
};

const Pieces& pieces() {
  static const Pieces all;
  return all;
}

EngineDriver fresh(const ordered_json& options = {{"context", 4096}}) {
  return EngineDriver::without_weights(pieces().manifest, options);
}

// Places the shards that `wanted` accepts, in order.
void place(EngineDriver& engine, const std::function<bool(const std::string&)>& wanted) {
  for (uint32_t i = 0; i < pieces().count(); ++i) {
    if (!wanted(pieces().holds[i])) continue;
    ASSERT_EQ(engine.place(i, pieces().files[i]), 0) << EngineDriver::last_error().dump();
  }
}

bool tokenizer(const std::string& holds) { return holds == "tokenizer"; }
bool vision(const std::string& holds) { return holds == "vision"; }
bool text(const std::string& holds) { return !tokenizer(holds) && !vision(holds); }

// Steps until nothing goes on without more weights; the last state.
uint32_t settle(EngineDriver& engine, std::vector<Reply>& replies) {
  uint32_t state = kMore;
  for (int i = 0; state == kMore && i < 10000; ++i) state = engine.step_state(replies);
  return state;
}

ordered_json with_image(uint32_t media) {
  ordered_json body = ask("", {{"logprobs", true}});
  body["messages"] = user(parts(image_part(media), ordered_json{{"type", "text"}, {"text", "hi"}}));
  return body;
}

// Short and long, several choices, an image.
std::vector<Reply> open_all(EngineDriver& engine) {
  const ordered_json exact = {{"logprobs", true}, {"ignore_eos", true}};
  uint32_t media = 0;
  EXPECT_EQ(put_image(engine, bmp(112, 84), media), 0);
  ordered_json drawn = exact;
  drawn.update({{"n", 3}, {"temperature", 0.9}, {"seed", 5}});
  std::vector<Reply> replies;
  for (const ordered_json& body :
       {ask("hi", exact), ask(std::string(700, '7'), exact), with_image(media),
        ask("several", drawn), ask(std::string(300, '3'), exact)}) {
    replies.push_back(engine.open(body, ""));
    EXPECT_TRUE(replies.back().error.is_null()) << replies.back().error.dump();
  }
  return replies;
}

void expect_equal(const std::vector<Reply>& found, const std::vector<Reply>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_TRUE(found[i].error.is_null()) << found[i].error.dump();
    for (const char* field : {"prompt_tokens", "completion_tokens"})
      EXPECT_EQ(found[i].usage[field], expected[i].usage[field]);
    ASSERT_EQ(found[i].choices.size(), expected[i].choices.size());
    for (const auto& [index, choice] : expected[i].choices) {
      EXPECT_EQ(found[i].choices.at(index).token_ids, choice.token_ids);
      EXPECT_EQ(found[i].choices.at(index).logprobs, choice.logprobs);
      EXPECT_EQ(found[i].choices.at(index).text, choice.text);
    }
  }
}

std::vector<Reply> answers_after_loading(const ordered_json& options = {{"context", 4096}}) {
  EngineDriver engine = fresh(options);
  place(engine, [](const std::string&) { return true; });
  EXPECT_EQ(ocelli_ready(engine.handle()), 0);
  std::vector<Reply> replies = open_all(engine);
  engine.finish(replies);
  return replies;
}

void expect_no_difference(const ordered_json& options) {
  const std::vector<Reply> expected = answers_after_loading(options);
  for (const Reply& reply : expected) EXPECT_FALSE(reply.choices.at(0).token_ids.empty());
  std::vector<std::vector<uint32_t>> orders = {pieces().order(text), pieces().order(vision)};
  orders.push_back(orders[0]);
  std::reverse(orders[2].begin() + 3, orders[2].end());  // behind the tokenizer's three
  for (const auto& order : orders) {
    for (const size_t before : {size_t{3}, order.size() / 2}) {
      EngineDriver engine = fresh(options);
      std::vector<Reply> replies;
      for (size_t i = 0; i < order.size(); ++i) {
        if (i == before) replies = open_all(engine);
        ASSERT_EQ(engine.place(order[i], pieces().files[order[i]]), 0);
        if (i < before) continue;
        const uint32_t state = settle(engine, replies);
        if (i + 1 < order.size()) EXPECT_NE(state, 0u);
      }
      engine.finish(replies);
      expect_equal(replies, expected);
      expect_all_blocks_free(engine);
    }
  }
}

TEST(Loading, AnswersAreThoseOfALoadedEngine) { expect_no_difference({{"context", 4096}}); }

TEST(Loading, AnswersAreTheSameWithAnInt8CacheAndThreads) {
  expect_no_difference({{"context", 4096}, {"kv", "int8"}, {"threads", 2}});
}

TEST(Loading, AnswersAreTheSameInReferenceCompute) {
  expect_no_difference({{"context", 4096}, {"compute", "reference"}});
}

TEST(Loading, TheFirstLayersRunBeforeTheLastShardIsThere) {
  EngineDriver engine = fresh();
  place(engine, tokenizer);
  std::vector<Reply> replies{engine.open(ask(std::string(700, '7')), "")};
  EXPECT_EQ(engine.step_state(replies), kWaiting);
  EXPECT_EQ(stats(engine)["layers"], 0);
  place(engine, [](const std::string& holds) { return holds == "embed" || holds == "layer.0"; });
  EXPECT_EQ(settle(engine, replies), kWaiting);
  EXPECT_EQ(stats(engine)["layers"], 3);  // one layer for each of three slices
  place(engine, [](const std::string& holds) { return holds == "layer.1" || holds == "layer.2"; });
  EXPECT_EQ(settle(engine, replies), kWaiting);
  // The last slice waits for the head, the others are done.
  EXPECT_EQ(stats(engine)["layers"], 3 * kLayers);
  EXPECT_EQ(stats(engine)["steps"], 2);
  EXPECT_TRUE(replies[0].choices.empty());
  // Asked again, nothing happens.
  EXPECT_EQ(engine.step_state(replies), kWaiting);
  EXPECT_EQ(stats(engine)["layers"], 3 * kLayers);
  place(engine, [](const std::string& holds) { return holds == "norm"; });
  engine.finish(replies);
  EXPECT_EQ(replies[0].choices.at(0).token_ids.size(), 8u);
  // The vision tower is not there at all, and nobody has missed it.
  EXPECT_EQ(ocelli_ready(engine.handle()), static_cast<int32_t>(Status::kNotReady));
}

TEST(Loading, StepsAreShortUntilAllWeightsAreThere) {
  EngineDriver engine = fresh();
  place(engine, [](const std::string& holds) { return holds != "vision"; });
  std::vector<Reply> replies{engine.open(ask(std::string(700, '7')), "")};
  for (int layers = 1; layers < 3 * kLayers; ++layers) {
    EXPECT_NE(engine.step_state(replies), kWaiting);
    EXPECT_EQ(stats(engine)["layers"], layers);  // one layer of a slice at a time
  }
  place(engine, [](const std::string& holds) { return holds == "vision"; });
  engine.finish(replies);
  EXPECT_EQ(replies[0].choices.at(0).token_ids.size(), 8u);
  const auto layers = stats(engine)["layers"].get<int64_t>();
  replies[0] = engine.open(ask(std::string(200, '8')), "");
  engine.step_state(replies);
  EXPECT_EQ(stats(engine)["layers"], layers + kLayers);
}

TEST(Loading, SaysThatRequestsWaitForWeights) {
  EngineDriver engine = fresh();
  place(engine, tokenizer);
  std::vector<Reply> replies{engine.open(ask("hi"), "")};
  EXPECT_EQ(engine.step_state(replies), kWaiting);
  ASSERT_FALSE(replies[0].weights.is_null());
  const int64_t before = replies[0].weights["done"].get<int64_t>();
  EXPECT_GT(before, 0);
  EXPECT_GT(replies[0].weights["total"], before);
  replies[0].weights = nullptr;
  EXPECT_EQ(engine.step_state(replies), kWaiting);
  EXPECT_TRUE(replies[0].weights.is_null());  // said once
  place(engine, [](const std::string& holds) { return holds == "embed"; });
  EXPECT_EQ(engine.step_state(replies), kWaiting);
  EXPECT_GT(replies[0].weights["done"], before);
}

TEST(Loading, OnlySoManySlicesWait) {
  EngineDriver engine = fresh();
  place(engine, tokenizer);
  std::vector<Reply> replies{engine.open(ask(std::string(2500, '7')), "")};
  place(engine, [](const std::string& holds) { return holds == "embed" || holds == "layer.0"; });
  EXPECT_EQ(settle(engine, replies), kWaiting);
  EXPECT_EQ(stats(engine)["layers"], kParkedSlices);
  place(engine, [](const std::string& holds) {
    return holds == "layer.1" || holds == "layer.2" || holds == "norm";
  });
  engine.finish(replies);
  EXPECT_EQ(replies[0].choices.at(0).token_ids.size(), 8u);
}

TEST(Loading, AnImageIsEncodedAsSoonAsTheVisionTowerIsThere) {
  EngineDriver loaded = fresh(), engine = fresh();
  place(loaded, [](const std::string&) { return true; });
  uint32_t media = 0;
  ASSERT_EQ(put_image(loaded, bmp(112, 84), media), 0);
  std::vector<Reply> expected{loaded.open(with_image(media), "")};
  loaded.finish(expected);
  const std::vector<float> rows = loaded.dump_vision(expected[0], 0);

  place(engine, tokenizer);
  ASSERT_EQ(put_image(engine, bmp(112, 84), media), 0);
  std::vector<Reply> replies{engine.open(with_image(media), "")};
  ASSERT_TRUE(replies[0].error.is_null());
  EXPECT_EQ(settle(engine, replies), kWaiting);
  place(engine, vision);
  EXPECT_EQ(settle(engine, replies), kWaiting);
  EXPECT_EQ(engine.dump_vision(replies[0], 0), rows);
  place(engine, text);
  engine.finish(replies);
  expect_equal(replies, expected);
}

TEST(Loading, CancelledWhileWaiting) {
  const std::vector<Reply> expected = answers_after_loading();
  for (size_t gone = 0; gone < expected.size(); ++gone) {
    SCOPED_TRACE(gone);
    EngineDriver engine = fresh();
    place(engine, tokenizer);
    std::vector<Reply> replies = open_all(engine);
    const auto half = [](const std::string& holds) {
      return holds == "embed" || holds == "layer.0" || vision(holds);
    };
    place(engine, half);
    EXPECT_EQ(settle(engine, replies), kWaiting);
    EXPECT_EQ(ocelli_request_cancel(engine.handle(), replies[gone].handle), 0);
    EXPECT_EQ(settle(engine, replies), kWaiting);
    EXPECT_EQ(replies[gone].choices.at(0).finish_reason, "abort");
    EXPECT_EQ(replies[gone].usage["completion_tokens"], 0);
    place(engine, [&](const std::string& holds) { return text(holds) && !half(holds); });
    engine.finish(replies);
    std::vector<Reply> others = expected;
    others.erase(others.begin() + static_cast<ptrdiff_t>(gone));
    replies.erase(replies.begin() + static_cast<ptrdiff_t>(gone));
    expect_equal(replies, others);
    expect_all_blocks_free(engine);
  }
}

TEST(Loading, ClosedWhileWaiting) {
  EngineDriver engine = fresh();
  place(engine, tokenizer);
  std::vector<Reply> replies = open_all(engine);
  place(engine, [](const std::string& holds) { return holds == "embed" || holds == "layer.0"; });
  EXPECT_EQ(settle(engine, replies), kWaiting);
  for (const Reply& reply : replies) engine.close(reply);
  std::vector<Reply> none;
  EXPECT_EQ(engine.step_state(none), 0u);
  expect_all_blocks_free(engine);
  EXPECT_EQ(stats(engine)["requests"], 0);
  // And the engine itself, with steps that wait.
  replies = open_all(engine);
  EXPECT_EQ(settle(engine, replies), kWaiting);
}

TEST(Loading, AFullCacheWhileWeightsCome) {
  std::vector<std::string> texts;
  for (int i = 0; i < 5; ++i) texts.push_back(std::string(static_cast<size_t>(20 + 3 * i), 'a'));
  const ordered_json fields = {{"max_tokens", 40}, {"ignore_eos", true}, {"logprobs", true}};
  const ordered_json options = {{"context", 112}, {"sequences_max", 4}};
  const auto answers = [&](bool loaded) {
    EngineDriver engine = fresh(options);
    place(engine, [&](const std::string& holds) { return loaded || tokenizer(holds); });
    std::vector<Reply> replies;
    for (const std::string& one : texts) replies.push_back(engine.open(ask(one, fields), ""));
    if (!loaded) {
      for (uint32_t i = 0; i < pieces().count(); ++i) {
        if (tokenizer(pieces().holds[i])) continue;
        EXPECT_EQ(engine.place(i, pieces().files[i]), 0);
        settle(engine, replies);
      }
    }
    engine.finish(replies);
    EXPECT_GT(stats(engine)["preemptions"], 0);
    expect_all_blocks_free(engine);
    return replies;
  };
  expect_equal(answers(false), answers(true));
}

TEST(Loading, ADamagedShardCanComeAgain) {
  const std::vector<Reply> expected = answers_after_loading();
  EngineDriver engine = fresh();
  place(engine, tokenizer);
  std::vector<Reply> replies = open_all(engine);
  for (const uint32_t i : pieces().order(text)) {
    if (tokenizer(pieces().holds[i])) continue;
    std::string damaged = pieces().files[i];
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    EXPECT_EQ(engine.place(i, damaged), static_cast<int32_t>(Status::kShardHashMismatch));
    EXPECT_EQ(settle(engine, replies) & ~kWaiting, 0u);
    EXPECT_EQ(engine.place(i, pieces().files[i]), 0);
  }
  engine.finish(replies);
  expect_equal(replies, expected);
}

TEST(Loading, WarmingUpLeavesNoTrace) {
  const std::vector<Reply> expected = answers_after_loading();
  EngineDriver engine = fresh();
  uint32_t more = 7;
  const auto passes = [&] {
    int count = 0;
    do {
      EXPECT_EQ(ocelli_warm_up(engine.handle(), &more), 0);
      count += more;
    } while (more != 0);
    return count;
  };
  EXPECT_EQ(passes(), 0);
  place(engine, tokenizer);
  place(engine, [](const std::string& holds) { return holds == "embed"; });
  EXPECT_EQ(passes(), 0);
  place(engine, [](const std::string& holds) { return holds == "layer.0"; });
  EXPECT_EQ(passes(), kWarmPasses);
  expect_all_blocks_free(engine);
  place(engine, [](const std::string& holds) { return holds == "layer.1" || vision(holds); });
  EXPECT_EQ(passes(), kWarmVisionPasses);
  EXPECT_EQ(passes(), 0);
  std::vector<Reply> replies = open_all(engine);
  place(engine, [](const std::string& holds) { return holds == "layer.2" || holds == "norm"; });
  engine.finish(replies);
  expect_equal(replies, expected);
  // Not while requests are open.
  EngineDriver busy = fresh();
  place(busy, tokenizer);
  std::vector<Reply> waiting{busy.open(ask("hi"), "")};
  place(busy, [](const std::string& holds) { return holds == "embed" || holds == "layer.0"; });
  EXPECT_EQ(settle(busy, waiting), kWaiting);
  EXPECT_EQ(ocelli_warm_up(busy.handle(), &more), 0);
  EXPECT_EQ(more, 0u);
}

TEST(Loading, HashedOnTheWayOrByTheHost) {
  EngineDriver engine = fresh();
  constexpr auto kArgument = static_cast<int32_t>(Status::kInvalidArgument);
  constexpr auto kMismatch = static_cast<int32_t>(Status::kShardHashMismatch);
  const uint32_t handle = engine.handle();
  void* address = nullptr;
  uint32_t bytes = 0;
  EXPECT_EQ(ocelli_shard_hash(handle, 0, 0), kArgument);
  EXPECT_EQ(ocelli_shard_digest(handle, 0, std::string(64, '0').data(), 64), kArgument);
  const auto write = [&](uint32_t index) {
    ASSERT_EQ(ocelli_shard_reserve(handle, index, &address, &bytes), 0);
    std::memcpy(address, pieces().files[index].data(), bytes);
  };
  write(0);
  EXPECT_EQ(ocelli_shard_hash(handle, 0, 100), 0);
  EXPECT_EQ(ocelli_shard_hash(handle, 0, 99), kArgument);
  EXPECT_EQ(ocelli_shard_hash(handle, 0, bytes + 1), kArgument);
  EXPECT_EQ(ocelli_shard_hash(handle, 0, 1000), 0);
  static_cast<char*>(address)[500] ^= 1;  // too late: it is hashed already
  EXPECT_EQ(ocelli_shard_commit(handle, 0), 0);
  static_cast<char*>(address)[500] ^= 1;
  write(1);
  EXPECT_EQ(ocelli_shard_hash(handle, 1, 100), 0);
  static_cast<char*>(address)[100] ^= 1;
  EXPECT_EQ(ocelli_shard_commit(handle, 1), kMismatch);
  write(1);
  EXPECT_EQ(ocelli_shard_commit(handle, 1), 0);
  write(2);
  EXPECT_EQ(ocelli_shard_digest(handle, 2, "00", 2), kArgument);
  EXPECT_EQ(ocelli_shard_digest(handle, 2, std::string(64, '0').data(), 64), 0);
  EXPECT_EQ(ocelli_shard_commit(handle, 2), kMismatch);
  write(2);
  const ordered_json manifest = ordered_json::parse(pieces().manifest);
  const std::string digest = manifest["shards"][2]["sha256"].get<std::string>();
  EXPECT_EQ(ocelli_shard_digest(handle, 2, digest.data(), 64), 0);
  EXPECT_EQ(ocelli_shard_commit(handle, 2), 0);
}

// A tensor of the wrong shape in a shard that is whole: nothing can come of this engine.
TEST(Loading, UnusableWeightsEndTheWaiting) {
  ordered_json manifest = ordered_json::parse(pieces().manifest);
  ordered_json& ffn = manifest["config"]["text"]["intermediate"];
  ffn = ffn.get<int>() + 64;
  EngineDriver engine = EngineDriver::without_weights(manifest.dump(), {{"context", 512}});
  place(engine, tokenizer);
  const Reply waiting = engine.open(ask("hi"), "");
  ASSERT_TRUE(waiting.error.is_null());
  constexpr auto kShape = static_cast<int32_t>(Status::kTensorShape);
  int32_t status = 0;
  uint32_t placed = 0;
  for (uint32_t i = 0; i < pieces().count() && status == 0; ++i) {
    if (!text(pieces().holds[i])) continue;
    status = engine.place(i, pieces().files[i]);
    placed = i;
  }
  EXPECT_EQ(status, kShape);
  EXPECT_EQ(pieces().holds[placed], "layer.0");  // known as soon as it can be
  uint32_t state = 0;
  EXPECT_EQ(ocelli_step(engine.handle(), &state), kShape);
  EXPECT_EQ(ocelli_ready(engine.handle()), kShape);
  EXPECT_EQ(engine.open(ask("hi"), "").error["status"], kShape);
}

TEST(Loading, BeforeTheTokenizerNothingCanBeAsked) {
  EngineDriver engine = fresh();
  uint32_t state = 7, media = 0;
  EXPECT_EQ(ocelli_step(engine.handle(), &state), 0);
  EXPECT_EQ(state, 0u);
  EXPECT_EQ(put_image(engine, bmp(28, 28), media), 0);
  const Reply refused = engine.open(ask("hi"), "");
  EXPECT_EQ(refused.error["code"], "not_ready");
  EXPECT_EQ(refused.error["http"], 503);
}

}  // namespace
}  // namespace ocelli::test
