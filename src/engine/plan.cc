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

// The largest image that a prompt can hold, from pixels to merged rows, and the merged rows of
// those before it: the scheduler lets them have as many tokens together as the context.
int64_t image_bytes(const VisionConfig& vision, const EngineOptions& options, int context) {
  const int64_t tokens = std::min(options.image_tokens_max, context);
  const int64_t patches = tokens * vision.merge * vision.merge;
  return VisionJob::bytes(vision, patches, options.fast) +
         patches * vision.patch * vision.patch * 6 + (context - tokens) * vision.out * 4;
}

// Reference compute keeps keys and values in f32.
Result<KvFormat> kv_format(const TextConfig& text, const EngineOptions& options) {
  const bool fits_int8 = text.head_dim % kKvInt8Multiple == 0;
  if (options.kv == KvFormat::kInt8 && !fits_int8) {
    return fail(Status::kInvalidValue,
                "option kv cannot be \"int8\" for this model: its heads have " +
                    std::to_string(text.head_dim) + " channels, which is no multiple of " +
                    std::to_string(kKvInt8Multiple),
                "kv");
  }
  if (!options.fast) return KvFormat::kF32;
  return options.kv.value_or(KvFormat::kF16);
}

const char* name_of(KvFormat format) {
  return format == KvFormat::kInt8 ? "int8" : format == KvFormat::kF16 ? "f16" : "f32";
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
  // Prompts may be read while weights come.
  plan.reserve_bytes += kParkedSlices * Decoder::parked_bytes(text, kStepRowsMax);
  const auto take_context = [&](int context) {
    plan.context = context;
    plan.kv_blocks = blocks_for(context, options.sequences_max);
    plan.kv_bytes =
        KvPool::bytes(text.layers, text.kv_heads, text.head_dim, plan.kv_blocks, plan.kv_format);
    plan.image_bytes = image_bytes(vision, options, context);
  };
  OCELLI_TRY(plan.kv_format, kv_format(text, options));
  const int context_max = text.context;
  if (options.context > context_max) {
    return fail(Status::kInvalidValue,
                "context must be at most " + std::to_string(context_max) + " for this model, got " +
                    std::to_string(options.context),
                "context");
  }
  take_context(options.context ? options.context : std::min(kContextDefault, context_max));
  if (options.context == 0) {
    // Not asked for a size: leave room for a middling image, halve until it fits.
    const auto image_room = [&] { return std::min<int64_t>(plan.image_bytes, 512 << 20); };
    while (plan.context > 512 && plan.resident_bytes() + image_room() > plan.memory_bytes_max)
      take_context(plan.context / 2);
  }
  if (plan.resident_bytes() > plan.memory_bytes_max) {
    return fail(
        Status::kPlanExceedsMemory,
        "the model needs " + std::to_string(plan.resident_bytes()) + " bytes (weights " +
            std::to_string(plan.weights_bytes) + ", KV cache for " + std::to_string(plan.context) +
            " tokens " + std::to_string(plan.kv_bytes) + ", activations " +
            std::to_string(plan.activations_bytes) + ", reserve " +
            std::to_string(plan.reserve_bytes) + "), the memory holds " +
            std::to_string(plan.memory_bytes_max) +
            ": choose a smaller context or an int8 KV cache (kv), or convert with a smaller "
            "--linear, --vision or --embedding");
  }
  return plan;
}

std::string plan_json(const Manifest& manifest, const MemoryPlan& plan) {
  nlohmann::ordered_json out = {{"name", manifest.name},
                                {"context", plan.context},
                                {"weights_bytes", plan.weights_bytes},
                                {"kv_format", name_of(plan.kv_format)},
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
