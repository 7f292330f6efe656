// manifest.json: the configuration of a model and the list of its shards (models/FORMAT.md section
// 2). Read by the engine at open, written by models/convert. Everything in a parsed Manifest has
// been checked against the ranges below, so model and engine use the numbers without checking
// again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ocelli {

struct TextConfig {
  int hidden = 0;  // D
  int layers = 0;
  int heads = 0;         // H, heads * head_dim == hidden
  int kv_heads = 0;      // divides heads
  int head_dim = 0;      // a multiple of 4, at most 256
  int intermediate = 0;  // F
  int vocab = 0;         // rows of the embedding, more than there are tokens
  float rms_eps = 1e-6f;
  double rope_theta = 1e6;
  int mrope_section[3] = {};  // frequencies for time, row, column; sum = head_dim / 2
  bool yarn = false;
  double yarn_factor = 1.0;
  int yarn_original_context = 0;
  bool tied = false;  // the output head is the embedding
  int context = 0;    // longest position the model was made for

  bool operator==(const TextConfig&) const = default;
};

struct VisionConfig {
  int hidden = 0;
  int depth = 0;
  int heads = 0;  // hidden / heads is a multiple of 4, at most 256
  int intermediate = 0;
  int in_channels = 3;           // always 3
  int patch = 14;                // pixels
  int temporal_patch = 2;        // frames
  int merge = 2;                 // patches a side that become one image token
  int window = 112;              // pixels, a multiple of patch * merge
  std::vector<int> full_blocks;  // ascending; the other blocks attend within windows
  int out = 0;                   // == text.hidden
  double tokens_per_second = 2.0;
  float rms_eps = 1e-6f;

  bool operator==(const VisionConfig&) const = default;
};

struct ImageProcessorConfig {
  int64_t min_pixels = 3136;
  int64_t max_pixels = 12845056;
  float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
  float std[3] = {0.26862954f, 0.26130258f, 0.27577711f};

  bool operator==(const ImageProcessorConfig&) const = default;
};

struct SpecialIds {
  int32_t image_pad = 151655;
  int32_t video_pad = 151656;
  int32_t vision_start = 151652;
  int32_t vision_end = 151653;

  bool operator==(const SpecialIds&) const = default;
};

// What generation_config.json asks for; empty where it is silent.
struct GenerationDefaults {
  std::vector<int32_t> eos;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k, max_new_tokens;

  bool operator==(const GenerationDefaults&) const = default;
};

struct ModelConfig {
  TextConfig text;
  VisionConfig vision;
  ImageProcessorConfig image;
  SpecialIds ids;
  GenerationDefaults generation;

  bool operator==(const ModelConfig&) const = default;
};

struct AddedTokenInfo {
  int32_t id = 0;
  std::string content;
  bool special = false;

  bool operator==(const AddedTokenInfo&) const = default;
};

struct ShardInfo {
  std::string sha256;              // 64 lower-case hex digits; the file is <sha256>.safetensors
  uint32_t bytes = 0;              // of the whole file
  std::vector<std::string> holds;  // "tokenizer", "vision", "embed", "layer.N", "norm", "lm_head"

  bool operator==(const ShardInfo&) const = default;
};

struct Manifest {
  std::string name;
  ModelConfig config;
  int tokens = 0;  // ids with text, added ones included
  int merges = 0;
  std::vector<AddedTokenInfo> added;  // ascending ids
  // Precision words: "f32", "f16", "bf16", "u8", "u4", or "mixed". For people; tensors speak for
  // themselves.
  std::string linear, vision, embedding;
  std::vector<ShardInfo> shards;

  bool operator==(const Manifest&) const = default;
};

// Checks ranges and the relations between fields; the message names field, value and range.
// `status` is what a failure carries: kInvalidManifest for a manifest, kInvalidConfig for a
// source's config.
Result<void> check_config(const ModelConfig& config, Status status);

// kInvalidManifest, message naming the field, its value and the allowed range.
Result<Manifest> parse_manifest(std::string_view json);

// Deterministic: fixed key order, two-space indent, shortest numbers, newline at the end.
// parse_manifest(write_manifest(m)) == m for every valid m.
std::string write_manifest(const Manifest& manifest);

}  // namespace ocelli
