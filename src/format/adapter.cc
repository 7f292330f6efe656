#include "format/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "format/json_object.h"
#include "format/weight_table.h"

namespace ocelli {
namespace {

constexpr std::array<std::string_view, kAdapterTargets> kTargetNames = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

std::unexpected<Error> refuse(std::string message) {
  return fail(Status::kInvalidAdapter, std::move(message));
}

// The linear's row of THE table of weights.
const WeightSpec& spec_of(std::span<const WeightSpec> table, int layer, AdapterTarget target) {
  const std::string name = "model.layers." + std::to_string(layer) + "." +
                           std::string(kTargetNames[static_cast<size_t>(target)]);
  const auto found = std::ranges::find(table, name, &WeightSpec::name);
  OCELLI_CHECK(found != table.end());
  return *found;
}

struct AdapterConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool rank_stabilised = false;
  // Of modules whose name ends in the key.
  std::vector<std::pair<std::string, double>> ranks, alphas;
};

// Fields that change what the tensors mean; absent or harmless values are fine.
Result<void> refuse_variants(const nlohmann::json& root) {
  const auto given = [&](const char* name) -> const nlohmann::json* {
    const auto found = root.find(name);
    if (found == root.end() || found->is_null() || *found == false) return nullptr;
    if ((found->is_array() || found->is_object()) && found->empty()) return nullptr;
    return &*found;
  };
  for (const char* name :
       {"use_dora", "use_qalora", "lora_bias", "modules_to_save", "layer_replication",
        "target_parameters", "alora_invocation_tokens", "trainable_token_indices"}) {
    if (const auto* value = given(name)) {
      return refuse(std::string("adapter_config.json: \"") + name + "\" is " +
                    json_excerpt(*value) + ", which is not supported");
    }
  }
  const auto* bias = given("bias");
  if (bias && *bias != "none")
    return refuse("adapter_config.json: \"bias\" must be \"none\", is " + json_excerpt(*bias));
  // These start from other base weights than the model's own.
  const auto* start = given("init_lora_weights");
  if (start && start->is_string()) {
    const std::string_view how = start->get_ref<const std::string&>();
    for (const std::string_view other : {"pissa", "olora", "corda", "loftq"}) {
      if (how.starts_with(other)) {
        return refuse(
            "adapter_config.json: \"init_lora_weights\" is " + json_excerpt(*start) +
            ", so the adapter belongs to changed base weights: convert it to a plain one");
      }
    }
  }
  return {};
}

// {"pattern": number}; the patterns are regular expressions to PEFT, of which we take plain names.
std::vector<std::pair<std::string, double>> read_pattern(const JsonObject& root, const char* name,
                                                         JsonIssues& issues) {
  std::vector<std::pair<std::string, double>> out;
  const nlohmann::json* map = root.find(name);
  if (!map) return out;
  if (!map->is_object()) {
    issues.add("\"" + std::string(name) + "\" must be an object, is " + json_excerpt(*map));
    return out;
  }
  for (const auto& [pattern, value] : map->items()) {
    const bool plain = std::ranges::all_of(pattern, [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '_' || c == '.';
    });
    if (!plain || pattern.empty()) {
      issues.add("\"" + std::string(name) + "\" has the pattern " + json_excerpt(pattern) +
                 "; only names of modules are supported");
    } else if (!value.is_number()) {
      issues.add("\"" + std::string(name) + "." + pattern + "\" must be a number, is " +
                 json_excerpt(value));
    } else {
      out.emplace_back(pattern, value.get<double>());
    }
  }
  return out;
}

Result<AdapterConfig> read_config(std::string_view text) {
  if (static_cast<int64_t>(text.size()) > kAdapterConfigBytesMax) {
    return refuse("adapter_config.json has " + std::to_string(text.size()) + " bytes, at most " +
                  std::to_string(kAdapterConfigBytesMax) + " are allowed");
  }
  JsonIssues issues{Status::kInvalidAdapter, "adapter_config.json", {}};
  const nlohmann::json json = parse_json_object(text, issues);
  const JsonObject root(json, "", issues);
  AdapterConfig config;
  const std::string type = root.text("peft_type");
  if (type != "LORA" && !issues.first)
    issues.add("\"peft_type\" must be \"LORA\", is \"" + type + "\"");
  config.rank = root.integer("r", 1, kAdapterRankMax);
  config.alpha = root.number("lora_alpha", -1e6, 1e6);
  config.rank_stabilised = root.boolean("use_rslora", false);
  config.ranks = read_pattern(root, "rank_pattern", issues);
  config.alphas = read_pattern(root, "alpha_pattern", issues);
  if (issues.first) return std::unexpected(std::move(*issues.first));
  OCELLI_TRY_VOID(refuse_variants(json));
  return config;
}

// What a pattern gives a module: the value of the key that is its name or the end of it.
Result<double> chosen(const std::vector<std::pair<std::string, double>>& patterns,
                      const std::string& module, const char* name, double otherwise) {
  std::optional<double> found;
  for (const auto& [key, value] : patterns) {
    const bool same = module == key || module.ends_with("." + key);
    if (!same) continue;
    if (found && *found != value) {
      return refuse(std::string("adapter_config.json: two values of \"") + name + "\" fit module " +
                    module);
    }
    found = value;
  }
  return found.value_or(otherwise);
}

struct Place {
  int layer = 0;
  AdapterTarget target = AdapterTarget::kQ;
  bool is_b = false;
  std::string module;  // "model.layers.0.self_attn.q_proj", in the file's own spelling

