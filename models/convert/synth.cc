#include "convert/synth.h"

#include <algorithm>

#include "convert/matrix_parts.h"
#include "convert/synth_matrix.h"
#include "convert/synth_statistics.h"
#include "convert/synth_tokenizer.h"

namespace ocelli {
namespace {

constexpr int kQwenTokens = 151665;
constexpr int kRuleTokensMin = 512;

// The id of an added token that the model cannot do without.
Result<int32_t> added_id(const TokenizerTables& tables, std::string_view content) {
  for (const AddedToken& token : tables.added)
    if (token.content == content) return token.id;
  return fail(Status::kInvalidTokenizer, "the tokenizer has no added token " + std::string(content),
              "tokenizer");
}

Result<void> take_ids(const TokenizerTables& tables, ModelConfig& config) {
  OCELLI_TRY(config.ids.image_pad, added_id(tables, "<|image_pad|>"));
  OCELLI_TRY(config.ids.video_pad, added_id(tables, "<|video_pad|>"));
  OCELLI_TRY(config.ids.vision_start, added_id(tables, "<|vision_start|>"));
  OCELLI_TRY(config.ids.vision_end, added_id(tables, "<|vision_end|>"));
  OCELLI_TRY(const int32_t turn_end, added_id(tables, "<|im_end|>"));
  OCELLI_TRY(const int32_t text_end, added_id(tables, "<|endoftext|>"));
  config.generation.eos = {turn_end, text_end};
  return {};
}

Result<void> write_vector(const WeightSpec& spec, const SynthStatistics& statistics,
                          const Noise& noise, ShardWriter& shards) {
  const bool norm = spec.kind == WeightKind::kNorm;
  OCELLI_TRY(const std::span<uint8_t> place,
             norm ? place_norm(shards, spec) : place_bias(shards, spec));
  auto* values = reinterpret_cast<float*>(place.data());
  for (int i = 0; i < spec.n; ++i)
    values[i] = norm ? statistics.norm(spec, noise, i) : statistics.bias(spec, noise, i);
  return {};
}

}  // namespace

Result<Manifest> synthesize(Sink& sink, Listener& listener, SynthOptions options) {
  OCELLI_TRY_VOID(check_shard_mib(options.shard_mib));
  Manifest manifest;
  manifest.name = options.name;
  manifest.config = options.config;
  ModelConfig& config = manifest.config;
  if (!options.tokenizer) {
    // A shape with fewer rows than Qwen's vocabulary keeps some without a token, as Qwen does.
    const int tokens = std::min(kQwenTokens, config.text.vocab - 8);
    if (tokens < kRuleTokensMin) {
      return fail(Status::kInvalidConfig, "text.vocab is " + std::to_string(config.text.vocab) +
                                              ", must be at least " +
                                              std::to_string(kRuleTokensMin + 8));
    }
    options.tokenizer = rule_tokenizer(tokens);
  }
  const TokenizerTables& tokenizer = *options.tokenizer;
  OCELLI_TRY_VOID(take_ids(tokenizer, config));
  OCELLI_TRY_VOID(check_tokenizer(tokenizer, config));
  OCELLI_TRY_VOID(check_config(config, Status::kInvalidConfig));
  OCELLI_TRY(const int32_t im_start, added_id(tokenizer, "<|im_start|>"));

  const auto format_of = [&](const WeightSpec& spec) {
    return spec.group == WeightGroup::kVision      ? options.vision
           : spec.group == WeightGroup::kEmbedding ? options.embedding
                                                   : options.linear;
  };
  const std::vector<WeightSpec> table = weight_table(config);
  uint64_t bytes_total = 0, bytes_done = 0;
  for (const WeightSpec& spec : table)
    bytes_total += static_cast<uint64_t>(weight_bytes(spec, format_of(spec)));

  const SynthStatistics statistics(config, im_start, options.seed);
  ShardWriter shards(sink, static_cast<uint64_t>(options.shard_mib) << 20);
  OCELLI_TRY_VOID(write_tokenizer(tokenizer, shards));
  for (const WeightSpec& spec : table) {
    if (spec.kind == WeightKind::kMatrix) {
      const Noise noise(options.seed, spec.name);
      OCELLI_TRY_VOID(
          write_parts(shards, spec, format_of(spec), [&](const MatrixPart& part) -> Result<void> {
            fill_random(spec, statistics, noise, part);
            bytes_done += part.codes_all.size() + part.scales_all.size() + part.zeros_all.size();
            listener.progress(bytes_done, bytes_total);
            return {};
          }));
    }
    if (spec.kind == WeightKind::kNorm || spec.bias) {
      const Noise noise(options.seed, spec.name + ".vector");
      OCELLI_TRY_VOID(write_vector(spec, statistics, noise, shards));
      bytes_done += static_cast<uint64_t>(round_up(spec.n, spec.bias ? kTileRows : 2)) * 4;
      listener.progress(bytes_done, bytes_total);
    }
  }
  manifest.linear = format_word(options.linear);
  manifest.vision = format_word(options.vision);
  manifest.embedding = format_word(options.embedding);
  OCELLI_TRY_VOID(finish_container(tokenizer, shards, sink, manifest));
  return manifest;
}

}  // namespace ocelli
