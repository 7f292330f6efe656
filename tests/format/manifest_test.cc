// manifest.json: what is written is read back, and every field out of range is refused by name.
#include "format/manifest.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "format/weight_table.h"

namespace ocelli {
namespace {

Manifest sample() {
  Manifest m;
  m.name = "tiny \"quoted\" modèle";
  m.config.text = {.hidden = 64,
                   .layers = 2,
                   .heads = 4,
                   .kv_heads = 2,
                   .head_dim = 16,
                   .intermediate = 96,
                   .vocab = 300,
                   .rms_eps = 1e-6f,
                   .rope_theta = 1e6,
                   .mrope_section = {2, 3, 3},
                   .yarn = false,
                   .yarn_factor = 1.0,
                   .yarn_original_context = 0,
                   .tied = true,
                   .context = 128000};
  m.config.vision = {.hidden = 32,
                     .depth = 3,
                     .heads = 2,
                     .intermediate = 48,
                     .in_channels = 3,
                     .patch = 14,
                     .temporal_patch = 2,
                     .merge = 2,
                     .window = 112,
                     .full_blocks = {1, 2},
                     .out = 64,
                     .tokens_per_second = 2.0,
                     .rms_eps = 1e-6f};
  m.config.ids = {290, 291, 288, 289};
  m.config.generation.eos = {281, 280};
  m.config.generation.temperature = 1e-6;
  m.config.generation.repetition_penalty = 1.05;
  m.config.generation.top_k = 1;
  m.tokens = 295;
  m.merges = 20;
  m.added = {{280, "<|endoftext|>", true}, {290, "<tool_call>", false}};
  m.linear = "u4";
  m.vision = "f16";
  m.embedding = "mixed";
  m.shards = {{std::string(64, 'a'), 5000, {"tokenizer", "vision"}},
              {std::string(64, '0'), 4294967295u, {"layer.0"}}};
  return m;
}

TEST(Manifest, RoundTrips) {
  Manifest m = sample();
  auto back = parse_manifest(write_manifest(m));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, m);
  m.config.text.yarn = true;
  m.config.text.yarn_factor = 4.0;
  m.config.text.yarn_original_context = 32768;
  m.config.generation = {};
  back = parse_manifest(write_manifest(m));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, m);
}

TEST(Manifest, IsWrittenAsFormatMdSays) {
  const std::string text = write_manifest(sample());
  EXPECT_EQ(text, write_manifest(sample()));
  EXPECT_TRUE(text.starts_with("{\n  \"format\": \"ocelli\",\n  \"version\": 1,\n  \"name\": "));
  EXPECT_TRUE(text.ends_with("}\n"));
  EXPECT_NE(text.find("\"rms_eps\": 1e-06"), std::string::npos);
  EXPECT_NE(text.find("\"rope_theta\": 1000000.0"), std::string::npos);
  EXPECT_NE(text.find("\"top_p\": null"), std::string::npos);
  EXPECT_NE(text.find("0.48145467,"), std::string::npos);
}

TEST(Manifest, InvalidUtf8InTheNameStillGivesJson) {
  Manifest m = sample();
  m.name = "x\xff";
  const auto back = parse_manifest(write_manifest(m));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->name, "x\xef\xbf\xbd");
}

// One field changed through its JSON pointer must be refused, naming it.
void expect_refused(const char* pointer, const nlohmann::json& value, std::string_view named) {
  nlohmann::json json = nlohmann::json::parse(write_manifest(sample()));
  json[nlohmann::json::json_pointer(pointer)] = value;
  const auto parsed = parse_manifest(json.dump());
  ASSERT_FALSE(parsed) << pointer << " = " << value.dump();
  EXPECT_EQ(parsed.error().status, Status::kInvalidManifest);
  EXPECT_EQ(parsed.error().param, "manifest.json");
  EXPECT_NE(parsed.error().message.find(named), std::string::npos) << parsed.error().message;
}

