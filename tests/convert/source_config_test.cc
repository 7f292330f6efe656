// Config spellings, old, new and abbreviated, and what the reader refuses.
#include <gtest/gtest.h>

#include "convert/convert.h"
#include "convert/tiny_checkpoint.h"

namespace ocelli {
namespace {

using namespace testing;

Result<Manifest> convert_tiny(const TinyCheckpoint& tiny,
                              RecordingListener* listener_out = nullptr) {
  const Files files = tiny.files();
  MemorySource source(files);
  MemorySink sink;
  RecordingListener listener;
  auto manifest = convert(source, sink, listener, {});
  EXPECT_EQ(sink.committed, manifest.has_value());
  if (listener_out != nullptr) *listener_out = listener;
  return manifest;
}

ModelConfig config_of(const TinyCheckpoint& tiny) {
  const auto manifest = convert_tiny(tiny);
  EXPECT_TRUE(manifest) << manifest.error().message;
  return manifest ? manifest->config : ModelConfig{};
}

void expect_refused(const TinyCheckpoint& tiny, Status status, std::string_view part) {
  const auto manifest = convert_tiny(tiny);
  ASSERT_FALSE(manifest) << "should mention " << part;
  EXPECT_EQ(manifest.error().status, status) << manifest.error().message;
  EXPECT_NE(manifest.error().message.find(part), std::string::npos) << manifest.error().message;
}

TEST(SourceConfig, EverySpellingOfPlainRopeIsTheSame) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const ModelConfig expected = config_of(tiny);
  const char* const kSpellings[] = {
      R"({"type": "mrope", "mrope_section": [4, 6, 6]})",
      R"({"rope_type": "mrope", "mrope_section": [4, 6, 6]})",
      R"({"rope_type": "default", "type": "default", "mrope_section": [4, 6, 6]})",
      R"({"mrope_section": [4, 6, 6]})"};
  for (const char* spelling : kSpellings) {
    tiny.config["rope_scaling"] = nlohmann::json::parse(spelling);
    EXPECT_EQ(config_of(tiny), expected) << spelling;
  }
}

TEST(SourceConfig, NestedAndV5SpellingsAreTheSame) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const ModelConfig expected = config_of(tiny);
  nlohmann::json text;
  for (const char* key :
       {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "intermediate_size", "vocab_size", "hidden_act", "rms_norm_eps", "rope_theta",
        "rope_scaling", "max_position_embeddings", "tie_word_embeddings", "eos_token_id"}) {
    text[key] = tiny.config[key];
    tiny.config.erase(key);
  }
  text["model_type"] = "qwen2_5_vl_text";
  tiny.config["text_config"] = text;
  tiny.config["hidden_size"] = 9999;  // leftovers at the root lose against text_config
  EXPECT_EQ(config_of(tiny), expected);

  nlohmann::json& nested = tiny.config["text_config"];
  nested["rope_parameters"] = nested["rope_scaling"];
  nested["rope_parameters"]["rope_theta"] = 1000000.0;
  nested.erase("rope_scaling");
  nested.erase("rope_theta");
  EXPECT_EQ(config_of(tiny), expected);
  nested["rope_parameters"]["rope_theta"] = 500000.0;
  EXPECT_EQ(config_of(tiny).text.rope_theta, 500000.0);
}

TEST(SourceConfig, AbbreviatedConfigsTakeSizesFromTensors) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  ModelConfig expected = config_of(tiny);
  for (const char* key :
       {"hidden_size", "num_hidden_layers", "num_key_value_heads", "intermediate_size",
        "vocab_size", "tie_word_embeddings", "hidden_act", "use_sliding_window"})
    tiny.config.erase(key);
  tiny.config["vision_config"] = nlohmann::json::parse(
      R"({"hidden_size": 32, "in_chans": 3, "num_heads": 2, "out_hidden_size": 128, "spatial_patch_size": 14,
          "tokens_per_second": 2})");
  expected.vision.full_blocks = {};  // the default 7, 15, 23, 31 of a tower with 2 blocks
  EXPECT_EQ(config_of(tiny), expected);
}

TEST(SourceConfig, MissingFullBlocksAreTheClassDefault) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  for (auto& [name, tensor] : std::map(tiny.tensors))
    if (name.starts_with("visual.blocks.0."))
      for (int block = 2; block < 9; ++block)
        tiny.tensors["visual.blocks." + std::to_string(block) + name.substr(15)] = tensor;
  tiny.config["vision_config"].erase("fullatt_block_indexes");
  tiny.config["vision_config"]["depth"] = 9;
  EXPECT_EQ(config_of(tiny).vision.full_blocks, std::vector<int>{7});
}

