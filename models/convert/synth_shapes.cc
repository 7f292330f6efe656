#include "convert/synth_shapes.h"

#include <algorithm>

namespace ocelli {
namespace {

constexpr std::string_view kNames[] = {"3b", "7b", "tiny"};

// What the released models have in common.
ModelConfig qwen(int hidden, int layers, int heads, int kv_heads, int intermediate, int vocab,
                 bool tied) {
  ModelConfig config;
  TextConfig& text = config.text;
  text.hidden = hidden;
  text.layers = layers;
  text.heads = heads;
  text.kv_heads = kv_heads;
  text.head_dim = hidden / heads;
  text.intermediate = intermediate;
  text.vocab = vocab;
  std::copy_n((const int[]){16, 24, 24}, 3, text.mrope_section);
  text.tied = tied;
  text.context = 128000;
  VisionConfig& vision = config.vision;
  vision.hidden = 1280;
  vision.depth = 32;
  vision.heads = 16;
  vision.intermediate = 3420;
  vision.full_blocks = {7, 15, 23, 31};
  vision.out = hidden;
  config.generation.temperature = 1e-6;
  config.generation.repetition_penalty = 1.05;
  return config;
}

ModelConfig tiny() {
  ModelConfig config = qwen(256, 4, 4, 2, 640, 1024, true);
  std::copy_n((const int[]){8, 12, 12}, 3, config.text.mrope_section);
  config.text.context = 4096;
  config.vision.hidden = 192;
  config.vision.depth = 4;
  config.vision.heads = 3;
  config.vision.intermediate = 340;
  config.vision.full_blocks = {1, 3};
  return config;
}

}  // namespace

std::string shape_names() {
  std::string names;
  for (const std::string_view name : kNames) {
    if (!names.empty()) names += name == std::end(kNames)[-1] ? " or " : ", ";
    names += name;
  }
  return names;
}

Result<ModelConfig> synth_shape(std::string_view name) {
  if (name == "3b") return qwen(2048, 36, 16, 2, 11008, 151936, true);
  if (name == "7b") return qwen(3584, 28, 28, 4, 18944, 152064, false);
  if (name == "tiny") return tiny();
  return fail(Status::kInvalidValue,
              "the shape is \"" + std::string(name) + "\", must be " + shape_names(), "shape");
}

}  // namespace ocelli
