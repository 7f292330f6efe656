// Whole conversions in memory: the container, read back by its documentation, holds what the source
// held.
#include "convert/convert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/half.h"
#include "convert/tiny_checkpoint.h"
#include "format/sha256.h"
#include "format/weight_table.h"
#include "text/tokenizer.h"

namespace ocelli {
namespace {

using namespace testing;

struct Outcome {
  Files files;
  RecordingListener listener;
};

Outcome run(const TinyCheckpoint& tiny, const ConvertOptions& options = {}) {
  Outcome out;
  const Files source_files = tiny.files();
  MemorySource source(source_files);
  MemorySink sink;
  const auto manifest = convert(source, sink, out.listener, options);
  EXPECT_TRUE(manifest) << manifest.error().message;
  EXPECT_TRUE(sink.committed);
  EXPECT_EQ(out.listener.done, out.listener.total);
  out.files = std::move(sink.files);
  return out;
}

// Norms and biases are the source's values; matrices too, within `bound` times the largest value of
// the matrix.
void expect_equal(const TinyCheckpoint& tiny, const Container& container, double bound_linear,
                  double bound_vision, double bound_embedding) {
  for (const WeightSpec& spec : weight_table(container.manifest().config)) {
    SCOPED_TRACE(spec.name);
    const auto expect_padded = [&](const std::vector<float>& expected,
                                   const std::vector<float>& got) {
      for (size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], i < expected.size() ? expected[i] : 0.0f);
    };
    if (spec.kind == WeightKind::kNorm) {
      const std::vector<float> got = container.floats(spec.name);
      ASSERT_EQ(got.size() % 2, 0u);
      expect_padded(tiny.values(spec.name + ".weight"), got);
      continue;
    }
    if (spec.bias) {
      const std::vector<float> got = container.floats(spec.name + ".bias");
      ASSERT_EQ(got.size(), static_cast<size_t>(round_up(spec.n, 8)));
      expect_padded(tiny.values(spec.name + ".bias"), got);
    }
    if (!tiny.tensors.contains(spec.name + ".weight")) continue;  // AWQ has its own test
    const double bound = spec.group == WeightGroup::kLinear   ? bound_linear
                         : spec.group == WeightGroup::kVision ? bound_vision
                                                              : bound_embedding;
    const std::vector<float> expected = tiny.values(spec.name + ".weight");
    const std::vector<float> got = container.matrix(spec.name, spec.n, spec.k);
    ASSERT_EQ(got.size(), expected.size());
    double largest = 0.0;
    for (const float value : expected) largest = std::max(largest, std::fabs(double{value}));
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_LE(std::fabs(double{got[i]} - double{expected[i]}), bound * largest) << i;
  }
}

TEST(Convert, KeepsDenseCheckpointsBitForBit) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16, Dtype::kF32}) {
    const TinyCheckpoint tiny = tiny_checkpoint(dtype);
    const Outcome result = run(tiny);
    const Container container(result.files);
    expect_equal(tiny, container, 0.0, 0.0, 0.0);
    const std::string word = dtype == Dtype::kBf16 ? "bf16" : dtype == Dtype::kF16 ? "f16" : "f32";
    EXPECT_EQ(container.manifest().linear, word);
    // Random values have some that f16 cannot hold: those matrices keep the source's type, and that
    // is said.
    EXPECT_EQ(result.listener.noted("matrices keep the source's precision"), dtype != Dtype::kF16);
  }
}

TEST(Convert, GivesF16WhereThatIsExact) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  for (auto& [name, tensor] : tiny.tensors)  // multiples of 2^-8 below 1 fit both formats
    for (size_t i = 0; i < tensor.bytes.size() / 2; ++i)
      tiny.set(name, i, static_cast<float>(static_cast<int>(i % 255) - 127) / 256.0f);
  const Outcome result = run(tiny);
  const Container container(result.files);
  EXPECT_EQ(container.manifest().vision, "f16");
  EXPECT_EQ(container.manifest().embedding, "f16");
  EXPECT_EQ(container.manifest().linear, "bf16");
  EXPECT_FALSE(result.listener.noted("keep the source's precision"));
  expect_equal(tiny, container, 0.0, 0.0, 0.0);
}

