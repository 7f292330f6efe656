#include "engine/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/decoder.h"
#include "model/kv_pool.h"
#include "model/vision.h"
#include "sampler/sampler.h"

namespace ocelli {
namespace {

// One sequence may fill the context; the others need a partly filled block each.
int blocks_for(int context, int sequences_max) {
  return (context + kKvBlock - 1) / kKvBlock + sequences_max;
}

}  // namespace

Result<MemoryPlan> plan_memory(const Manifest& manifest, const EngineOptions& options) {
  const TextConfig& text = manifest.config.text;
  const VisionConfig& vision = manifest.config.vision;
  MemoryPlan plan;
  plan.memory_bytes_max = options.memory_bytes_max;
  for (const ShardInfo& shard : manifest.shards) plan.weights_bytes += shard.bytes;
  plan.activations_bytes = Decoder::bytes(text, kStepRowsMax, options.sequences_max, options.fast) +
                           VisionTower::bytes(vision, options.fast) +
                           options.sequences_max * Sampler::bytes(text.vocab) +
                           int64_t{text.vocab} * 4;  // the logits that choices of a prompt share
  const int unit = vision.merge * vision.merge;
  plan.image_bytes = VisionJob::bytes(vision, int64_t{options.image_tokens_max} * unit) +
                     int64_t{options.image_tokens_max} * unit * vision.patch * vision.patch * 6;
  // Reference compute keeps keys and values in f32.
  auto kv_bytes = [&](int context) {
    return KvPool::bytes(text.layers, text.kv_heads, text.head_dim,
                         blocks_for(context, options.sequences_max), options.fast);
  };
  const int context_max = text.context;
  if (options.context > context_max) {
    return fail(Status::kInvalidValue,
                "context must be at most " + std::to_string(context_max) + " for this model, got " +
                    std::to_string(options.context),
                "context");
  }
  plan.context = options.context ? options.context : std::min(kContextDefault, context_max);
  plan.kv_bytes = kv_bytes(plan.context);
  if (options.context == 0) {
    // Not asked for a size: leave room for a middling image, halve until it fits.
    const int64_t image_room = std::min<int64_t>(plan.image_bytes, 512 << 20);
    while (plan.context > 512 && plan.resident_bytes() + image_room > plan.memory_bytes_max) {
      plan.context = plan.context / 2;
      plan.kv_bytes = kv_bytes(plan.context);
    }
  }
  plan.kv_blocks = blocks_for(plan.context, options.sequences_max);
  if (plan.resident_bytes() > plan.memory_bytes_max) {
    return fail(Status::kPlanExceedsMemory,
                "the model needs " + std::to_string(plan.resident_bytes()) + " bytes (weights " +
                    std::to_string(plan.weights_bytes) + ", KV cache for " +
                    std::to_string(plan.context) + " tokens " + std::to_string(plan.kv_bytes) +
                    ", activations " + std::to_string(plan.activations_bytes) + ", reserve " +
                    std::to_string(plan.reserve_bytes) + "), the memory holds " +
                    std::to_string(plan.memory_bytes_max) +
                    ": choose a smaller context, or convert with a smaller --linear, --vision or "
                    "--embedding");
  }
  return plan;
}

std::string plan_json(const Manifest& manifest, const MemoryPlan& plan) {
  nlohmann::ordered_json out = {{"name", manifest.name},
                                {"context", plan.context},
                                {"weights_bytes", plan.weights_bytes},
                                {"kv_bytes", plan.kv_bytes},
                                {"activations_bytes", plan.activations_bytes},
                                {"image_bytes", plan.image_bytes},
                                {"reserve_bytes", plan.reserve_bytes},
                                {"resident_bytes", plan.resident_bytes()},
                                {"total_bytes", plan.total_bytes()},
                                {"memory_bytes_max", plan.memory_bytes_max}};
  out["precision"] = {
      {"linear", manifest.linear}, {"vision", manifest.vision}, {"embedding", manifest.embedding}};
  out["shards"] = manifest.shards.size();
  return out.dump();
}

}  // namespace ocelli
