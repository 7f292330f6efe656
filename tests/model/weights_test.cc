// WeightLoader: every tensor with the right shape and dtype or an error that names it. The shapes
// come from the table both sides share; the bytes are zeros.
#include "model/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace ocelli {
namespace {

ModelConfig small_model(bool tied) {
  ModelConfig config;
  TextConfig& text = config.text;
  text.hidden = 64;
  text.layers = 2;
  text.heads = 4;
  text.kv_heads = 2;
  text.head_dim = 16;
  text.intermediate = 96;
  text.vocab = 70;  // no multiple of a tile
  text.tied = tied;
  VisionConfig& vision = config.vision;
  vision.hidden = 32;
  vision.depth = 2;
  vision.heads = 2;
  vision.intermediate = 40;
  vision.out = 64;
  return config;
}

// A set of tensors in one format; the views share one block of zeros.
class Tensors {
 public:
  Tensors(const ModelConfig& config, WeightFormat format) : zeros_(1 << 22) {
    for (const WeightSpec& spec : weight_table(config)) {
      if (spec.kind == WeightKind::kNorm) {
        put(spec.name, Dtype::kF32, {round_up(spec.n, 2)});
        continue;
      }
      Linear shape;
      shape.n = spec.n;
      shape.k = spec.k;
      shape.format = format;
      matrix(spec.name, format, shape.tiles(), shape.k_padded());
      if (spec.bias) put(spec.name + ".bias", Dtype::kF32, {round_up(spec.n, kTileRows)});
    }
  }

  void matrix(const std::string& name, WeightFormat format, int64_t tiles, int64_t k) {
    if (format == WeightFormat::kF16) put(name + ".dense", Dtype::kF16, {tiles, k, kTileRows});
    if (format == WeightFormat::kU8) {
      put(name + ".u8", Dtype::kU8, {tiles, k / 4, 32});
      put(name + ".scales", Dtype::kF16, {tiles, k / kGroupU8, kTileRows});
    }
    if (format == WeightFormat::kU4) {
      put(name + ".u4", Dtype::kU8, {tiles, k / 8, 32});
      put(name + ".scales", Dtype::kF16, {tiles, k / kGroupU4, kTileRows});
      put(name + ".zeros", Dtype::kU8, {tiles, k / kGroupU4, kTileRows});
    }
  }

  void put(const std::string& name, Dtype dtype, std::vector<int64_t> shape) {
    size_t bytes = static_cast<size_t>(dtype_bytes(dtype));
    for (const int64_t side : shape) bytes *= static_cast<size_t>(side);
    list_.push_back(
        {name, dtype, std::move(shape), std::span<const uint8_t>(zeros_.data(), bytes)});
  }
  TensorView& at(const std::string& name) {
    const auto found =
        std::find_if(list_.begin(), list_.end(), [&](const auto& t) { return t.name == name; });
    EXPECT_NE(found, list_.end()) << name;
    return *found;
  }
  void erase(const std::string& name) {
    EXPECT_EQ(std::erase_if(list_, [&](const auto& t) { return t.name == name; }), 1u) << name;
  }
  const std::vector<TensorView>& list() const { return list_; }

 private:
  std::vector<uint8_t> zeros_;
  std::vector<TensorView> list_;
};

Result<Weights> bind_all(const WeightLoader& loader) {
  Weights weights;
  OCELLI_TRY_VOID(loader.bind(weights, true));
  EXPECT_TRUE(weights.complete());
  return weights;
}

void expect_bind_fails(const Tensors& tensors, const ModelConfig& config, Status status,
                       const std::string& part_of_message) {
  WeightLoader loader(config);
  ASSERT_TRUE(loader.add(tensors.list()));
  const auto weights = bind_all(loader);
  ASSERT_FALSE(weights) << part_of_message;
  EXPECT_EQ(weights.error().status, status) << weights.error().message;
  EXPECT_NE(weights.error().message.find(part_of_message), std::string::npos)
      << weights.error().message;
}

TEST(WeightLoader, BindsEveryFormat) {
  for (const bool tied : {true, false}) {
    const ModelConfig config = small_model(tied);
    for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kU8, WeightFormat::kU4}) {
      const Tensors tensors(config, format);
      WeightLoader loader(config);
      ASSERT_TRUE(loader.add(tensors.list()));
      const auto weights = bind_all(loader);
      ASSERT_TRUE(weights) << weights.error().message;
      EXPECT_EQ(weights->layers.size(), 2u);
      EXPECT_EQ(weights->blocks.size(), 2u);
      EXPECT_EQ(weights->layers[1].down.n, 64);
      EXPECT_EQ(weights->layers[1].down.k, 96);
      EXPECT_EQ(weights->layers[0].q.format, format);
      EXPECT_NE(weights->layers[0].q.bias, nullptr);
      EXPECT_EQ(weights->layers[0].o.bias, nullptr);
      EXPECT_EQ(weights->lm_head.n, 70);
      EXPECT_EQ(loader.find("lm_head.dense") != nullptr, !tied && format == WeightFormat::kF16);
    }
  }
}

