// Small Hugging Face folders with random weights, in memory: the sources of the converter's tests.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "convert/memory_folders.h"
#include "format/safetensors.h"

namespace ocelli::testing {

struct TinyTensor {
  Dtype dtype = Dtype::kBf16;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;
};

// A checkpoint that tests bend before they call files().
struct TinyCheckpoint {
  nlohmann::json config;
  nlohmann::json generation;    // null: no such file
  nlohmann::json preprocessor;  // null: no such file
  nlohmann::json tokenizer;
  std::map<std::string, TinyTensor> tensors;  // by the name in the file
  int weight_files = 1;                       // more than one writes an index

  Files files() const;
  std::vector<float> values(const std::string& name) const;  // of a float tensor
  void set(const std::string& name, size_t index, float value);
};

// Sizes of the tiny model; its config.json says the same.
inline constexpr int kHidden = 128, kLayers = 2, kHeads = 4, kKvHeads = 2, kHeadDim = 32;
inline constexpr int kIntermediate = 256, kVocab = 300;
inline constexpr int kVisionHidden = 32, kVisionDepth = 2, kVisionIntermediate = 44;

// All matrices dense, of this dtype.
TinyCheckpoint tiny_checkpoint(Dtype dtype, bool tied = true);

// What an AWQ matrix holds, unpacked.
struct AwqTruth {
  std::vector<uint8_t> codes;    // [k, n]
  std::vector<uint8_t> zeros;    // [k/128, n]
  std::vector<uint16_t> scales;  // [k/128, n] f16
};
// Decoder matrices AWQ-packed with F16 biases, the rest BF16, as the released AWQ models have it.
TinyCheckpoint tiny_awq(std::map<std::string, AwqTruth>& truth);

void rename_tensors(TinyCheckpoint& checkpoint,
                    const std::function<std::string(const std::string&)>& rename);

std::vector<uint8_t> safetensors_file(
    const std::vector<std::pair<std::string, TinyTensor>>& tensors);
std::vector<uint8_t> bytes_of(const std::string& text);

}  // namespace ocelli::testing