TEST(Convert, AskedForF16RoundsButNeverOverflows) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kF32);
  tiny.set("visual.merger.mlp.0.weight", 5, 1e6f);
  ConvertOptions options;
  options.vision = Precision::kF16;
  options.embedding = Precision::kF16;
  const Outcome result = run(tiny, options);
  const Container container(result.files);
  EXPECT_EQ(container.manifest().embedding, "f16");
  EXPECT_EQ(container.manifest().vision, "mixed");
  EXPECT_EQ(container.tensor("visual.merger.mlp.0.dense").dtype, Dtype::kF32);
  EXPECT_TRUE(result.listener.noted("1 of 13 vision matrices keep"));
  expect_equal(tiny, container, 0.0, 1.0 / 2048, 1.0 / 2048);
}

TEST(Convert, AwqIsExact) {
  std::map<std::string, AwqTruth> truth;
  const TinyCheckpoint tiny = tiny_awq(truth);
  const Outcome result = run(tiny);
  const Container container(result.files);
  EXPECT_EQ(container.manifest().linear, "u4");
  expect_equal(tiny, container, 0.0, 0.0, 0.0);
  ASSERT_EQ(truth.size(), 14u);
  for (const WeightSpec& spec : weight_table(container.manifest().config)) {
    if (spec.group != WeightGroup::kLinear) continue;
    const AwqTruth& t = truth.at(spec.name);
    const std::vector<float> values = container.matrix(spec.name, spec.n, spec.k);
    for (int row = 0; row < spec.n; ++row) {
      for (int i = 0; i < spec.k; ++i) {
        const Container::U4 got = container.u4(spec.name, row, i);
        const auto group = static_cast<size_t>(i / 128 * spec.n + row);
        const int code = t.codes[static_cast<size_t>(i * spec.n + row)];
        ASSERT_EQ(got.code, code);
        ASSERT_EQ(got.zero, t.zeros[group]);
        ASSERT_EQ(got.scale, t.scales[group]);
        ASSERT_EQ(values[static_cast<size_t>(row * spec.k + i)],
                  static_cast<float>(code - t.zeros[group]) * f16_to_f32(t.scales[group]));
      }
    }
  }
  // --linear int4 has nothing to do on it.
  ConvertOptions options;
  options.linear = Precision::kInt4;
  EXPECT_EQ(run(tiny, options).files, result.files);
}

TEST(Convert, AwqAsInt8IsWithinHalfAStep) {
  std::map<std::string, AwqTruth> truth;
  const TinyCheckpoint tiny = tiny_awq(truth);
  ConvertOptions options;
  options.linear = Precision::kInt8;
  const Outcome result = run(tiny, options);
  const Container container(result.files);
  EXPECT_EQ(container.manifest().linear, "u8");
  const std::string name = "model.layers.1.mlp.down_proj";
  const AwqTruth& t = truth.at(name);
  const std::vector<float> got = container.matrix(name, kHidden, kIntermediate);
  for (int row = 0; row < kHidden; ++row) {
    for (int i = 0; i < kIntermediate; ++i) {
      const auto group = static_cast<size_t>(i / 128 * kHidden + row);
      const float scale = f16_to_f32(t.scales[group]);
      const float expected =
          static_cast<float>(t.codes[static_cast<size_t>(i * kHidden + row)] - t.zeros[group]) *
          scale;
      ASSERT_NEAR(got[static_cast<size_t>(row * kIntermediate + i)], expected,
                  15.0f * scale / 127.0f * 0.51f);
    }
  }
}

TEST(Convert, QuantisesWithinItsBounds) {
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF32}) {
    const TinyCheckpoint tiny = tiny_checkpoint(dtype, false);
    ConvertOptions options;
    options.linear = Precision::kInt4;
    options.vision = Precision::kInt8;
    options.embedding = Precision::kInt8;
    const Container container(run(tiny, options).files);
    EXPECT_EQ(container.manifest().linear, "u4");
    EXPECT_EQ(container.manifest().vision, "u8");
    EXPECT_EQ(container.manifest().embedding, "u8");
    // One step of int4 is at most 2/15 of the largest value, half a step of int8 1/254 of it.
    expect_equal(tiny, container, 2.0 / 15 * 1.01, 1.0 / 254 * 1.01, 1.0 / 254 * 1.01);
    EXPECT_TRUE(container.has("lm_head.u8"));
  }
}

TEST(Convert, VisionAsF32IsExact) {
  const TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  ConvertOptions options;
  options.vision = Precision::kF32;
  options.embedding = Precision::kF32;
  const Container container(run(tiny, options).files);
  EXPECT_EQ(container.manifest().vision, "f32");
  EXPECT_EQ(container.manifest().embedding, "f32");
  expect_equal(tiny, container, 0.0, 0.0, 0.0);
}