TEST(WeightLoader, NamesEveryMissingTensor) {
  for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kU8, WeightFormat::kU4}) {
    const ModelConfig config = small_model(false);
    const Tensors whole(config, format);
    for (const TensorView& tensor : whole.list()) {
      Tensors rest = whole;
      rest.erase(tensor.name);
      const bool codes = tensor.name.ends_with(".u4") || tensor.name.ends_with(".u8") ||
                         tensor.name.ends_with(".dense");
      const std::string stem = codes ? tensor.name.substr(0, tensor.name.rfind('.')) : tensor.name;
      expect_bind_fails(rest, config, Status::kMissingTensor, "has no tensor " + stem);
    }
  }
}

TEST(WeightLoader, RefusesOtherShapesAndDtypes) {
  const ModelConfig config = small_model(true);
  const Tensors whole(config, WeightFormat::kU4);
  for (const TensorView& tensor : whole.list()) {
    Tensors changed = whole;
    changed.at(tensor.name).shape.back() += 32;
    expect_bind_fails(changed, config, Status::kTensorShape,
                      "tensor " + tensor.name + " has shape");
    changed = whole;
    changed.at(tensor.name).shape = {};
    expect_bind_fails(changed, config, Status::kTensorShape, tensor.name);
    if (tensor.name.ends_with(".u4")) continue;
    changed = whole;
    changed.at(tensor.name).dtype = Dtype::kBf16;
    expect_bind_fails(changed, config, Status::kTensorDtype, tensor.name);
  }
  // Too few rows of tiles.
  Tensors changed = whole;
  const std::string name = "model.layers.0.mlp.up_proj";
  for (const char* suffix : {".u4", ".scales", ".zeros"}) changed.at(name + suffix).shape[0] -= 1;
  expect_bind_fails(changed, config, Status::kTensorShape, name);
}

TEST(WeightLoader, RefusesScalesThatAreNegativeOrNotFinite) {
  const ModelConfig config = small_model(true);
  const std::string name = "model.layers.0.mlp.up_proj";
  for (const uint16_t bad : {0x8001, 0xbc00, 0x7c00, 0x7e00, 0xfc00}) {
    Tensors changed(config, WeightFormat::kU4);
    TensorView& scales = changed.at(name + ".scales");
    std::vector<uint16_t> values(scales.data.size() / 2, 0x3c00);
    values[values.size() - 3] = bad;
    scales.data = {reinterpret_cast<const uint8_t*>(values.data()), scales.data.size()};
    expect_bind_fails(changed, config, Status::kTensorDtype, name + ".scales");
  }
}

// Replaces one matrix by parts of 1 and the rest of its tiles.
Tensors with_parts(const Tensors& whole, const std::string& name, WeightFormat second) {
  Tensors out = whole;
  const TensorView codes = out.at(name + ".u8");
  out.erase(name + ".u8");
  out.erase(name + ".scales");
  const int64_t k = codes.shape[1] * 4;
  out.matrix(name + "#0", WeightFormat::kU8, 1, k);
  out.matrix(name + "#1", second, codes.shape[0] - 1, k);
  return out;
}