TEST(SourceConfig, YarnIsRead) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.config["rope_scaling"] = nlohmann::json::parse(
      R"({"type": "yarn", "mrope_section": [4, 6, 6], "factor": 4, "original_max_position_embeddings": 1024})");
  const ModelConfig config = config_of(tiny);
  EXPECT_TRUE(config.text.yarn);
  EXPECT_EQ(config.text.yarn_factor, 4.0);
  EXPECT_EQ(config.text.yarn_original_context, 1024);
  tiny.config["rope_scaling"]["beta_fast"] = 16;
  expect_refused(tiny, Status::kUnsupportedRope, "beta_fast");
}

TEST(SourceConfig, UnknownRopeIsRefused) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  for (const char* type : {"linear", "dynamic", "llama3", "longrope"}) {
    tiny.config["rope_scaling"] = {
        {"rope_type", type}, {"factor", 2.0}, {"mrope_section", {4, 6, 6}}};
    expect_refused(tiny, Status::kUnsupportedRope, type);
  }
}

TEST(SourceConfig, TheVisionTowersRopeIsFixed) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  const ModelConfig expected = config_of(tiny);
  tiny.config["vision_config"]["rope_parameters"] = {{"rope_theta", 10000.0},
                                                     {"rope_type", "axial"}};
  EXPECT_EQ(config_of(tiny), expected);
  tiny.config["vision_config"]["rope_parameters"]["rope_theta"] = 1000.0;
  expect_refused(tiny, Status::kUnsupportedRope, "vision_config.rope_parameters");
}

TEST(SourceConfig, ValuesThatMakeAnotherModelAreRefused) {
  const auto with = [](const std::string& pointer, const nlohmann::json& value) {
    TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
    tiny.config[nlohmann::json::json_pointer(pointer)] = value;
    return tiny;
  };
  expect_refused(with("/model_type", "qwen2_vl"), Status::kInvalidConfig, "qwen2_vl");
  expect_refused(with("/hidden_act", "gelu"), Status::kInvalidConfig, "gelu");
  expect_refused(with("/vision_config/hidden_act", "gelu"), Status::kInvalidConfig, "gelu");
  expect_refused(with("/num_attention_heads", 3), Status::kInvalidConfig, "num_attention_heads");
  expect_refused(with("/num_attention_heads", 0), Status::kInvalidConfig, "num_attention_heads");
  expect_refused(with("/num_attention_heads", "4"), Status::kInvalidConfig, "num_attention_heads");
  expect_refused(with("/rope_scaling/mrope_section", {4, 6, 7}), Status::kInvalidConfig,
                 "mrope_section");
  expect_refused(with("/rope_scaling", nullptr), Status::kInvalidConfig, "mrope_section");
  expect_refused(with("/rms_norm_eps", -1), Status::kInvalidConfig, "rms_norm_eps");
  expect_refused(with("/vision_config/window_size", 100), Status::kInvalidConfig, "window");
  expect_refused(with("/vision_config/fullatt_block_indexes", {5}), Status::kInvalidConfig,
                 "full_blocks");
  expect_refused(with("/vision_config/fullatt_block_indexes", "1"), Status::kInvalidConfig,
                 "fullatt_block_indexes");
  expect_refused(with("/image_token_id", 265), Status::kInvalidConfig, "image_token_id");
  expect_refused(with("/eos_token_id", -3), Status::kInvalidConfig, "eos_token_id");
  TinyCheckpoint sliding = with("/use_sliding_window", true);
  sliding.config["max_window_layers"] = 1;
  expect_refused(sliding, Status::kInvalidConfig, "use_sliding_window");
}