TEST(Convert, WritesTheManifest) {
  const TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  ConvertOptions options;
  options.name = "tiny";
  const Container container(run(tiny, options).files);
  const Manifest& m = container.manifest();
  EXPECT_EQ(m.name, "tiny");
  EXPECT_EQ(m.config.text.head_dim, kHeadDim);
  EXPECT_TRUE(m.config.text.tied);
  EXPECT_EQ(m.config.text.context, 4096);
  EXPECT_EQ(m.config.vision.full_blocks, std::vector<int>{1});
  EXPECT_EQ(m.config.image.mean[1], 0.25f);
  EXPECT_EQ(m.config.ids.image_pad, 264);
  EXPECT_EQ(m.config.generation.eos, (std::vector<int32_t>{258, 259}));
  EXPECT_EQ(m.config.generation.temperature, 1e-6);
  EXPECT_EQ(m.config.generation.repetition_penalty, 1.05);
  EXPECT_FALSE(m.config.generation.top_k);
  EXPECT_EQ(m.tokens, 267);
  EXPECT_EQ(m.merges, 2);
  ASSERT_EQ(m.added.size(), 9u);
  EXPECT_EQ(m.added[8].content, "<tool_call>");
  EXPECT_FALSE(m.added[8].special);
}

TEST(Convert, LaysShardsOutInTheOrderOfUse) {
  const Container container(run(tiny_checkpoint(Dtype::kBf16, false)).files);
  const std::vector<std::string>& order = container.order();
  const auto at = [&](const std::string& name) {
    return std::find(order.begin(), order.end(), name) - order.begin();
  };
  EXPECT_EQ(at("tokenizer.bytes"), 0);
  EXPECT_LT(at("tokenizer.merges"), at("visual.patch_embed.proj.dense"));
  EXPECT_LT(at("visual.blocks.0.attn.qkv.dense"), at("visual.blocks.1.attn.qkv.dense"));
  EXPECT_LT(at("visual.merger.mlp.2.bias"), at("model.embed_tokens.dense"));
  EXPECT_LT(at("model.embed_tokens.dense"), at("model.layers.0.input_layernorm"));
  EXPECT_LT(at("model.layers.0.mlp.down_proj.dense"), at("model.layers.1.input_layernorm"));
  EXPECT_LT(at("model.norm"), at("lm_head.dense"));
  EXPECT_EQ(container.manifest().shards[0].holds,
            (std::vector<std::string>{"tokenizer", "vision", "embed", "layer.0", "layer.1", "norm",
                                      "lm_head"}));
}

TEST(Convert, SplitsLargeMatricesIntoPartsOfWholeTiles) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kF32);
  constexpr int kRows = 5003;  // 2.4 MiB as f32, no multiple of 8
  tiny.config["vocab_size"] = kRows;
  TinyTensor& embedding = tiny.tensors["model.embed_tokens.weight"];
  embedding = {Dtype::kF32, {kRows, kHidden}, std::vector<uint8_t>(size_t{kRows} * kHidden * 4)};
  for (size_t i = 0; i < size_t{kRows} * kHidden; ++i)
    tiny.set("model.embed_tokens.weight", i, static_cast<float>(i % 8191) * 0x1p-13f);
  ConvertOptions options;
  options.shard_mib = 1;
  for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
    options.embedding = precision;
    const Container container(run(tiny, options).files);
    const std::string suffix = precision == Precision::kF32 ? ".dense" : ".u8";
    EXPECT_FALSE(container.has("model.embed_tokens" + suffix) && precision == Precision::kF32);
    for (const ShardInfo& shard : container.manifest().shards)
      EXPECT_LE(shard.bytes, (1u << 20) + 65536u);
    if (precision == Precision::kF32) {
      EXPECT_TRUE(container.has("model.embed_tokens#2.dense"));
      EXPECT_NE(container.shard_of("model.embed_tokens#0.dense"),
                container.shard_of("model.embed_tokens#1.dense"));
    }
    expect_equal(tiny, container, 0.0, 0.0, precision == Precision::kF32 ? 0.0 : 1.0 / 250);
  }
  // Codes and scales of one part share a shard.
  options.linear = Precision::kInt8;
  const Container container(run(tiny, options).files);
  for (const std::string& name : container.order()) {
    if (name.ends_with(".scales")) {
      const std::string stem = name.substr(0, name.size() - 7);
      EXPECT_EQ(container.shard_of(name), container.shard_of(stem + ".u8"));
    }
  }
}

