// write_manifest: apart from the reader because only the converter links it.
#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "format/manifest.h"

namespace ocelli {
namespace {

using Json = nlohmann::ordered_json;

// A float as the shortest decimal that reads back as it, e.g. 1e-06 and not 9.999999974752427e-07.
double tidy(float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text - 1, value).ptr;
  *end = '\0';
  return std::strtod(text, nullptr);
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json text_json(const TextConfig& text) {
  Json rope = {{"type", "default"}};
  if (text.yarn)
    rope = {{"type", "yarn"},
            {"factor", text.yarn_factor},
            {"original_context", text.yarn_original_context}};
  return {{"hidden", text.hidden},
          {"layers", text.layers},
          {"heads", text.heads},
          {"kv_heads", text.kv_heads},
          {"head_dim", text.head_dim},
          {"intermediate", text.intermediate},
          {"vocab", text.vocab},
          {"rms_eps", tidy(text.rms_eps)},
          {"rope_theta", text.rope_theta},
          {"mrope_section",
           Json::array({text.mrope_section[0], text.mrope_section[1], text.mrope_section[2]})},
          {"rope", rope},
          {"tied", text.tied},
          {"context", text.context}};
}

Json vision_json(const VisionConfig& vision) {
  return {{"hidden", vision.hidden},
          {"depth", vision.depth},
          {"heads", vision.heads},
          {"intermediate", vision.intermediate},
          {"in_channels", vision.in_channels},
          {"patch", vision.patch},
          {"temporal_patch", vision.temporal_patch},
          {"merge", vision.merge},
          {"window", vision.window},
          {"full_blocks", vision.full_blocks},
          {"out", vision.out},
          {"tokens_per_second", vision.tokens_per_second},
          {"rms_eps", tidy(vision.rms_eps)}};
}

Json image_json(const ImageProcessorConfig& image) {
  return {{"min_pixels", image.min_pixels},
          {"max_pixels", image.max_pixels},
          {"mean", Json::array({tidy(image.mean[0]), tidy(image.mean[1]), tidy(image.mean[2])})},
          {"std", Json::array({tidy(image.std[0]), tidy(image.std[1]), tidy(image.std[2])})}};
}

Json generation_json(const GenerationDefaults& generation) {
  return {{"eos", generation.eos},
          {"temperature", or_null(generation.temperature)},
          {"top_k", or_null(generation.top_k)},
          {"top_p", or_null(generation.top_p)},
          {"min_p", or_null(generation.min_p)},
          {"repetition_penalty", or_null(generation.repetition_penalty)},
          {"max_new_tokens", or_null(generation.max_new_tokens)}};
}

Json tokenizer_json(const Manifest& manifest) {
  Json added = Json::array();
  for (const AddedTokenInfo& token : manifest.added)
    added.push_back({{"id", token.id}, {"content", token.content}, {"special", token.special}});
  return {{"tokens", manifest.tokens}, {"merges", manifest.merges}, {"added", added}};
}

}  // namespace

std::string write_manifest(const Manifest& manifest) {
  const SpecialIds& ids = manifest.config.ids;
  Json shards = Json::array();
  for (const ShardInfo& shard : manifest.shards)
    shards.push_back({{"sha256", shard.sha256}, {"bytes", shard.bytes}, {"holds", shard.holds}});
  const Json json = {{"format", "ocelli"},
                     {"version", 1},
                     {"name", manifest.name},
                     {"config",
                      {{"text", text_json(manifest.config.text)},
                       {"vision", vision_json(manifest.config.vision)},
                       {"image", image_json(manifest.config.image)},
                       {"ids",
                        {{"image_pad", ids.image_pad},
                         {"video_pad", ids.video_pad},
                         {"vision_start", ids.vision_start},
                         {"vision_end", ids.vision_end}}},
                       {"generation", generation_json(manifest.config.generation)}}},
                     {"tokenizer", tokenizer_json(manifest)},
                     {"precision",
                      {{"linear", manifest.linear},
                       {"vision", manifest.vision},
                       {"embedding", manifest.embedding}}},
                     {"shards", shards}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ocelli
