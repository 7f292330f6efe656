// Damaged and wrong checkpoints: a typed error that names the culprit, and nothing committed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "convert/convert.h"
#include "convert/tiny_checkpoint.h"

namespace ocelli {
namespace {

using namespace testing;

void expect_refused(const Files& files, Status status, std::string_view part,
                    const ConvertOptions& options = {}) {
  MemorySource source(files);
  MemorySink sink;
  RecordingListener listener;
  const auto manifest = convert(source, sink, listener, options);
  ASSERT_FALSE(manifest) << "should mention " << part;
  EXPECT_EQ(manifest.error().status, status) << manifest.error().message;
  EXPECT_NE(manifest.error().message.find(part), std::string::npos) << manifest.error().message;
  EXPECT_FALSE(sink.committed);
  EXPECT_FALSE(sink.files.contains("manifest.json"));
}

TEST(BadSource, TruncatedAtAnyPlace) {
  const Files good = tiny_checkpoint(Dtype::kBf16).files();
  const size_t bytes = good.at("model.safetensors").size();
  for (const size_t length :
       {size_t{0}, size_t{7}, size_t{8}, size_t{100}, bytes / 2, bytes - 2, bytes - 1}) {
    Files files = good;
    files["model.safetensors"].resize(length);
    expect_refused(files, Status::kInvalidSafetensors, "model.safetensors");
  }
}

TEST(BadSource, OverlappingTensors) {
  Files files = tiny_checkpoint(Dtype::kBf16).files();
  const std::string header =
      R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[4,12]}})";
  std::vector<uint8_t> file(8, 0);
  file[0] = static_cast<uint8_t>(header.size());
  file.insert(file.end(), header.begin(), header.end());
  file.resize(file.size() + 12);
  files["model.safetensors"] = file;
  expect_refused(files, Status::kInvalidSafetensors, "overlap");
}

TEST(BadSource, MissingTensorsAreNamed) {
  for (const char* name :
       {"model.layers.1.self_attn.k_proj.bias", "model.layers.0.mlp.down_proj.weight",
        "visual.merger.ln_q.weight", "visual.blocks.1.attn.qkv.bias", "model.norm.weight",
        "model.embed_tokens.weight", "visual.patch_embed.proj.weight"}) {
    TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
    tiny.tensors.erase(name);
    expect_refused(tiny.files(), Status::kMissingTensor, name);
  }
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  std::erase_if(tiny.tensors,
                [](const auto& entry) { return entry.first.starts_with("model.layers.1."); });
  expect_refused(tiny.files(), Status::kMissingTensor, "and those of 8 more weights");
  std::map<std::string, AwqTruth> truth;
  for (const char* suffix : {".qzeros", ".scales"}) {
    TinyCheckpoint awq = tiny_awq(truth);
    awq.tensors.erase("model.layers.0.mlp.up_proj" + std::string(suffix));
    expect_refused(awq.files(), Status::kMissingTensor,
                   "model.layers.0.mlp.up_proj" + std::string(suffix));
  }
}

TEST(BadSource, WrongShapesAreNamed) {
  const auto reshaped = [](const char* name, std::vector<int64_t> shape) {
    TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
    tiny.tensors[name].shape = std::move(shape);
    return tiny.files();
  };
  expect_refused(reshaped("model.layers.0.mlp.down_proj.weight", {256, 128}), Status::kTensorShape,
                 "[256, 128]");
  expect_refused(reshaped("model.embed_tokens.weight", {150, 256}), Status::kTensorShape,
                 "model.embed_tokens");
  expect_refused(reshaped("model.norm.weight", {1, 128}), Status::kTensorShape,
                 "model.norm.weight");
  expect_refused(reshaped("visual.patch_embed.proj.weight", {32, 3, 2, 7, 28}),
                 Status::kTensorShape, "visual.patch_embed.proj.weight");
  TinyCheckpoint config = tiny_checkpoint(Dtype::kBf16);
  config.config["intermediate_size"] = 512;
  expect_refused(config.files(), Status::kTensorShape, "gate_proj");
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint awq = tiny_awq(truth);
  awq.tensors["model.layers.0.mlp.down_proj.scales"].shape = {4, 64};
  expect_refused(awq.files(), Status::kTensorShape, "model.layers.0.mlp.down_proj.scales");
}

TEST(BadSource, WrongDtypesAreNamed) {
  const auto retyped = [](const char* name, Dtype dtype) {
    TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
    tiny.tensors[name].dtype = dtype;
    return tiny.files();
  };
  expect_refused(retyped("model.layers.0.mlp.down_proj.weight", Dtype::kI16), Status::kTensorDtype,
                 "I16");
  expect_refused(retyped("model.norm.weight", Dtype::kU16), Status::kTensorDtype,
                 "model.norm.weight");
  expect_refused(retyped("visual.blocks.0.attn.qkv.bias", Dtype::kI16), Status::kTensorDtype,
                 "qkv.bias");
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint awq = tiny_awq(truth);
  awq.tensors["model.layers.0.mlp.down_proj.qweight"].dtype = Dtype::kF32;
  expect_refused(awq.files(), Status::kTensorDtype, "qweight");
}