TEST(Convert, IsDeterministicAndBlindToSpellingAndFiles) {
  const TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const Files once = run(tiny).files;
  EXPECT_EQ(run(tiny).files, once);

  TinyCheckpoint sharded = tiny;
  sharded.weight_files = 3;
  EXPECT_EQ(run(sharded).files, once);

  TinyCheckpoint renamed = tiny;
  rename_tensors(renamed, [](const std::string& name) {
    if (name.starts_with("visual.")) return "model." + name;
    return "model.language_model." + name.substr(6);
  });
  EXPECT_EQ(run(renamed).files, once);
}

// Any change here is a change of the container format: bump the version, or find what became
// unpredictable.
TEST(Convert, TheFormatHasNotMoved) {
  std::map<std::string, AwqTruth> truth;
  ConvertOptions options;
  options.vision = Precision::kInt8;
  EXPECT_EQ(sha256_hex(run(tiny_awq(truth), options).files.at("manifest.json")),
            "8e3e5c2d72c0a6ff84d08a6d09bc4122b8605c488fdbeb3249cd55f6ac11a407");
  options.linear = Precision::kInt4;
  EXPECT_EQ(sha256_hex(run(tiny_checkpoint(Dtype::kF32, false), options).files.at("manifest.json")),
            "29f5630e1c83bf77919fd16c77b713d6667161e3fe8cee459df35838ae34ad8a");
}

TEST(Convert, ManyFilesWithoutAnIndexAreReadToo) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const Files once = run(tiny).files;
  tiny.weight_files = 2;
  Files files = tiny.files();
  files.erase("model.safetensors.index.json");
  MemorySource source(files);
  MemorySink sink;
  RecordingListener listener;
  ASSERT_TRUE(convert(source, sink, listener, {}));
  EXPECT_EQ(sink.files, once);
}

TEST(Convert, TiedModelsIgnoreACopyOfTheHead) {
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint tiny = tiny_awq(truth);
  const Files once = run(tiny).files;
  tiny.tensors["lm_head.weight"] = tiny.tensors["model.embed_tokens.weight"];
  const Outcome result = run(tiny);
  EXPECT_EQ(result.files, once);
  EXPECT_TRUE(result.listener.noted("lm_head.weight is ignored"));
}

TEST(Convert, NamesTensorsItDoesNotKnow) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const Files once = run(tiny).files;
  tiny.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
      Dtype::kF32, {2}, std::vector<uint8_t>(8)};
  tiny.tensors["model.layers.7.mlp.up_proj.weight"] = {Dtype::kI64, {1}, std::vector<uint8_t>(8)};
  const Outcome result = run(tiny);
  EXPECT_EQ(result.files, once);
  EXPECT_TRUE(result.listener.noted("warning: 2 tensors are not part of the model"));
  EXPECT_TRUE(result.listener.noted("inv_freq"));
}

TEST(Convert, TheTokenizerOfTheContainerWorks) {
  const Container container(run(tiny_checkpoint(Dtype::kBf16)).files);
  const auto words = [&](const std::string& name) {
    const TensorView& view = container.tensor(name);
    EXPECT_EQ(view.dtype, Dtype::kU32);
    return std::span(reinterpret_cast<const uint32_t*>(view.data.data()), view.data.size() / 4);
  };
  TokenizerData data{container.tensor("tokenizer.bytes").data,
                     words("tokenizer.ends"),
                     words("tokenizer.merges"),
                     {},
                     container.manifest().tokens};
  for (const AddedTokenInfo& token : container.manifest().added)
    data.added.push_back({token.id, token.content, token.special});
  const auto tokenizer = Tokenizer::open(data);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  std::vector<int32_t> ids;
  tokenizer->encode("<|im_start|>sing", true, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{260, 's' - 0x21, 257}));
  EXPECT_EQ(tokenizer->token_bytes(257), "ing");
  EXPECT_EQ(tokenizer->token_bytes(266), "<tool_call>");
}

TEST(Convert, VocabAndMergesGiveTheSameTokenizer) {
  const TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const Files once = run(tiny).files;
  Files files = tiny.files();
  files.erase("tokenizer.json");
  files["vocab.json"] = bytes_of(tiny.tokenizer["model"]["vocab"].dump());
  files["merges.txt"] = bytes_of("#version: 0.2\ni n\nin g\n");
  nlohmann::json config;
  for (const nlohmann::json& token : tiny.tokenizer["added_tokens"])
    config["added_tokens_decoder"][std::to_string(token["id"].get<int>())] = token;
  files["tokenizer_config.json"] = bytes_of(config.dump());
  MemorySource source(files);
  MemorySink sink;
  RecordingListener listener;
  const auto manifest = convert(source, sink, listener, {});
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(sink.files, once);
}

}  // namespace
}  // namespace ocelli