TEST(Manifest, RefusesValuesOutOfRange) {
  expect_refused("/format", "other", "format");
  expect_refused("/version", 2, "version");
  expect_refused("/name", 3, "name");
  expect_refused("/config/text/hidden", 65, "text.hidden");
  expect_refused("/config/text/hidden", 0, "hidden");
  expect_refused("/config/text/hidden", -64, "hidden");
  expect_refused("/config/text/hidden", 64.5, "64.5");
  expect_refused("/config/text/hidden", "64", "hidden");
  expect_refused("/config/text/hidden", 18446744073709551615u, "hidden");
  expect_refused("/config/text/hidden", nullptr, "missing");
  expect_refused("/config/text/layers", 100000, "layers");
  expect_refused("/config/text/kv_heads", 3, "kv_heads");
  expect_refused("/config/text/head_dim", 6, "head_dim");
  expect_refused("/config/text/mrope_section", {2, 3, 4}, "mrope_section");
  expect_refused("/config/text/mrope_section", {8}, "3 elements");
  expect_refused("/config/text/mrope_section", {-8, 8, 8}, "mrope_section");
  expect_refused("/config/text/rope", {{"type", "linear"}}, "linear");
  expect_refused("/config/text/rope", {{"type", "yarn"}, {"factor", 4.0}}, "original_context");
  expect_refused("/config/text/rms_eps", 0.0, "rms_eps");
  expect_refused("/config/text/rope_theta", 0.5, "rope_theta");
  expect_refused("/config/text/tied", 1, "tied");
  expect_refused("/config/text/vocab", 294, "tokens");
  expect_refused("/config/vision/hidden", 33, "vision.hidden");
  expect_refused("/config/vision/heads", 3, "vision.heads");
  expect_refused("/config/vision/in_channels", 1, "in_channels");
  expect_refused("/config/vision/window", 100, "window");
  expect_refused("/config/vision/full_blocks", {0, 3}, "full_blocks");
  expect_refused("/config/vision/full_blocks", {1, 1}, "full_blocks");
  expect_refused("/config/vision/out", 32, "vision.out");
  expect_refused("/config/vision/tokens_per_second", 0, "tokens_per_second");
  expect_refused("/config/image/max_pixels", 100, "min_pixels");
  expect_refused("/config/image/std", {0.1, 0.0, 0.1}, "std");
  expect_refused("/config/ids/image_pad", 300, "image_pad");
  expect_refused("/config/generation/eos", {300}, "eos");
  expect_refused("/config/generation/top_p", 1.5, "top_p");
  expect_refused("/config/generation/top_k", -1, "top_k");
  expect_refused("/config/generation/temperature", -0.1, "temperature");
  expect_refused("/tokenizer/tokens", 301, "tokens");
  expect_refused("/tokenizer/added/0/id", 295, "added[0].id");
  expect_refused("/tokenizer/added/1/id", 280, "ascend");
  expect_refused("/tokenizer/added/0/content", "", "content");
  expect_refused("/precision/linear", "int4", "int4");
  expect_refused("/shards", nlohmann::json::array(), "shards");
  expect_refused("/shards/0/sha256", std::string(64, 'A'), "sha256");
  expect_refused("/shards/0/sha256", std::string(63, 'a'), "sha256");
  expect_refused("/shards/0/bytes", 4294967296u, "bytes");
  expect_refused("/shards/0/holds", {1}, "holds[0]");
}

TEST(Manifest, RefusesWhatIsNoManifest) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string("{\"a\":\"\xff\"}"), std::string(100000, '[')}) {
    const auto parsed = parse_manifest(text);
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().status, Status::kInvalidManifest);
  }
}

TEST(Manifest, EveryTruncationIsRefused) {
  const std::string text = write_manifest(sample());
  for (size_t length = 0; length + 2 < text.size(); length += 11)
    EXPECT_FALSE(parse_manifest(std::string_view(text).substr(0, length))) << length;
}

TEST(WeightTable, ListsTheReleasedModelsTensors) {
  ModelConfig config;
  config.text = {.hidden = 2048,
                 .layers = 36,
                 .heads = 16,
                 .kv_heads = 2,
                 .head_dim = 128,
                 .intermediate = 11008,
                 .vocab = 151936,
                 .mrope_section = {16, 24, 24},
                 .tied = true,
                 .context = 128000};
  config.vision.hidden = 1280;
  config.vision.depth = 32;
  config.vision.heads = 16;
  config.vision.intermediate = 3420;
  config.vision.full_blocks = {7, 15, 23, 31};
  config.vision.out = 2048;
  ASSERT_TRUE(check_config(config, Status::kInvalidConfig));
  int tensors = 0;
  int64_t parameters = 0;
  for (const WeightSpec& spec : weight_table(config)) {
    tensors += spec.bias ? 2 : 1;
    parameters += int64_t{spec.n} * spec.k + (spec.bias ? spec.n : 0);
  }
  EXPECT_EQ(tensors, 824);            // spec: 434 + 390
  EXPECT_EQ(parameters, 3754622976);  // spec: the sum of the repository's index
  config.text.tied = false;
  EXPECT_EQ(weight_table(config).back().name, "lm_head");
}

}  // namespace
}  // namespace ocelli
