#include "format/manifest.h"

#include <algorithm>
#include <cmath>

#include "format/json_object.h"

namespace ocelli {
namespace {

constexpr int kDimMax = 1 << 20;
constexpr int kVocabMax = 1 << 24;
constexpr int kLayersMax = 1024;
constexpr int kHeadDimMax = 256;  // what the attention kernels hold on the stack
constexpr int kContextMax = 1 << 24;
constexpr int64_t kPixelsMax = int64_t{1} << 31;
constexpr size_t kShardsMax = 65536;

int read_int(const JsonObject& object, std::string_view key, int64_t low, int64_t high) {
  return static_cast<int>(object.integer(key, low, high));
}

TextConfig read_text(const JsonObject& json) {
  TextConfig text;
  text.hidden = read_int(json, "hidden", 1, kDimMax);
  text.layers = read_int(json, "layers", 1, kLayersMax);
  text.heads = read_int(json, "heads", 1, kDimMax);
  text.kv_heads = read_int(json, "kv_heads", 1, kDimMax);
  text.head_dim = read_int(json, "head_dim", 1, kHeadDimMax);
  text.intermediate = read_int(json, "intermediate", 1, kDimMax);
  text.vocab = read_int(json, "vocab", 1, kVocabMax);
  text.rms_eps = static_cast<float>(json.number("rms_eps", 0.0, 1.0));
  text.rope_theta = json.number("rope_theta", 1.0, 1e12);
  const std::vector<int64_t> section = json.integers("mrope_section", 0, kDimMax, 3);
  if (section.size() == 3) {
    for (int i = 0; i < 3; ++i) text.mrope_section[i] = static_cast<int>(section[i]);
  } else {
    json.issues().add("\"" + json.path_of("mrope_section") + "\" must have 3 elements");
  }
  const JsonObject rope = json.object("rope");
  const std::string type = rope.text("type");
  if (type == "yarn") {
    text.yarn = true;
    text.yarn_factor = rope.number("factor", 1.0, 1024.0);
    text.yarn_original_context = read_int(rope, "original_context", 1, kContextMax);
  } else if (type != "default") {
    rope.issues().add("\"" + rope.path_of("type") + "\" is \"" + type +
                      "\", must be default or yarn");
  }
  text.tied = json.boolean("tied");
  text.context = read_int(json, "context", 1, kContextMax);
  return text;
}

VisionConfig read_vision(const JsonObject& json) {
  VisionConfig vision;
  vision.hidden = read_int(json, "hidden", 1, kDimMax);
  vision.depth = read_int(json, "depth", 1, kLayersMax);
  vision.heads = read_int(json, "heads", 1, kDimMax);
  vision.intermediate = read_int(json, "intermediate", 1, kDimMax);
  vision.in_channels = read_int(json, "in_channels", 3, 3);
  vision.patch = read_int(json, "patch", 1, 256);
  vision.temporal_patch = read_int(json, "temporal_patch", 1, 16);
  vision.merge = read_int(json, "merge", 1, 16);
  vision.window = read_int(json, "window", 1, kDimMax);
  for (const int64_t block : json.integers("full_blocks", 0, kLayersMax - 1, kLayersMax))
    vision.full_blocks.push_back(static_cast<int>(block));
  vision.out = read_int(json, "out", 1, kDimMax);
  vision.tokens_per_second = json.number("tokens_per_second", 1e-3, 1e6);
  vision.rms_eps = static_cast<float>(json.number("rms_eps", 0.0, 1.0));
  return vision;
}

ImageProcessorConfig read_image(const JsonObject& json) {
  ImageProcessorConfig image;
  image.min_pixels = json.integer("min_pixels", 1, kPixelsMax);
  image.max_pixels = json.integer("max_pixels", 1, kPixelsMax);
  const std::vector<double> mean = json.numbers("mean", -1000.0, 1000.0, 3);
  const std::vector<double> std = json.numbers("std", 1e-6, 1000.0, 3);
  for (int i = 0; i < 3; ++i) {
    image.mean[i] = static_cast<float>(mean[i]);
    image.std[i] = static_cast<float>(std[i]);
  }
  return image;
}

std::optional<double> read_optional(const JsonObject& json, std::string_view key, double low,
                                    double high) {
  if (!json.has(key)) return std::nullopt;
  return json.number(key, low, high);
}

GenerationDefaults read_generation(const JsonObject& json) {
  GenerationDefaults generation;
  for (const int64_t id : json.integers("eos", 0, kVocabMax, 64))
    generation.eos.push_back(static_cast<int32_t>(id));
  generation.temperature = read_optional(json, "temperature", 0.0, 1e6);
  generation.top_p = read_optional(json, "top_p", 0.0, 1.0);
  generation.min_p = read_optional(json, "min_p", 0.0, 1.0);
  generation.repetition_penalty = read_optional(json, "repetition_penalty", 1e-6, 1e6);
  if (json.has("top_k")) generation.top_k = read_int(json, "top_k", 0, INT32_MAX);
  if (json.has("max_new_tokens"))
    generation.max_new_tokens = read_int(json, "max_new_tokens", 1, INT32_MAX);
  return generation;
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void read_tokenizer(const JsonObject& json, Manifest& manifest) {
  manifest.tokens = read_int(json, "tokens", 1, kVocabMax);
  manifest.merges = read_int(json, "merges", 0, kVocabMax);
  if (manifest.tokens > manifest.config.text.vocab) {
    json.issues().add("\"" + json.path_of("tokens") + "\" is " + std::to_string(manifest.tokens) +
                      ", more than the " + std::to_string(manifest.config.text.vocab) +
                      " rows of the embedding");
  }
  for (const JsonObject& added : json.objects("added", 65536)) {
    AddedTokenInfo token;
    token.id = read_int(added, "id", 0, manifest.tokens - 1);
    token.content = added.text("content");
    token.special = added.boolean("special");
    if (token.content.empty() || token.content.size() > 1024)
      added.issues().add("\"" + added.path_of("content") + "\" must have 1 to 1024 bytes");
    if (!manifest.added.empty() && manifest.added.back().id >= token.id)
      added.issues().add("\"" + added.path_of("id") + "\" is " + std::to_string(token.id) +
                         ", ids must ascend");
    manifest.added.push_back(std::move(token));
  }
}

std::string read_precision(const JsonObject& json, std::string_view key) {
  const std::string word = json.text(key);
  for (const std::string_view known : {"f32", "f16", "bf16", "u8", "u4", "mixed"})
    if (word == known) return word;
  json.issues().add("\"" + json.path_of(key) + "\" is \"" + word +
                    "\", must be one of f32, f16, bf16, u8, u4, mixed");
  return word;
}

void read_shards(const JsonObject& json, Manifest& manifest) {
  for (const JsonObject& entry : json.objects("shards", kShardsMax)) {
    ShardInfo shard;
    shard.sha256 = entry.text("sha256");
    if (!is_sha256(shard.sha256))
      entry.issues().add("\"" + entry.path_of("sha256") + "\" must be 64 lower-case hex digits");
    shard.bytes = static_cast<uint32_t>(entry.integer("bytes", 64, UINT32_MAX));
    shard.holds = entry.texts("holds", 65536);
    manifest.shards.push_back(std::move(shard));
  }
  if (manifest.shards.empty()) json.issues().add("\"shards\" is empty");
}

}  // namespace

Result<void> check_config(const ModelConfig& config, Status status) {
  const TextConfig& t = config.text;
  const VisionConfig& v = config.vision;
  const auto wrong = [&](std::string message) { return fail(status, std::move(message)); };
  const auto is = [](std::string_view name, int64_t value) {
    return std::string(name) + " is " + std::to_string(value) + ", ";
  };
  const auto whole = [&](std::string_view name, int64_t value, int64_t low,
                         int64_t high) -> Result<void> {
    if (value >= low && value <= high) return {};
    return wrong(is(name, value) + "must be between " + std::to_string(low) + " and " +
                 std::to_string(high));
  };
  OCELLI_TRY_VOID(whole("text.hidden", t.hidden, 1, kDimMax));
  OCELLI_TRY_VOID(whole("text.layers", t.layers, 1, kLayersMax));
  OCELLI_TRY_VOID(whole("text.heads", t.heads, 1, kDimMax));
  OCELLI_TRY_VOID(whole("text.kv_heads", t.kv_heads, 1, t.heads));
  OCELLI_TRY_VOID(whole("text.head_dim", t.head_dim, 4, kHeadDimMax));
  OCELLI_TRY_VOID(whole("text.intermediate", t.intermediate, 1, kDimMax));
  OCELLI_TRY_VOID(whole("text.vocab", t.vocab, 1, kVocabMax));
  OCELLI_TRY_VOID(whole("text.context", t.context, 1, kContextMax));
  OCELLI_TRY_VOID(whole("vision.hidden", v.hidden, 1, kDimMax));
  OCELLI_TRY_VOID(whole("vision.depth", v.depth, 1, kLayersMax));
  OCELLI_TRY_VOID(whole("vision.heads", v.heads, 1, kDimMax));
  OCELLI_TRY_VOID(whole("vision.intermediate", v.intermediate, 1, kDimMax));
  OCELLI_TRY_VOID(whole("vision.in_channels", v.in_channels, 3, 3));
  OCELLI_TRY_VOID(whole("vision.patch", v.patch, 1, 256));
  OCELLI_TRY_VOID(whole("vision.temporal_patch", v.temporal_patch, 1, 16));
  OCELLI_TRY_VOID(whole("vision.merge", v.merge, 1, 16));
  OCELLI_TRY_VOID(whole("vision.window", v.window, 1, kDimMax));

  if (int64_t{t.heads} * t.head_dim != t.hidden)
    return wrong("text.heads x head_dim is " + std::to_string(t.heads) + " x " +
                 std::to_string(t.head_dim) +
                 ", must be text.hidden = " + std::to_string(t.hidden));
  if (t.heads % t.kv_heads != 0)
    return wrong(is("text.kv_heads", t.kv_heads) +
                 "must divide text.heads = " + std::to_string(t.heads));
  if (t.head_dim % 4 != 0)
    return wrong(is("text.head_dim", t.head_dim) + "must be a multiple of 4");
  int64_t sections = 0;
  for (const int section : t.mrope_section) {
    if (section < 0) return wrong(is("text.mrope_section", section) + "must not be negative");
    sections += section;
  }
  if (sections != t.head_dim / 2)
    return wrong(is("the sum of text.mrope_section", sections) +
                 "must be head_dim / 2 = " + std::to_string(t.head_dim / 2));
  if (!(t.rms_eps > 0.0f && t.rms_eps <= 1.0f) || !(v.rms_eps > 0.0f && v.rms_eps <= 1.0f))
    return wrong("rms_eps must be above 0 and at most 1");
  if (!(t.rope_theta >= 1.0 && t.rope_theta <= 1e12))
    return wrong("text.rope_theta is " + std::to_string(t.rope_theta) +
                 ", must be between 1 and 1e12");
  if (t.yarn) {
    if (!(t.yarn_factor >= 1.0 && t.yarn_factor <= 1024.0))
      return wrong("yarn factor is " + std::to_string(t.yarn_factor) +
                   ", must be between 1 and 1024");
    OCELLI_TRY_VOID(whole("yarn original context", t.yarn_original_context, 1, kContextMax));
  }

  if (v.hidden % v.heads != 0 || v.hidden / v.heads % 4 != 0)
    return wrong(is("vision.hidden", v.hidden) +
                 "must be vision.heads = " + std::to_string(v.heads) + " times a multiple of 4");
  if (v.window % (v.patch * v.merge) != 0)
    return wrong(is("vision.window", v.window) +
                 "must be a multiple of patch x merge = " + std::to_string(v.patch * v.merge));
  for (size_t i = 0; i < v.full_blocks.size(); ++i) {
    OCELLI_TRY_VOID(whole("vision.full_blocks element", v.full_blocks[i], 0, v.depth - 1));
    if (i > 0 && v.full_blocks[i] <= v.full_blocks[i - 1])
      return wrong("vision.full_blocks must ascend");
  }
  if (v.out != t.hidden)
    return wrong(is("vision.out", v.out) + "must be text.hidden = " + std::to_string(t.hidden));
  if (int64_t{v.hidden} * v.merge * v.merge > kDimMax)
    return wrong(is("vision.hidden", v.hidden) + "times merge x merge must be at most " +
                 std::to_string(kDimMax));
  if (!(v.tokens_per_second > 0.0 && v.tokens_per_second <= 1e6))
    return wrong("vision.tokens_per_second must be above 0 and at most 1e6");

  OCELLI_TRY_VOID(whole("image.max_pixels", config.image.max_pixels, 1, kPixelsMax));
  OCELLI_TRY_VOID(whole("image.min_pixels", config.image.min_pixels, 1, config.image.max_pixels));
  for (int i = 0; i < 3; ++i) {
    if (!std::isfinite(config.image.mean[i])) return wrong("image.mean must be finite");
    if (!(config.image.std[i] > 0.0f && std::isfinite(config.image.std[i])))
      return wrong("image.std must be finite and above 0");
  }

  OCELLI_TRY_VOID(whole("ids.image_pad", config.ids.image_pad, 0, t.vocab - 1));
  OCELLI_TRY_VOID(whole("ids.video_pad", config.ids.video_pad, 0, t.vocab - 1));
  OCELLI_TRY_VOID(whole("ids.vision_start", config.ids.vision_start, 0, t.vocab - 1));
  OCELLI_TRY_VOID(whole("ids.vision_end", config.ids.vision_end, 0, t.vocab - 1));
  for (const int32_t id : config.generation.eos)
    OCELLI_TRY_VOID(whole("generation.eos element", id, 0, t.vocab - 1));
  return {};
}

Result<Manifest> parse_manifest(std::string_view text) {
  JsonIssues issues{Status::kInvalidManifest, "manifest.json", {}};
  const nlohmann::json root = parse_json_object(text, issues);
  if (issues.first) return std::unexpected(std::move(*issues.first));
  const JsonObject json(root, "", issues);
  if (json.text("format") != "ocelli") issues.add("\"format\" must be \"ocelli\"");
  json.integer("version", 1, 1);

  Manifest manifest;
  manifest.name = json.text("name");
  const JsonObject config = json.object("config");
  manifest.config.text = read_text(config.object("text"));
  manifest.config.vision = read_vision(config.object("vision"));
  manifest.config.image = read_image(config.object("image"));
  const JsonObject ids = config.object("ids");
  manifest.config.ids.image_pad = read_int(ids, "image_pad", 0, kVocabMax);
  manifest.config.ids.video_pad = read_int(ids, "video_pad", 0, kVocabMax);
  manifest.config.ids.vision_start = read_int(ids, "vision_start", 0, kVocabMax);
  manifest.config.ids.vision_end = read_int(ids, "vision_end", 0, kVocabMax);
  manifest.config.generation = read_generation(config.object("generation"));
  read_tokenizer(json.object("tokenizer"), manifest);
  const JsonObject precision = json.object("precision");
  manifest.linear = read_precision(precision, "linear");
  manifest.vision = read_precision(precision, "vision");
  manifest.embedding = read_precision(precision, "embedding");
  read_shards(json, manifest);
  if (issues.first) return std::unexpected(std::move(*issues.first));
  auto checked = check_config(manifest.config, Status::kInvalidManifest);
  if (!checked) {
    checked.error().message = "manifest.json: " + checked.error().message;
    checked.error().param = "manifest.json";
    return std::unexpected(std::move(checked).error());
  }
  return manifest;
}

}  // namespace ocelli