  auto key() const { return std::pair(layer, static_cast<int>(target)); }
};

// "base_model.model.model.layers.3.mlp.up_proj.lora_A.weight": also with "language_model." in
// either place, and with the adapter's own name before "weight".
Result<Place> place_of(const std::string& name, const TextConfig& c) {
  constexpr std::string_view kWrap = "base_model.model.";
  const auto unknown = [&](const std::string& why) {
    return refuse("tensor " + name.substr(0, 200) + " " + why);
  };
  Place place;
  const size_t at = name.find(".lora_");
  if (!name.starts_with(kWrap) || at == std::string::npos || at < kWrap.size()) {
    return unknown(
        "is none of a LoRA adapter: base_model.model.<module>.lora_A.weight is expected");
  }
  std::string_view rest = std::string_view(name).substr(at + 1);
  place.module = name.substr(kWrap.size(), at - kWrap.size());
  place.is_b = rest.starts_with("lora_B.");
  if ((!place.is_b && !rest.starts_with("lora_A.")) || !rest.ends_with("weight"))
    return unknown("is not supported: only lora_A and lora_B weights are");
  rest.remove_prefix(7);
  rest.remove_suffix(6);
  if (std::ranges::count(rest, '.') > 1) return unknown("has an unknown ending");

  std::string_view module = place.module;
  if (module.starts_with("visual.") || module.starts_with("model.visual."))
    return unknown("adapts the vision tower, which is not supported: only the language model is");
  bool layers = false;
  for (const std::string_view prefix :
       {"model.language_model.layers.", "language_model.model.layers.", "language_model.layers.",
        "model.layers."}) {
    if (!module.starts_with(prefix)) continue;
    module.remove_prefix(prefix.size());
    layers = true;
    break;
  }
  const size_t dot = module.find('.');
  const std::string_view number = module.substr(0, dot);
  const bool digits = !number.empty() && number.size() <= 4 &&
                      std::ranges::all_of(number, [](char d) { return d >= '0' && d <= '9'; });
  if (!layers || dot == std::string_view::npos || !digits)
    return unknown("matches no module of the language model's layers");
  for (const char d : number) place.layer = place.layer * 10 + (d - '0');
  if (place.layer >= c.layers) {
    return unknown("belongs to layer " + std::to_string(place.layer) + ", the model has " +
                   std::to_string(c.layers));
  }
  const auto found = std::ranges::find(kTargetNames, module.substr(dot + 1));
  if (found == kTargetNames.end()) {
    std::string all;
    for (const std::string_view one : kTargetNames)
      all += (all.empty() ? "" : ", ") + std::string(one);
    return unknown("matches no module that can be adapted: " + all);
  }
  place.target = static_cast<AdapterTarget>(found - kTargetNames.begin());
  return place;
}

}  // namespace