TEST(SourceConfig, OtherQuantisationIsRefused) {
  const auto with = [](const char* key, const nlohmann::json& value) {
    std::map<std::string, AwqTruth> truth;
    TinyCheckpoint tiny = tiny_awq(truth);
    tiny.config["quantization_config"][key] = value;
    return tiny;
  };
  expect_refused(with("quant_method", "gptq"), Status::kUnsupportedQuantization, "gptq");
  expect_refused(with("version", "gemv"), Status::kUnsupportedQuantization, "gemv");
  expect_refused(with("bits", 8), Status::kUnsupportedQuantization, "8");
  expect_refused(with("group_size", 64), Status::kUnsupportedQuantization, "64");
  expect_refused(with("group_size", -1), Status::kUnsupportedQuantization, "-1");
  expect_refused(with("zero_point", false), Status::kUnsupportedQuantization, "zero_point");
  std::map<std::string, AwqTruth> truth;
  TinyCheckpoint silent = tiny_awq(truth);
  silent.config.erase("quantization_config");
  expect_refused(silent, Status::kUnsupportedQuantization, "quantization_config");
  TinyCheckpoint fp8 = tiny_checkpoint(Dtype::kBf16);
  fp8.config["quantization_config"] = {{"quant_method", "fp8"}};
  expect_refused(fp8, Status::kUnsupportedQuantization, "fp8");
}

TEST(SourceConfig, WhetherTheHeadIsTied) {
  TinyCheckpoint untied = tiny_checkpoint(Dtype::kBf16, false);
  EXPECT_FALSE(config_of(untied).text.tied);
  untied.config.erase("tie_word_embeddings");
  EXPECT_FALSE(config_of(untied).text.tied);
  untied.config["tie_word_embeddings"] = true;
  untied.config["text_config"] = {{"tie_word_embeddings", false}};
  EXPECT_FALSE(config_of(untied).text.tied);  // they disagree: the head is there
  untied.tensors.erase("lm_head.weight");
  EXPECT_TRUE(config_of(untied).text.tied);
  untied.config["tie_word_embeddings"] = false;
  expect_refused(untied, Status::kMissingTensor, "lm_head.weight");
}

TEST(SourceConfig, ImageProcessorInAllItsPlaces) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.preprocessor =
      nlohmann::json::parse(R"({"size": {"shortest_edge": 784, "longest_edge": 100352}})");
  ImageProcessorConfig image = config_of(tiny).image;
  EXPECT_EQ(image.min_pixels, 784);
  EXPECT_EQ(image.max_pixels, 100352);
  EXPECT_EQ(image.mean[0], 0.48145466f);
  tiny.preprocessor["min_pixels"] = 3136;
  EXPECT_EQ(config_of(tiny).image.min_pixels, 3136);
  tiny.preprocessor = {{"patch_size", 16}};
  expect_refused(tiny, Status::kInvalidConfig, "patch_size");
  tiny.preprocessor = {{"do_rescale", false}};
  expect_refused(tiny, Status::kInvalidConfig, "do_rescale");
  tiny.preprocessor = {{"min_pixels", 1000}, {"max_pixels", 500}};
  expect_refused(tiny, Status::kInvalidConfig, "min_pixels");

  tiny.preprocessor = nullptr;
  RecordingListener listener;
  const auto manifest = convert_tiny(tiny, &listener);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->config.image, ImageProcessorConfig{});
  EXPECT_TRUE(listener.noted("preprocessor_config.json is missing"));

  Files files = tiny.files();
  files["processor_config.json"] =
      bytes_of(R"({"image_processor": {"max_pixels": 200704}, "other": 1})");
  MemorySource source(files);
  MemorySink sink;
  RecordingListener fresh;
  const auto nested = convert(source, sink, fresh, {});
  ASSERT_TRUE(nested) << nested.error().message;
  EXPECT_EQ(nested->config.image.max_pixels, 200704);
}

TEST(SourceConfig, GenerationConfigIsOptional) {
  TinyCheckpoint tiny = tiny_checkpoint(Dtype::kBf16);
  tiny.generation = nullptr;
  const GenerationDefaults generation = config_of(tiny).generation;
  EXPECT_EQ(generation.eos, std::vector<int32_t>{258});  // from config.json
  EXPECT_FALSE(generation.temperature);
  tiny.generation = nlohmann::json::parse(
      R"({"top_k": 1, "top_p": 0.001, "temperature": 0.1, "max_new_tokens": 64})");
  EXPECT_EQ(config_of(tiny).generation.top_k, 1);
  EXPECT_EQ(config_of(tiny).generation.top_p, 0.001);
  EXPECT_EQ(config_of(tiny).generation.eos, std::vector<int32_t>{258});
  tiny.generation = {{"top_p", 1.5}};
  expect_refused(tiny, Status::kInvalidConfig, "top_p");
}

}  // namespace
}  // namespace ocelli
