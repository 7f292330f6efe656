// Synthetic models: a container of any shape with random weights, written directly, so that speed,
// memory and long context can be measured without a download. main.cc wraps it as `ocelli_convert
// --shape`, which `ocelli synth` runs as WebAssembly. Memory: one shard and the tokenizer.
#pragma once

#include <optional>
#include <string>

#include "convert/container_writer.h"
#include "convert/io.h"
#include "format/manifest.h"
#include "tensor/linear.h"

namespace ocelli {

struct SynthOptions {
  std::string name = "synth";
  ModelConfig config;  // of synth_shape(), or any that check_config accepts
  uint64_t seed = 0;
  int shard_mib = kShardMibDefault;  // 1 to kShardMibMax
  WeightFormat linear = WeightFormat::kU4;
  WeightFormat vision = WeightFormat::kU8;     // u8, f16 or f32
  WeightFormat embedding = WeightFormat::kU8;  // u8, f16 or f32; and the head's
  // Made by rule, of the size that Qwen's has, when there is none.
  std::optional<TokenizerTables> tokenizer;
};

// Writes and commits the container. Equal options give equal bytes, on every platform. After an
// error the sink has not been committed. kInvalidArgument, kInvalidConfig, kInvalidTokenizer, and
// what the sink says.
Result<Manifest> synthesize(Sink& sink, Listener& listener, SynthOptions options);

}  // namespace ocelli