Result<std::vector<AdapterPair>> read_adapter(std::string_view config_text,
                                              std::span<const uint8_t> file,
                                              const ModelConfig& model) {
  OCELLI_TRY(const AdapterConfig config, read_config(config_text));
  OCELLI_TRY(const uint64_t header,
             safetensors_header_bytes(file.first(std::min<size_t>(8, file.size())), file.size()));
  const auto data = file.subspan(8 + static_cast<size_t>(header));
  OCELLI_TRY(const auto tensors,
             parse_safetensors_header(file.subspan(8, static_cast<size_t>(header)), data.size()));
  struct Half {
    const TensorInfo* a = nullptr;
    const TensorInfo* b = nullptr;
    std::string module;
  };
  std::map<std::pair<int, int>, Half> halves;
  for (const TensorInfo& tensor : tensors) {
    OCELLI_TRY(const Place place, place_of(tensor.name, model.text));
    if (tensor.dtype != Dtype::kF32 && tensor.dtype != Dtype::kF16 &&
        tensor.dtype != Dtype::kBf16) {
      return refuse("tensor " + tensor.name + " has dtype " +
                    std::string(dtype_word(tensor.dtype)) + ", F32, F16 or BF16 are supported");
    }
    Half& half = halves[place.key()];
    const TensorInfo*& side = place.is_b ? half.b : half.a;
    if (side)
      return refuse("tensors " + side->name + " and " + tensor.name + " adapt the same module");
    side = &tensor;
    half.module = place.module;
  }
  if (halves.empty()) return refuse("the adapter holds no tensor");

  const std::vector<WeightSpec> table = weight_table(model);
  std::vector<AdapterPair> pairs;
  for (const auto& [key, half] : halves) {
    AdapterPair pair;
    pair.layer = key.first;
    pair.target = static_cast<AdapterTarget>(key.second);
    const WeightSpec& spec = spec_of(table, pair.layer, pair.target);
    pair.n = spec.n;
    pair.k = spec.k;
    if (!half.a || !half.b) {
      return refuse("module " + half.module + " has a lora_" + (half.a ? "A" : "B") +
                    " but no lora_" + (half.a ? "B" : "A"));
    }
    OCELLI_TRY(const double rank,
               chosen(config.ranks, half.module, "rank_pattern", static_cast<double>(config.rank)));
    OCELLI_TRY(const double alpha,
               chosen(config.alphas, half.module, "alpha_pattern", config.alpha));
    if (!(rank >= 1 && rank <= kAdapterRankMax && rank == std::floor(rank))) {
      return refuse("the rank of module " + half.module + " must be an integer from 1 to " +
                    std::to_string(kAdapterRankMax));
    }
    pair.rank = static_cast<int>(rank);
    for (const auto& [tensor, shape] :
         {std::pair(half.a, std::vector<int64_t>{pair.rank, pair.k}),
          std::pair(half.b, std::vector<int64_t>{pair.n, pair.rank})}) {
      if (tensor->shape != shape) {
        return refuse("tensor " + tensor->name + " has shape " + shape_text(tensor->shape) +
                      ", expected " + shape_text(shape));
      }
    }
    pair.scale = static_cast<float>(alpha / (config.rank_stabilised ? std::sqrt(rank) : rank));
    pair.a_dtype = half.a->dtype;
    pair.b_dtype = half.b->dtype;
    pair.a = data.subspan(half.a->begin, half.a->bytes());
    pair.b = data.subspan(half.b->begin, half.b->bytes());
    pairs.push_back(pair);
  }
  return pairs;
}

}  // namespace ocelli
