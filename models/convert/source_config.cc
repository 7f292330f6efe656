#include "convert/source_config.h"

#include <algorithm>
#include <initializer_list>

#include "convert/processor_config.h"
#include "format/json_object.h"

namespace ocelli {
namespace {

constexpr uint64_t kConfigBytesMax = 16 << 20;
constexpr int64_t kSizeMax = 1 << 24;
constexpr const char* kConfigFile = "config.json";

// A field that may lie in several places under several names: the first that is present counts.
class Lookup {
 public:
  explicit Lookup(std::vector<JsonObject> places) : places_(std::move(places)) {}

  // The place and key of the first hit, or null.
  const JsonObject* where(std::initializer_list<std::string_view> keys,
                          std::string_view& key) const {
    for (const JsonObject& place : places_)
      for (const std::string_view candidate : keys)
        if (place.has(candidate)) {
          key = candidate;
          return &place;
        }
    return nullptr;
  }
  bool has(std::initializer_list<std::string_view> keys) const {
    std::string_view key;
    return where(keys, key) != nullptr;
  }
  int integer(std::initializer_list<std::string_view> keys, int64_t fallback,
              int64_t low = 1) const {
    std::string_view key;
    const JsonObject* place = where(keys, key);
    return static_cast<int>(place == nullptr ? fallback : place->integer(key, low, kSizeMax));
  }
  double number(std::string_view name, double low, double high, double fallback) const {
    std::string_view key;
    const JsonObject* place = where({name}, key);
    return place == nullptr ? fallback : place->number(key, low, high);
  }
  std::string text(std::initializer_list<std::string_view> keys,
                   const std::string& fallback) const {
    std::string_view key;
    const JsonObject* place = where(keys, key);
    return place == nullptr ? fallback : place->text(key);
  }
  bool boolean(std::string_view name, bool fallback) const {
    std::string_view key;
    const JsonObject* place = where({name}, key);
    return place == nullptr ? fallback : place->boolean(key);
  }

