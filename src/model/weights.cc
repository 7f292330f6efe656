// Binding: names and shapes of models/FORMAT.md section 4, checked before a pointer is kept.
#include "model/weights.h"

#include <algorithm>
#include <array>

namespace ocelli {
namespace {

constexpr uint16_t kF16Max = 0x7bff;  // 65504

struct FormatName {
  WeightFormat format;
  const char* suffix;
  Dtype dtype;
};

constexpr std::array<FormatName, 5> kFormats = {{{WeightFormat::kU4, ".u4", Dtype::kU8},
                                                 {WeightFormat::kU8, ".u8", Dtype::kU8},
                                                 {WeightFormat::kF16, ".dense", Dtype::kF16},
                                                 {WeightFormat::kBf16, ".dense", Dtype::kBf16},
                                                 {WeightFormat::kF32, ".dense", Dtype::kF32}}};

std::unexpected<Error> wrong_shape(const TensorView& tensor, const std::vector<int64_t>& expected) {
  return fail(Status::kTensorShape, "tensor " + tensor.name + " has shape " +
                                        shape_text(tensor.shape) + ", expected " +
                                        shape_text(expected));
}

}  // namespace

WeightLoader::WeightLoader(const ModelConfig& config) : config_(config) {
  for (WeightSpec& spec : weight_table(config)) {
    std::string name = spec.name;
    specs_.emplace(std::move(name), std::move(spec));
  }
}

Result<void> WeightLoader::add(std::span<const TensorView> tensors) {
  for (const TensorView& tensor : tensors) {
    if (!tensors_.emplace(tensor.name, tensor).second) {
      return fail(Status::kInvalidShard, "tensor " + tensor.name + " occurs twice");
    }
  }
  return {};
}

const TensorView* WeightLoader::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<const float*> WeightLoader::bind_vector(const std::string& name, int padded) const {
  const TensorView* tensor = find(name);
  if (!tensor) return fail(Status::kMissingTensor, "the container has no tensor " + name);
  if (tensor->dtype != Dtype::kF32) {
    return fail(Status::kTensorDtype, "tensor " + name + " must be F32");
  }
  if (tensor->shape.size() != 1 || tensor->shape[0] != padded) {
    return wrong_shape(*tensor, {padded});
  }
  return reinterpret_cast<const float*>(tensor->data.data());
}

Result<LinearPart> WeightLoader::bind_part(const std::string& name, WeightFormat format,
                                           const Linear& matrix, int tile_begin) const {
  const FormatName* entry = nullptr;
  for (const FormatName& candidate : kFormats) {
    if (candidate.format == format) entry = &candidate;
  }
  const TensorView& codes = *find(name + entry->suffix);
  const int64_t k = matrix.k_padded();
  const int64_t tiles = codes.shape.empty() ? 0 : codes.shape[0];
  std::vector<int64_t> expected = {tiles, k, kTileRows};
  if (format == WeightFormat::kU8) expected = {tiles, k / 4, 32};
  if (format == WeightFormat::kU4) expected = {tiles, k / 8, 32};
  if (codes.shape != expected || tiles < 1 || tile_begin + tiles > matrix.tiles()) {
    expected[0] = matrix.tiles() - tile_begin;
    return wrong_shape(codes, expected);
  }
  LinearPart part{tile_begin, static_cast<int>(tiles), codes.data.data(), nullptr, nullptr};
  if (format != WeightFormat::kU8 && format != WeightFormat::kU4) return part;

  const int64_t groups = k / (format == WeightFormat::kU8 ? kGroupU8 : kGroupU4);
  auto side = [&](const char* suffix, Dtype dtype) -> Result<const void*> {
    const TensorView* tensor = find(name + suffix);
    if (!tensor)
      return fail(Status::kMissingTensor, "the container has no tensor " + name + suffix);
    if (tensor->dtype != dtype)
      return fail(Status::kTensorDtype, "tensor " + tensor->name + " has the wrong dtype");
    if (tensor->shape != std::vector<int64_t>{tiles, groups, kTileRows}) {
      return wrong_shape(*tensor, {tiles, groups, kTileRows});
    }
    return static_cast<const void*>(tensor->data.data());
  };
  OCELLI_TRY(const void* scales, side(".scales", Dtype::kF16));
  part.scales = static_cast<const uint16_t*>(scales);
  uint16_t largest = 0;  // as bits: negative, infinite and NaN ones are above all others
  for (int64_t i = 0; i < tiles * groups * kTileRows; ++i)
    largest = std::max(largest, part.scales[i]);
  if (largest > kF16Max) {
    return fail(Status::kTensorDtype,
                "tensor " + name + ".scales has values that are negative or not finite", name);
  }
  if (format == WeightFormat::kU4) {
    OCELLI_TRY(const void* zeros, side(".zeros", Dtype::kU8));
    part.zeros = static_cast<const uint8_t*>(zeros);
  }
  return part;
}

Result<void> WeightLoader::bind_matrix(const std::string& name, int n, int k, bool has_bias,
                                       Linear& out) const {
  out.n = n;
  out.k = k;
  const bool split = find(name + ".u4") == nullptr && find(name + ".u8") == nullptr &&
                     find(name + ".dense") == nullptr;
  int tile = 0;
  for (int index = 0; tile < out.tiles(); ++index) {
    const std::string part_name = split ? name + "#" + std::to_string(index) : name;
    const FormatName* entry = nullptr;
    for (const FormatName& candidate : kFormats) {
      const TensorView* codes = find(part_name + candidate.suffix);
      if (codes && codes->dtype == candidate.dtype) entry = &candidate;
    }
    if (!entry) return fail(Status::kMissingTensor, "the container has no tensor " + part_name);
    if (index > 0 && entry->format != out.format) {
      return fail(Status::kTensorDtype, "parts of " + name + " have different formats");
    }
    out.format = entry->format;
    OCELLI_TRY(auto part, bind_part(part_name, entry->format, out, tile));
    tile += part.tiles;
    out.parts.push_back(part);
    if (!split && tile < out.tiles()) {
      return fail(Status::kTensorShape, "tensor " + name + " has " + std::to_string(tile) +
                                            " tiles, expected " + std::to_string(out.tiles()));
    }
  }
  if (has_bias) {
    const int padded = round_up(n, kTileRows);
    OCELLI_TRY(out.bias, bind_vector(name + ".bias", padded));
  }
  return {};
}

// Names asked for below are in the table: at() traps on a bug of ours, never on input.
Result<Linear> WeightLoader::matrix(const std::string& name) const {
  const WeightSpec& spec = specs_.at(name);
  Linear out;
  OCELLI_TRY_VOID(bind_matrix(name, spec.n, spec.k, spec.bias, out));
  return out;
}

Result<const float*> WeightLoader::norm(const std::string& name) const {
  return bind_vector(name, round_up(specs_.at(name).n, 2));
}

Result<void> WeightLoader::bind_text(Weights& w, int stage) const {
  if (stage == 0) {
    OCELLI_TRY(w.embed, matrix("model.embed_tokens"));
    return {};
  }
  if (stage > config_.text.layers) {
    OCELLI_TRY(w.norm, norm("model.norm"));
    OCELLI_TRY(w.lm_head, config_.text.tied ? Result<Linear>(w.embed) : matrix("lm_head"));
    return {};
  }
  DecoderLayer& layer = w.layers[static_cast<size_t>(stage) - 1];
  const std::string at = "model.layers." + std::to_string(stage - 1) + ".";
  OCELLI_TRY(layer.input_norm, norm(at + "input_layernorm"));
  OCELLI_TRY(layer.q, matrix(at + "self_attn.q_proj"));
  OCELLI_TRY(layer.k, matrix(at + "self_attn.k_proj"));
  OCELLI_TRY(layer.v, matrix(at + "self_attn.v_proj"));
  OCELLI_TRY(layer.o, matrix(at + "self_attn.o_proj"));
  OCELLI_TRY(layer.post_norm, norm(at + "post_attention_layernorm"));
  OCELLI_TRY(layer.gate, matrix(at + "mlp.gate_proj"));
  OCELLI_TRY(layer.up, matrix(at + "mlp.up_proj"));
  OCELLI_TRY(layer.down, matrix(at + "mlp.down_proj"));
  return {};
}

Result<void> WeightLoader::bind_vision(Weights& w, int stage) const {
  if (stage == 0) {
    OCELLI_TRY(w.patch_embed, matrix("visual.patch_embed.proj"));
    return {};
  }
  if (stage > config_.vision.depth) {
    OCELLI_TRY(w.merger_norm, norm("visual.merger.ln_q"));
    OCELLI_TRY(w.merger_in, matrix("visual.merger.mlp.0"));
    OCELLI_TRY(w.merger_out, matrix("visual.merger.mlp.2"));
    return {};
  }
  VisionBlock& block = w.blocks[static_cast<size_t>(stage) - 1];
  const std::string at = "visual.blocks." + std::to_string(stage - 1) + ".";
  OCELLI_TRY(block.norm1, norm(at + "norm1"));
  OCELLI_TRY(block.qkv, matrix(at + "attn.qkv"));
  OCELLI_TRY(block.proj, matrix(at + "attn.proj"));
  OCELLI_TRY(block.norm2, norm(at + "norm2"));
  OCELLI_TRY(block.gate, matrix(at + "mlp.gate_proj"));
  OCELLI_TRY(block.up, matrix(at + "mlp.up_proj"));
  OCELLI_TRY(block.down, matrix(at + "mlp.down_proj"));
  return {};
}

Result<void> WeightLoader::bind(Weights& w, bool all) const {
  w.layers.resize(static_cast<size_t>(config_.text.layers));
  w.blocks.resize(static_cast<size_t>(config_.vision.depth));
  const auto go_on = [&](int& stages, int count, auto bind_stage) -> Result<void> {
    for (; stages < count; ++stages) {
      Result<void> bound = (this->*bind_stage)(w, stages);
      if (bound) continue;
      if (!all && bound.error().status == Status::kMissingTensor) break;
      return bound;
    }
    return {};
  };
  OCELLI_TRY_VOID(go_on(w.vision_stages, config_.vision.depth + 2, &WeightLoader::bind_vision));
  return go_on(w.text_stages, config_.text.layers + 2, &WeightLoader::bind_text);
}

}  // namespace ocelli