TEST(WeightLoader, JoinsPartsAndChecksThem) {
  const ModelConfig config = small_model(true);
  const Tensors whole(config, WeightFormat::kU8);
  const std::string name = "model.layers.1.mlp.gate_proj";
  {
    const Tensors parts = with_parts(whole, name, WeightFormat::kU8);
    WeightLoader loader(config);
    ASSERT_TRUE(loader.add(parts.list()));
    const auto weights = bind_all(loader);
    ASSERT_TRUE(weights) << weights.error().message;
    const Linear& gate = weights->layers[1].gate;
    ASSERT_EQ(gate.parts.size(), 2u);
    EXPECT_EQ(gate.parts[1].tile_begin, 1);
    EXPECT_EQ(gate.parts[1].tiles, gate.tiles() - 1);
  }
  Tensors missing = with_parts(whole, name, WeightFormat::kU8);
  missing.erase(name + "#1.u8");
  expect_bind_fails(missing, config, Status::kMissingTensor, name + "#1");
  expect_bind_fails(with_parts(whole, name, WeightFormat::kF16), config, Status::kTensorDtype,
                    "parts of " + name + " have different formats");
  Tensors overlong = with_parts(whole, name, WeightFormat::kU8);
  overlong.at(name + "#1.u8").shape[0] += 1;
  expect_bind_fails(overlong, config, Status::kTensorShape, name + "#1.u8");
}

// The tensors come one by one in container order; what counts as there never runs ahead of them.
TEST(WeightLoader, StagesFollowTheTensors) {
  for (const bool tied : {true, false}) {
    const ModelConfig config = small_model(tied);
    const Tensors whole(config, WeightFormat::kU4);
    WeightLoader loader(config);
    Weights weights;
    ASSERT_TRUE(loader.bind(weights, false));
    EXPECT_FALSE(weights.has_embed() || weights.has_patch_embed() || weights.complete());
    std::vector<std::string> last;  // tensor that completed each stage
    int text = 0, vision = 0;
    for (const TensorView& tensor : whole.list()) {
      ASSERT_TRUE(loader.add(std::span(&tensor, 1)));
      ASSERT_TRUE(loader.bind(weights, false));
      if (weights.text_stages + weights.vision_stages == text + vision) continue;
      EXPECT_EQ(weights.text_stages + weights.vision_stages, text + vision + 1);
      text = weights.text_stages;
      vision = weights.vision_stages;
      last.push_back(tensor.name);
    }
    const std::vector<std::string> expected = {
        "visual.patch_embed.proj.zeros",      "visual.blocks.0.mlp.down_proj.bias",
        "visual.blocks.1.mlp.down_proj.bias", "visual.merger.mlp.2.bias",
        "model.embed_tokens.zeros",           "model.layers.0.mlp.down_proj.zeros",
        "model.layers.1.mlp.down_proj.zeros", tied ? "model.norm" : "lm_head.zeros"};
    EXPECT_EQ(last, expected);
    EXPECT_TRUE(weights.complete());
    EXPECT_TRUE(weights.has_layer(1) && weights.has_block(1));
  }
}

// In any other order as well: a later layer alone is of no use yet.
TEST(WeightLoader, AStageWaitsForThoseBeforeIt) {
  const ModelConfig config = small_model(true);
  const Tensors whole(config, WeightFormat::kU8);
  WeightLoader loader(config);
  Weights weights;
  for (auto tensor = whole.list().rbegin(); tensor != whole.list().rend(); ++tensor) {
    ASSERT_TRUE(loader.add(std::span(&*tensor, 1)));
    ASSERT_TRUE(loader.bind(weights, false));
    if (tensor->name.find("layers.0.") != std::string::npos) EXPECT_FALSE(weights.has_layer(1));
    if (tensor->name.find("blocks.0.") != std::string::npos) EXPECT_FALSE(weights.has_block(1));
  }
  EXPECT_TRUE(weights.complete());
}

TEST(WeightLoader, AWrongShapeIsAnErrorBeforeTheRestHasCome) {
  const ModelConfig config = small_model(true);
  Tensors tensors(config, WeightFormat::kU8);
  tensors.at("model.embed_tokens.u8").shape.back() += 32;
  WeightLoader loader(config);
  Weights weights;
  const auto& list = tensors.list();
  const auto layers = std::find_if(list.begin(), list.end(), [](const TensorView& tensor) {
    return tensor.name.starts_with("model.layers.");
  });
  ASSERT_TRUE(loader.add(std::span(list.begin(), layers)));
  const auto bound = loader.bind(weights, false);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().status, Status::kTensorShape);
}

TEST(WeightLoader, ANameOccursOnce) {
  const ModelConfig config = small_model(true);
  const Tensors whole(config, WeightFormat::kF16);
  WeightLoader loader(config);
  ASSERT_TRUE(loader.add(whole.list()));
  const auto again = loader.add(std::span(whole.list()).first(1));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().status, Status::kInvalidShard);
  EXPECT_NE(again.error().message.find("occurs twice"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
