// The memory plan: bytes = f(manifest, options), a pure function that a host can ask before it
// fetches a byte.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/options.h"
#include "format/manifest.h"
#include "kernels/attention.h"

namespace ocelli {

struct MemoryPlan {
  int context = 0;  // tokens of the KV cache, as chosen
  int kv_blocks = 0;
  KvFormat kv_format = KvFormat::kF16;
  int64_t weights_bytes = 0;
  int64_t kv_bytes = 0;
  int64_t activations_bytes = 0;  // decoder and vision scratch, logits, the samplers' tables
  int64_t image_bytes = 0;        // the largest image in flight, and a context of merged rows
  int64_t reserve_bytes = kMemoryReserve;  // and the steps that wait for weights
  int64_t memory_bytes_max = 0;

  int64_t resident_bytes() const {
    return weights_bytes + kv_bytes + activations_bytes + reserve_bytes;
  }
  int64_t total_bytes() const { return resident_bytes() + image_bytes; }
};

// kPlanExceedsMemory when the engine cannot be resident within memory_bytes_max; the message says
// what would fit.
Result<MemoryPlan> plan_memory(const Manifest& manifest, const EngineOptions& options);

// {"context":..,"weights_bytes":..,...,"total_bytes":..,"memory_bytes_max":..,"precision":{..},"shards":N}
std::string plan_json(const Manifest& manifest, const MemoryPlan& plan);

}  // namespace ocelli
