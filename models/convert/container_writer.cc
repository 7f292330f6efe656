#include "convert/container_writer.h"

#include <algorithm>
#include <cstring>

namespace ocelli {

Result<void> check_shard_mib(int shard_mib) {
  if (shard_mib >= 1 && shard_mib <= kShardMibMax) return {};
  return fail(Status::kInvalidArgument, "the shard size is " + std::to_string(shard_mib) +
                                            " MiB, must be between 1 and " +
                                            std::to_string(kShardMibMax));
}

Result<void> check_tokenizer(const TokenizerTables& tables, const ModelConfig& config) {
  if (tables.tokens > config.text.vocab) {
    return fail(Status::kInvalidTokenizer,
                "the tokenizer has " + std::to_string(tables.tokens) + " ids, more than the " +
                    std::to_string(config.text.vocab) + " rows of the embedding");
  }
  const struct {
    const char* content;
    int32_t id;
    const char* key;
  } kSpecials[] = {{"<|image_pad|>", config.ids.image_pad, "image_token_id"},
                   {"<|video_pad|>", config.ids.video_pad, "video_token_id"},
                   {"<|vision_start|>", config.ids.vision_start, "vision_start_token_id"},
                   {"<|vision_end|>", config.ids.vision_end, "vision_end_token_id"}};
  for (const auto& special : kSpecials) {
    for (const AddedToken& token : tables.added) {
      if (token.content == special.content && token.id != special.id) {
        return fail(Status::kInvalidConfig,
                    "config.json: \"" + std::string(special.key) + "\" is " +
                        std::to_string(special.id) + ", but the tokenizer gives " + token.content +
                        " the id " + std::to_string(token.id),
                    "config.json");
      }
    }
  }
  return {};
}

Result<void> write_tokenizer(const TokenizerTables& tables, ShardWriter& shards) {
  const auto bytes_padded = static_cast<int64_t>((tables.bytes.size() + 7) / 8 * 8);
  const auto ends_padded = static_cast<int64_t>((tables.ends.size() + 1) / 2 * 2);
  const auto merges = static_cast<int64_t>(tables.merges.size() / 4);
  OCELLI_TRY_VOID(shards.begin(
      "tokenizer", static_cast<uint64_t>(bytes_padded + ends_padded * 4 + merges * 16)));
  const std::span<uint8_t> bytes = shards.add("tokenizer.bytes", Dtype::kU8, {bytes_padded});
  std::copy(tables.bytes.begin(), tables.bytes.end(), bytes.begin());
  std::vector<uint32_t> ends = tables.ends;
  ends.resize(static_cast<size_t>(ends_padded), ends.empty() ? 0 : ends.back());
  std::memcpy(shards.add("tokenizer.ends", Dtype::kU32, {ends_padded}).data(), ends.data(),
              ends.size() * 4);
  const std::span<uint8_t> rows = shards.add("tokenizer.merges", Dtype::kU32, {merges, 4});
  if (merges > 0) std::memcpy(rows.data(), tables.merges.data(), tables.merges.size() * 4);
  return {};
}

Result<void> finish_container(const TokenizerTables& tables, ShardWriter& shards, Sink& sink,
                              Manifest& manifest) {
  OCELLI_TRY(manifest.shards, shards.finish());
  manifest.tokens = tables.tokens;
  manifest.merges = static_cast<int>(tables.merges.size() / 4);
  for (const AddedToken& token : tables.added)
    manifest.added.push_back({token.id, token.content, token.special});
  std::sort(manifest.added.begin(), manifest.added.end(),
            [](const AddedTokenInfo& a, const AddedTokenInfo& b) { return a.id < b.id; });
  const std::string json = write_manifest(manifest);
  // What the engine would refuse must not be committed.
  OCELLI_TRY([[maybe_unused]] const Manifest back, parse_manifest(json));
  const std::span<const uint8_t> part(reinterpret_cast<const uint8_t*>(json.data()), json.size());
  OCELLI_TRY_VOID(sink.write("manifest.json", std::span(&part, 1)));
  return sink.commit();
}

}  // namespace ocelli
