#include "convert/processor_config.h"

#include <algorithm>
#include <cmath>

#include "convert/checkpoint.h"

namespace ocelli {
namespace {

constexpr uint64_t kConfigBytesMax = 16 << 20;
constexpr int64_t kPixelsMax = int64_t{1} << 31;
constexpr int kBicubic = 3;

Result<bool> has_file(Source& source, std::string_view file) {
  OCELLI_TRY(const std::vector<std::string> names, source.list());
  return std::find(names.begin(), names.end(), file) != names.end();
}

ImageProcessorConfig read_image(const JsonObject& json, const VisionConfig& vision) {
  ImageProcessorConfig image;
  // Newer files give the pixel bounds under the names of edges.
  if (json.has("size")) {
    const JsonObject size = json.object("size");
    image.min_pixels = size.integer("shortest_edge", 1, kPixelsMax, image.min_pixels);
    image.max_pixels = size.integer("longest_edge", 1, kPixelsMax, image.max_pixels);
  }
  image.min_pixels = json.integer("min_pixels", 1, kPixelsMax, image.min_pixels);
  image.max_pixels = json.integer("max_pixels", 1, kPixelsMax, image.max_pixels);
  const auto triple = [&](std::string_view key, double low, float(&out)[3]) {
    if (!json.has(key)) return;
    const std::vector<double> values = json.numbers(key, low, 1000.0, 3);
    for (size_t i = 0; i < 3; ++i) out[i] = static_cast<float>(values[i]);
  };
  triple("image_mean", -1000.0, image.mean);
  triple("image_std", 1e-6, image.std);

  const auto same = [&](std::string_view key, int64_t wanted) {
    const int64_t value = json.integer(key, 0, kPixelsMax, wanted);
    if (value != wanted)
      json.issues().add("\"" + json.path_of(key) + "\" is " + std::to_string(value) + ", must be " +
                        std::to_string(wanted));
  };
  same("patch_size", vision.patch);
  same("temporal_patch_size", vision.temporal_patch);
  same("merge_size", vision.merge);
  same("resample", kBicubic);
  for (const std::string_view key : {"do_resize", "do_rescale", "do_normalize", "do_convert_rgb"})
    if (!json.boolean(key, true))
      json.issues().add("\"" + json.path_of(key) + "\" is false, must be true");
  const double rescale = json.number("rescale_factor", 0.0, 1.0, 1.0 / 255.0);
  if (std::fabs(rescale * 255.0 - 1.0) > 1e-6)
    json.issues().add("\"" + json.path_of("rescale_factor") + "\" must be 1/255");
  return image;
}

}  // namespace

std::vector<int32_t> read_token_ids(const JsonObject& json, std::string_view key) {
  std::vector<int32_t> ids;
  const nlohmann::json* value = json.find(key);
  if (value == nullptr) return ids;
  if (!value->is_array()) return {static_cast<int32_t>(json.integer(key, 0, INT32_MAX))};
  for (const int64_t id : json.integers(key, 0, INT32_MAX, 64))
    ids.push_back(static_cast<int32_t>(id));
  return ids;
}

Result<ImageProcessorConfig> read_image_config(Source& source, const VisionConfig& vision,
                                               Listener& listener) {
  for (const char* file : {"preprocessor_config.json", "processor_config.json"}) {
    OCELLI_TRY(const bool present, has_file(source, file));
    if (!present) continue;
    OCELLI_TRY(const std::string text, read_text_file(source, file, kConfigBytesMax));
    JsonIssues issues{Status::kInvalidConfig, file, {}};
    const nlohmann::json json = parse_json_object(text, issues);
    const JsonObject root(json, "", issues);
    const bool whole = std::string_view(file) == "preprocessor_config.json";
    if (!whole && !root.has("image_processor") && !issues.first) continue;
    const ImageProcessorConfig image =
        read_image(whole ? root : root.object("image_processor"), vision);
    if (issues.first) return std::unexpected(std::move(*issues.first));
    return image;
  }
  listener.note(
      "preprocessor_config.json is missing: image sizes and normalisation are the family's "
      "defaults");
  return ImageProcessorConfig{};
}

Result<void> read_generation_config(Source& source, GenerationDefaults& generation,
                                    Listener& listener) {
  const char* const file = "generation_config.json";
  OCELLI_TRY(const bool present, has_file(source, file));
  if (!present) {
    listener.note("generation_config.json is missing: no sampling defaults");
    return {};
  }
  OCELLI_TRY(const std::string text, read_text_file(source, file, kConfigBytesMax));
  JsonIssues issues{Status::kInvalidConfig, file, {}};
  const nlohmann::json json = parse_json_object(text, issues);
  const JsonObject root(json, "", issues);
  const auto number = [&](std::string_view key, double low, double high,
                          std::optional<double>& out) {
    if (root.has(key)) out = root.number(key, low, high);
  };
  number("temperature", 0.0, 1e6, generation.temperature);
  number("top_p", 0.0, 1.0, generation.top_p);
  number("min_p", 0.0, 1.0, generation.min_p);
  number("repetition_penalty", 1e-6, 1e6, generation.repetition_penalty);
  if (root.has("top_k")) generation.top_k = static_cast<int>(root.integer("top_k", 0, INT32_MAX));
  if (root.has("max_new_tokens"))
    generation.max_new_tokens = static_cast<int>(root.integer("max_new_tokens", 1, INT32_MAX));
  if (root.has("eos_token_id")) generation.eos = read_token_ids(root, "eos_token_id");
  if (issues.first) return std::unexpected(std::move(*issues.first));
  return {};
}

}  // namespace ocelli