TEST(BadSource, NanAndInfinityAreNamed) {
  const float kBad[] = {std::numeric_limits<float>::quiet_NaN(),
                        std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity()};
  for (const Dtype dtype : {Dtype::kBf16, Dtype::kF16, Dtype::kF32}) {
    for (const float bad : kBad) {
      for (const char* name :
           {"model.layers.1.mlp.up_proj.weight", "model.norm.weight", "visual.merger.mlp.2.bias",
            "visual.blocks.0.mlp.down_proj.weight", "model.embed_tokens.weight"}) {
        TinyCheckpoint tiny = tiny_checkpoint(dtype);
        tiny.set(name, 77, bad);
        expect_refused(tiny.files(), Status::kTensorDtype, name);
      }
    }
    TinyCheckpoint tiny = tiny_checkpoint(dtype);
    tiny.set("model.layers.1.mlp.up_proj.weight", 9, kBad[0]);
    for (const Precision precision : {Precision::kInt4, Precision::kInt8}) {
      ConvertOptions options;
      options.linear = precision;
      expect_refused(tiny.files(), Status::kTensorDtype, "model.layers.1.mlp.up_proj.weight",
                     options);
    }
  }
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint awq = tiny_awq(truth);
  awq.set("model.layers.1.self_attn.o_proj.scales", 3, kBad[0]);
  expect_refused(awq.files(), Status::kTensorDtype, "model.layers.1.self_attn.o_proj.scales");
}

TEST(BadSource, ScalesThatAreNoF16) {
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint awq = tiny_awq(truth);
  TinyTensor& scales = awq.tensors["model.layers.0.self_attn.o_proj.scales"];
  scales = {Dtype::kF32, scales.shape, std::vector<uint8_t>(scales.bytes.size() * 2)};
  ASSERT_TRUE([&] {
    const Files files = awq.files();
    MemorySource source(files);
    MemorySink sink;
    RecordingListener listener;
    return convert(source, sink, listener, {}).has_value();
  }()) << "zeros are f16 values";
  awq.set("model.layers.0.self_attn.o_proj.scales", 1, 0.1f);
  expect_refused(awq.files(), Status::kTensorDtype, "no f16 value");
}

TEST(BadSource, ValuesTooLargeToQuantise) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.set("model.layers.1.mlp.up_proj.weight", 9, 1e9f);
  ConvertOptions options;
  options.linear = Precision::kInt4;
  expect_refused(tiny.files(), Status::kUnsupportedQuantization, "model.layers.1.mlp.up_proj",
                 options);
}

TEST(BadSource, TheSameTensorTwice) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.tensors["model.language_model.norm.weight"] = tiny.tensors["model.norm.weight"];
  expect_refused(tiny.files(), Status::kInvalidSafetensors, "norm.weight");
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint awq = tiny_awq(truth);
  awq.tensors["model.layers.0.mlp.up_proj.weight"] = {
      Dtype::kBf16, {256, 128}, std::vector<uint8_t>(65536)};
  expect_refused(awq.files(), Status::kUnsupportedQuantization, "model.layers.0.mlp.up_proj");
}

TEST(BadSource, MissingAndBrokenFiles) {
  const Files good = tiny_checkpoint(Dtype::kBf16).files();
  const auto without = [&](const char* name) {
    Files files = good;
    files.erase(name);
    return files;
  };
  const auto with = [&](const char* name, const std::string& text) {
    Files files = good;
    files[name] = bytes_of(text);
    return files;
  };
  expect_refused(without("config.json"), Status::kIoError, "config.json");
  expect_refused(without("tokenizer.json"), Status::kIoError, "tokenizer.json");
  expect_refused(without("model.safetensors"), Status::kIoError, "safetensors");
  expect_refused(with("config.json", "{"), Status::kInvalidConfig, "config.json");
  expect_refused(with("config.json", "[]"), Status::kInvalidConfig, "config.json");
  expect_refused(with("preprocessor_config.json", "nope"), Status::kInvalidConfig,
                 "preprocessor_config.json");
  expect_refused(with("generation_config.json", ""), Status::kInvalidConfig,
                 "generation_config.json");
  expect_refused(with("tokenizer.json", "{}"), Status::kInvalidTokenizer, "tokenizer.json");
  expect_refused({}, Status::kIoError, "safetensors");
}

TEST(BadSource, BrokenIndex) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.weight_files = 2;
  Files files = tiny.files();
  const char* const kIndex = "model.safetensors.index.json";
  Files lost = files;
  lost.erase("model-2-of-2.safetensors");
  expect_refused(lost, Status::kIoError, "model-2-of-2.safetensors");
  nlohmann::json index = nlohmann::json::parse(files[kIndex]);
  nlohmann::json wrong = index;
  wrong["weight_map"]["model.extra.weight"] = "model-1-of-2.safetensors";
  files[kIndex] = bytes_of(wrong.dump());
  expect_refused(files, Status::kMissingTensor, "model.extra.weight");
  for (const char* name : {"../model.safetensors", "a/b.safetensors", "", ".hidden"}) {
    wrong = index;
    wrong["weight_map"]["model.norm.weight"] = name;
    files[kIndex] = bytes_of(wrong.dump());
    expect_refused(files, Status::kInvalidSafetensors, "weight_map");
  }
  files[kIndex] = bytes_of("{}");
  expect_refused(files, Status::kInvalidSafetensors, "weight_map");
}

TEST(BadSource, TokenizerLargerThanTheEmbedding) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.tokenizer["added_tokens"].push_back(
      {{"id", 300}, {"content", "<extra>"}, {"special", true}});
  expect_refused(tiny.files(), Status::kInvalidTokenizer, "301");
}

TEST(BadSource, ShardSizeOutOfRange) {
  const Files good = tiny_checkpoint(Dtype::kBf16).files();
  for (const int mib : {0, -1, kShardMibMax + 1}) {
    ConvertOptions options;
    options.shard_mib = mib;
    expect_refused(good, Status::kInvalidArgument, "shard size", options);
  }
}

}  // namespace
}  // namespace ocelli
