// The memory plan: what the published shapes need, how the context gives way, and whether an open
// engine takes what was planned.
#include "engine/plan.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "abi/ocelli.h"
#include "engine/fixture.h"
#include "format/weight_table.h"
#include "tensor/linear.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/allocator_interface.h>
#define OCELLI_ASAN 1
#endif
#endif
#ifndef OCELLI_ASAN
#include <malloc.h>
#endif

namespace ocelli::test {
namespace {

constexpr int64_t kMiB = 1 << 20;

// Qwen2.5-VL-3B with 4-bit layers and 8-bit vision tower and embedding: the shapes of its
// config.json, the bytes of FORMAT.md's layouts.
Manifest three_billion() {
  Manifest manifest;
  TextConfig& text = manifest.config.text;
  text.hidden = 2048;
  text.layers = 36;
  text.heads = 16;
  text.kv_heads = 2;
  text.head_dim = 128;
  text.intermediate = 11008;
  text.vocab = 151936;
  text.tied = true;
  text.context = 128000;
  VisionConfig& vision = manifest.config.vision;
  vision.hidden = 1280;
  vision.depth = 32;
  vision.heads = 16;
  vision.intermediate = 3420;
  vision.full_blocks = {7, 15, 23, 31};
  vision.out = 2048;
  ShardInfo shard;
  for (const WeightSpec& spec : weight_table(manifest.config)) {
    const bool layer = spec.group == WeightGroup::kLinear;
    Linear shape;
    shape.format = layer ? WeightFormat::kU4 : WeightFormat::kU8;
    shape.n = spec.n;
    shape.k = spec.k;
    int64_t bytes = int64_t{spec.n} * 4;
    if (spec.kind == WeightKind::kMatrix) {
      const int64_t group = layer ? kGroupU4 : kGroupU8, side = layer ? 3 : 2;
      bytes = shape.tiles() * (tile_bytes(shape.format, shape.k_padded()) +
                               shape.k_padded() / group * kTileRows * side);
    }
    shard.bytes = static_cast<uint32_t>(bytes);
    manifest.shards.push_back(shard);
  }
  return manifest;
}

TEST(Plan, ThreeBillionFitWasmWithTheWholeContext) {
  EngineOptions options;
  options.context = 32768;
  options.kv = KvFormat::kInt8;
  const auto plan = plan_memory(three_billion(), options);
  ASSERT_TRUE(plan) << plan.error().message;
  std::printf("3B, u4 layers, u8 vision and embedding, 32k: %s\n",
              plan_json(three_billion(), *plan).c_str());
  EXPECT_EQ(plan->context, 32768);
  EXPECT_EQ(plan->kv_blocks, 32768 / 16 + 8);
  // A token: 36 layers, 2 kv heads, keys and values of 128 bytes and 4 scales of 2 bytes.
  EXPECT_EQ(plan->kv_bytes, int64_t{plan->kv_blocks} * 16 * 36 * 2 * 2 * (128 + 8));
  EXPECT_GT(plan->weights_bytes, 2300 * kMiB);
  EXPECT_LT(plan->weights_bytes, 2700 * kMiB);
  // At least the logits of 8 sequences and the tables of 8 samplers.
  EXPECT_GT(plan->activations_bytes, int64_t{8} * 151936 * (4 + 8));
  EXPECT_LT(plan->activations_bytes, 128 * kMiB);
  EXPECT_LE(plan->resident_bytes(), int64_t{1} << 32);
  EXPECT_EQ(plan->resident_bytes(),
            plan->weights_bytes + plan->kv_bytes + plan->activations_bytes + plan->reserve_bytes);
  options.image_tokens_max = 1024;
  EXPECT_LE(plan_memory(three_billion(), options)->total_bytes(), 3900 * kMiB);

  options.kv = KvFormat::kF16;
  const auto halves = plan_memory(three_billion(), options);
  ASSERT_TRUE(halves);
  EXPECT_EQ(halves->kv_bytes, int64_t{halves->kv_blocks} * 16 * 36864);  // 36 KiB a token
}

TEST(Plan, Int8NeedsWholeTilesOfChannels) {
  Manifest manifest = three_billion();
  manifest.config.text.head_dim = 20;
  EngineOptions options;
  options.context = 1024;
  EXPECT_EQ(plan_memory(manifest, options)->kv_format, KvFormat::kF16);
  options.kv = KvFormat::kInt8;
  const auto refused = plan_memory(manifest, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().param, "kv");
}

TEST(Plan, TheContextIsHalvedUntilItFits) {
  const Manifest manifest = three_billion();
  EngineOptions options;
  // Unasked, 4 GiB give half of it: the other half would leave no room for a large image.
  EXPECT_EQ(plan_memory(manifest, options)->context, 16384);
  options.memory_bytes_max = 5000 * kMiB;
  EXPECT_EQ(plan_memory(manifest, options)->context, 32768);
  options.memory_bytes_max = 3300 * kMiB;
  const auto plan = plan_memory(manifest, options);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_LT(plan->context, 16384);
  EXPECT_GE(plan->context, 512);
  EXPECT_EQ(32768 % plan->context, 0);
  EXPECT_LE(plan->resident_bytes(), options.memory_bytes_max);
  // A context that was asked for is not changed silently.
  options.context = 32768;
  const auto refused = plan_memory(manifest, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, Status::kPlanExceedsMemory);
  // Neither is the model's own limit passed.
  options.context = 128001;
  EXPECT_EQ(plan_memory(manifest, options).error().param, "context");
}

TEST(Plan, TheRefusalNamesEveryPart) {
  EngineOptions options;
  options.memory_bytes_max = 1000 * kMiB;
  const auto plan = plan_memory(three_billion(), options);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().status, Status::kPlanExceedsMemory);
  for (const char* part : {"weights ", "KV cache for 512 tokens ", "activations ", "reserve ",
                           "the memory holds 1048576000: choose a smaller context"}) {
    EXPECT_NE(plan.error().message.find(part), std::string::npos) << plan.error().message;
  }
}

TEST(Plan, GrowsWithEachOption) {
  const Manifest manifest = three_billion();
  EngineOptions options;
  options.context = 4096;
  options.memory_bytes_max = int64_t{1} << 40;
  const MemoryPlan small = *plan_memory(manifest, options);
  options.sequences_max = 16;
  const MemoryPlan wide = *plan_memory(manifest, options);
  EXPECT_GT(wide.kv_bytes, small.kv_bytes);
  EXPECT_GE(wide.activations_bytes - small.activations_bytes, int64_t{8} * 151936 * 12);
  options.kv = KvFormat::kF16;
  const int64_t halves = plan_memory(manifest, options)->kv_bytes;
  options.fast = false;  // keys and values in f32
  EXPECT_EQ(plan_memory(manifest, options)->kv_bytes, 2 * halves);
  options.image_tokens_max = 100;
  EXPECT_LT(plan_memory(manifest, options)->image_bytes, small.image_bytes);
}

TEST(Plan, AnImageHasNoMoreTokensThanTheContext) {
  const Manifest manifest = three_billion();
  EngineOptions options;
  options.context = 1024;
  const int64_t unasked = plan_memory(manifest, options)->image_bytes;
  EXPECT_LT(unasked, 200 * kMiB);
  options.image_tokens_max = 1024;
  EXPECT_EQ(plan_memory(manifest, options)->image_bytes, unasked);
  // Beside a smaller image lie the merged rows of those before it.
  options.image_tokens_max = 1000;
  const int64_t smaller = plan_memory(manifest, options)->image_bytes;
  EXPECT_LT(smaller, unasked);
  options.context = 2048;
  EXPECT_EQ(plan_memory(manifest, options)->image_bytes - smaller, int64_t{1024} * 2048 * 4);
}

int64_t allocated_bytes() {
#ifdef OCELLI_ASAN
  return static_cast<int64_t>(__sanitizer_get_current_allocated_bytes());
#else
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
#endif
}

TEST(Plan, AnOpenEngineTakesWhatWasPlanned) {
  const ordered_json options = {{"context", 4096}, {"sequences_max", 8}};
  const std::string manifest = read_file(container() + "/manifest.json"), chosen = options.dump();
  const char* json = nullptr;
  uint32_t bytes = 0;
  ASSERT_EQ(ocelli_plan(manifest.data(), static_cast<uint32_t>(manifest.size()), chosen.data(),
                        static_cast<uint32_t>(chosen.size()), &json, &bytes),
            0);
  const ordered_json plan = ordered_json::parse(json, json + bytes);
  const int64_t buffers = plan["weights_bytes"].get<int64_t>() + plan["kv_bytes"].get<int64_t>() +
                          plan["activations_bytes"].get<int64_t>();
  const int64_t before = allocated_bytes();
  EngineDriver engine(container(), options);
  std::vector<Reply> replies{engine.open(
      ask("hi", {{"n", 8}, {"logprobs", true}, {"presence_penalty", 1}, {"max_tokens", 50}}), "")};
  bool more = true;
  for (int i = 0; i < 3; ++i) engine.step_once(replies, more);
  const int64_t taken = allocated_bytes() - before;
  EXPECT_GE(taken, buffers * 95 / 100);
  // Tokenizer and requests come out of the reserve.
  EXPECT_LE(taken, buffers + plan["reserve_bytes"].get<int64_t>() / 4);
}

TEST(Plan, AnImageInFlightTakesWhatWasPlanned) {
  // Beside a stream an image is encoded slice by slice, so there is a middle to look at.
  EngineDriver engine(container(), {{"context", 1024}, {"image_tokens_max", 900}});
  const std::string manifest = read_file(container() + "/manifest.json");
  EngineOptions options;
  options.context = 1024;
  options.image_tokens_max = 900;
  const int64_t planned = plan_memory(*parse_manifest(manifest), options)->image_bytes;
  std::vector<Reply> replies{
      engine.open(ask("hi", {{"max_tokens", 60}, {"ignore_eos", true}}), "")};
  bool more = true;
  engine.step_once(replies, more);
  const int64_t before = allocated_bytes();
  uint32_t media = 0;
  ASSERT_EQ(put_image(engine, bmp(840, 840), media), 0);  // 30 x 30 tokens
  ordered_json body = ask("");
  body["messages"] = user(parts(image_part(media)));
  replies.push_back(engine.open(body, ""));
  ASSERT_TRUE(replies[1].error.is_null()) << replies[1].error.dump();
  engine.step_once(replies, more);
  ASSERT_EQ(stats(engine)["image_tokens"], 900);
  const int64_t taken = allocated_bytes() - before;
  // Less the merged rows of other images, of which there are none.
  EXPECT_GE(taken, (planned - 124 * 128 * 4) * 95 / 100);
  EXPECT_LE(taken, planned * 105 / 100);
}

}  // namespace
}  // namespace ocelli::test
