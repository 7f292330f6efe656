// A LoRA adapter as PEFT writes it: adapter_config.json and adapter_model.safetensors, read as
// hostile input. Called by engine/adapters.cc. Surprise: which modules are adapted is read from the
// tensors' names alone; the config's target_modules is a pattern that nobody has to run. What would
// be ignored is refused, by name: an adapter must not load and do half of what it was trained for.
// Source: huggingface/peft, LoraConfig and LoraLayer.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/manifest.h"
#include "format/shard.h"

namespace ocelli {

inline constexpr int kAdapterRankMax = 256;
inline constexpr int64_t kAdapterConfigBytesMax = 1 << 20;

// The linears of a decoder layer, in the order of their use.
enum class AdapterTarget : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr int kAdapterTargets = 7;

// What is added to one linear: y += scale * B (A x).
struct AdapterPair {
  int layer = 0;
  AdapterTarget target = AdapterTarget::kQ;
  int rank = 0;      // r
  int n = 0, k = 0;  // of the linear
  float scale = 0;   // lora_alpha / r, or / sqrt(r) with use_rslora
  Dtype a_dtype = Dtype::kF32, b_dtype = Dtype::kF32;  // F32, F16 or BF16
  std::span<const uint8_t> a, b;                       // [r, k] [n, r], views of the file
};

// The pairs of a file, by layer and target. kInvalidAdapter: whatever is wrong or not supported,
// with the field or the tensor named; kInvalidSafetensors for the header.
Result<std::vector<AdapterPair>> read_adapter(std::string_view config,
                                              std::span<const uint8_t> file,
                                              const ModelConfig& model);

}  // namespace ocelli