 private:
  std::vector<JsonObject> places_;
};

// Output rows (axis 0) or inputs (axis 1) of a matrix as its tensors have them; 0 when they are
// missing.
int64_t matrix_size(const Checkpoint& checkpoint, const std::string& name, int axis) {
  if (const SourceTensor* dense = checkpoint.find(name + ".weight");
      dense != nullptr && dense->shape.size() >= 2)
    return dense->shape[static_cast<size_t>(axis)];
  if (const SourceTensor* packed = checkpoint.find(name + ".qweight");
      packed != nullptr && packed->shape.size() == 2)
    return axis == 0 ? packed->shape[1] * 8 : packed->shape[0];
  return 0;
}

// One more than the largest N among the tensors PREFIX.N.*
int count_layers(const Checkpoint& checkpoint, const std::string& prefix) {
  int count = 0;
  for (auto it = checkpoint.tensors().lower_bound(prefix);
       it != checkpoint.tensors().end() && it->first.starts_with(prefix); ++it) {
    int index = 0;
    size_t at = prefix.size();
    for (; at < it->first.size() && at < prefix.size() + 5 && it->first[at] >= '0' &&
           it->first[at] <= '9';
         ++at)
      index = index * 10 + (it->first[at] - '0');
    if (at > prefix.size()) count = std::max(count, index + 1);
  }
  return count;
}

void expect(const JsonObject& json, bool ok, const std::string& message) {
  if (!ok) json.issues().add(message);
}

// Plain M-RoPE is spelled in several ways; anything else but YaRN is another model.
void read_rope(const JsonObject& root, const Lookup& lookup, TextConfig& text) {
  JsonIssues& issues = root.issues();
  const std::initializer_list<std::string_view> keys = {"rope_scaling", "rope_parameters"};
  std::string_view key;
  const JsonObject* place = lookup.where(keys, key);
  text.rope_theta = lookup.number("rope_theta", 1.0, 1e12, 1e6);
  if (place != nullptr) {
    const JsonObject rope = place->object(key);
    text.rope_theta = rope.number("rope_theta", 1.0, 1e12, text.rope_theta);
    for (const char* type_key : {"type", "rope_type"}) {
      const std::string type = rope.text(type_key, "default");
      if (type == "yarn") text.yarn = true;
      if (type != "default" && type != "mrope" && type != "yarn" && !issues.first) {
        issues.first = Error{Status::kUnsupportedRope,
                             std::string(kConfigFile) + ": \"" + rope.path_of(type_key) +
                                 "\" is \"" + type + "\", must be default, mrope or yarn",
                             kConfigFile};
      }
    }
    if (text.yarn) {
      text.yarn_factor = rope.number("factor", 1.0, 1024.0);
      text.yarn_original_context = static_cast<int>(
          rope.integer("original_max_position_embeddings", 1, kSizeMax, text.context));
      const bool usual = rope.number("beta_fast", 0, 1e6, 32) == 32 &&
                         rope.number("beta_slow", 0, 1e6, 1) == 1 &&
                         !rope.has("attention_factor") && !rope.has("mscale") &&
                         !rope.has("mscale_all_dim") && rope.boolean("truncate", true);
      if (!usual && !issues.first) {
        issues.first =
            Error{Status::kUnsupportedRope,
                  std::string(kConfigFile) + ": \"" + place->path_of(key) +
                      "\" asks for yarn with other than beta_fast 32, beta_slow 1 and the default "
                      "attention factor",
                  kConfigFile};
      }
    }
    if (rope.has("mrope_section")) {
      const std::vector<int64_t> section = rope.integers("mrope_section", 0, kSizeMax, 3);
      expect(rope, section.size() == 3,
             "\"" + rope.path_of("mrope_section") + "\" must have 3 elements");
      for (size_t i = 0; i < 3 && i < section.size(); ++i)
        text.mrope_section[i] = static_cast<int>(section[i]);
      return;
    }
  }
  constexpr int kUsual[3] = {16, 24, 24};
  expect(root, text.head_dim == 128,
         "\"rope_scaling.mrope_section\" is missing (only for a head_dim of 128 it is known to be "
         "[16, 24, 24], "
         "this model has " +
             std::to_string(text.head_dim) + ")");
  std::copy(kUsual, kUsual + 3, text.mrope_section);
}

// The vision tower's rope is fixed; newer configs spell it out.
void read_vision_rope(const JsonObject& json) {
  if (!json.has("rope_parameters")) return;
  const JsonObject rope = json.object("rope_parameters");
  const double theta = rope.number("rope_theta", 1.0, 1e12, 1e4);
  const std::string type = rope.text("rope_type", "axial");
  if ((theta != 1e4 || (type != "axial" && type != "default")) && !json.issues().first) {
    json.issues().first =
        Error{Status::kUnsupportedRope,
              std::string(kConfigFile) + ": \"" + json.path_of("rope_parameters") +
                  "\" must be axial with theta 10000",
              kConfigFile};
  }
}

// Whether the head is the embedding. Where text_config and root disagree, the tensors decide.
bool read_tied(const JsonObject& root, const std::optional<JsonObject>& nested,
               const Checkpoint& checkpoint) {
  constexpr std::string_view kKey = "tie_word_embeddings";
  const bool has_head = checkpoint.find("lm_head.weight") != nullptr;
  const bool in_root = root.has(kKey);
  const bool in_nested = nested && nested->has(kKey);
  if (!in_root && !in_nested) return !has_head;
  if (in_root && in_nested && root.boolean(kKey) != nested->boolean(kKey)) return !has_head;
  return in_nested ? nested->boolean(kKey) : root.boolean(kKey);
}

TextConfig read_text(const JsonObject& root, const std::optional<JsonObject>& nested,
                     const Checkpoint& checkpoint) {
  std::vector<JsonObject> places;
  if (nested) places.push_back(*nested);
  places.push_back(root);
  const Lookup lookup(std::move(places));
  const std::string layer = "model.layers.0.";

  TextConfig text;
  text.hidden = lookup.integer({"hidden_size"}, matrix_size(checkpoint, "model.embed_tokens", 1));
  text.vocab = lookup.integer({"vocab_size"}, matrix_size(checkpoint, "model.embed_tokens", 0));
  text.layers = lookup.integer({"num_hidden_layers"}, count_layers(checkpoint, "model.layers."));
  text.intermediate =
      lookup.integer({"intermediate_size"}, matrix_size(checkpoint, layer + "mlp.gate_proj", 0));
  text.heads = lookup.integer({"num_attention_heads"}, 64);
  expect(root, text.hidden % text.heads == 0,
         "\"num_attention_heads\" is " + std::to_string(text.heads) +
             ", must divide the hidden size " + std::to_string(text.hidden));
  text.head_dim = lookup.integer({"head_dim"}, text.hidden / text.heads);
  const int64_t kv_rows = matrix_size(checkpoint, layer + "self_attn.k_proj", 0);
  text.kv_heads = lookup.integer({"num_key_value_heads"}, kv_rows / std::max(text.head_dim, 1));
  text.rms_eps = static_cast<float>(lookup.number("rms_norm_eps", 0.0, 1.0, 1e-5));
  text.context = lookup.integer({"max_position_embeddings"}, 32768);
  text.tied = read_tied(root, nested, checkpoint);
  read_rope(root, lookup, text);

  const std::string act = lookup.text({"hidden_act"}, "silu");
  expect(root, act == "silu", "\"hidden_act\" is \"" + act + "\", must be silu");
  expect(root,
         !lookup.boolean("use_sliding_window", false) ||
             lookup.integer({"max_window_layers"}, 80, 0) >= text.layers,
         "\"use_sliding_window\" is true, which is not supported");
  return text;
}

VisionConfig read_vision(const JsonObject& root, int text_hidden, const Checkpoint& checkpoint) {
  VisionConfig vision;
  const JsonObject json = root.object("vision_config");
  const Lookup lookup({json});
  const SourceTensor* patch = checkpoint.find("visual.patch_embed.proj.weight");
  const bool conv = patch != nullptr && patch->shape.size() == 5;
  const auto of_conv = [&](size_t axis, int64_t fallback) {
    return conv ? patch->shape[axis] : fallback;
  };

  vision.hidden =
      lookup.integer({"hidden_size"}, matrix_size(checkpoint, "visual.patch_embed.proj", 0));
  vision.depth = lookup.integer({"depth"}, count_layers(checkpoint, "visual.blocks."));
  vision.heads = lookup.integer({"num_heads"}, 16);
  vision.intermediate = lookup.integer({"intermediate_size"},
                                       matrix_size(checkpoint, "visual.blocks.0.mlp.gate_proj", 0));
  vision.in_channels = lookup.integer({"in_channels", "in_chans"}, of_conv(1, 3));
  vision.temporal_patch = lookup.integer({"temporal_patch_size"}, of_conv(2, 2));
  vision.patch = lookup.integer({"patch_size", "spatial_patch_size"}, of_conv(3, 14));
  vision.merge = lookup.integer({"spatial_merge_size"}, 2);
  vision.window = lookup.integer({"window_size"}, 112);
  vision.out = lookup.integer({"out_hidden_size"}, text_hidden);
  vision.tokens_per_second = lookup.number("tokens_per_second", 1e-3, 1e6, 4.0);
  vision.rms_eps = 1e-6f;  // fixed in the reference, not a field
  if (json.has("fullatt_block_indexes")) {
    for (const int64_t block : json.integers("fullatt_block_indexes", 0, kSizeMax, 1024))
      vision.full_blocks.push_back(static_cast<int>(block));
    std::sort(vision.full_blocks.begin(), vision.full_blocks.end());
  } else {
    // Left out by configs that only list differences: missing means the class default, not "none".
    for (const int block : {7, 15, 23, 31})
      if (block < vision.depth) vision.full_blocks.push_back(block);
  }
  const std::string act = lookup.text({"hidden_act"}, "silu");
  read_vision_rope(json);
  expect(json, act == "silu",
         "\"" + json.path_of("hidden_act") + "\" is \"" + act + "\", must be silu");
  return vision;
}

// AWQ "gemm" with 4 bits, groups of 128 and zero points is the one quantised format that is read.
Result<void> check_quantization(const JsonObject& root, const std::optional<JsonObject>& nested,
                                const Checkpoint& checkpoint) {
  const auto unsupported = [](const std::string& message) {
    return fail(Status::kUnsupportedQuantization, std::string(kConfigFile) + ": " + message,
                kConfigFile);
  };
  constexpr std::string_view kKey = "quantization_config";
  const bool packed =
      std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                  [](const auto& entry) { return entry.first.ends_with(".qweight"); });
  const JsonObject* place = root.has(kKey)                ? &root
                            : nested && nested->has(kKey) ? &*nested
                                                          : nullptr;
  if (place == nullptr) {
    if (packed)
      return unsupported(
          "\"quantization_config\" is missing, but there are packed (.qweight) tensors");
    return {};
  }
  const JsonObject json = place->object(kKey);
  const Lookup lookup({json});
  const std::string method = lookup.text({"quant_method"}, "missing");
  if (method != "awq")
    return unsupported("\"quant_method\" is \"" + method +
                       "\", must be awq (or no quantisation at all)");
  std::string version = lookup.text({"version"}, "gemm");
  std::transform(version.begin(), version.end(), version.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (version != "gemm")
    return unsupported("the AWQ \"version\" is \"" + version + "\", must be gemm");
  const int bits = lookup.integer({"bits", "w_bit"}, 4, -1);
  if (bits != 4) return unsupported("the AWQ \"bits\" are " + std::to_string(bits) + ", must be 4");
  const int group = lookup.integer({"group_size", "q_group_size"}, 128, -1);
  if (group != 128)
    return unsupported("the AWQ \"group_size\" is " + std::to_string(group) + ", must be 128");
  if (!lookup.boolean("zero_point", true))
    return unsupported("the AWQ \"zero_point\" is false, must be true");
  return {};
}

}  // namespace

Result<ModelConfig> read_source_config(Source& source, const Checkpoint& checkpoint,
                                       Listener& listener) {
  OCELLI_TRY(const std::string text, read_text_file(source, kConfigFile, kConfigBytesMax));
  JsonIssues issues{Status::kInvalidConfig, kConfigFile, {}};
  const nlohmann::json json = parse_json_object(text, issues);
  if (issues.first) return std::unexpected(std::move(*issues.first));
  const JsonObject root(json, "", issues);
  std::optional<JsonObject> nested;
  if (root.has("text_config")) nested = root.object("text_config");

  const std::string model_type = root.text("model_type");
  expect(root, model_type == "qwen2_5_vl",
         "\"model_type\" is \"" + model_type + "\", must be qwen2_5_vl");
  if (issues.first) return std::unexpected(std::move(*issues.first));
  OCELLI_TRY_VOID(check_quantization(root, nested, checkpoint));
  if (issues.first) return std::unexpected(std::move(*issues.first));
  for (const char* needed : {"model.embed_tokens.weight", "visual.patch_embed.proj.weight"}) {
    if (checkpoint.find(needed) == nullptr)
      return fail(Status::kMissingTensor, "tensor " + std::string(needed) + " is missing", needed);
  }

  ModelConfig config;
  config.text = read_text(root, nested, checkpoint);
  config.vision = read_vision(root, config.text.hidden, checkpoint);
  std::vector<JsonObject> places = {root};
  if (nested) places.push_back(*nested);
  const Lookup lookup(std::move(places));
  config.ids.image_pad = lookup.integer({"image_token_id"}, config.ids.image_pad, 0);
  config.ids.video_pad = lookup.integer({"video_token_id"}, config.ids.video_pad, 0);
  config.ids.vision_start = lookup.integer({"vision_start_token_id"}, config.ids.vision_start, 0);
  config.ids.vision_end = lookup.integer({"vision_end_token_id"}, config.ids.vision_end, 0);
  std::string_view key;
  if (const JsonObject* place = lookup.where({"eos_token_id"}, key))
    config.generation.eos = read_token_ids(*place, key);
  if (issues.first) return std::unexpected(std::move(*issues.first));

  OCELLI_TRY_VOID(read_generation_config(source, config.generation, listener));
  OCELLI_TRY(config.image, read_image_config(source, config.vision, listener));
  return config;
}

}  // namespace ocelli
