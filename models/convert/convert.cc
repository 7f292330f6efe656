#include "convert/convert.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "convert/checkpoint.h"
#include "convert/shard_writer.h"
#include "convert/source_config.h"
#include "convert/tokenizer_import.h"

namespace ocelli {
namespace {

constexpr uint64_t kTokenizerBytesMax = 256 << 20;

Result<TokenizerTables> read_tokenizer(Source& source) {
  OCELLI_TRY(const std::vector<std::string> names, source.list());
  const auto has = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has("tokenizer.json")) {
    OCELLI_TRY(const std::string json,
               read_text_file(source, "tokenizer.json", kTokenizerBytesMax));
    return import_tokenizer(json);
  }
  if (!has("vocab.json") || !has("merges.txt"))
    return fail(Status::kIoError,
                "the source folder has neither tokenizer.json nor vocab.json and merges.txt");
  OCELLI_TRY(const std::string vocab, read_text_file(source, "vocab.json", kTokenizerBytesMax));
  OCELLI_TRY(const std::string merges, read_text_file(source, "merges.txt", kTokenizerBytesMax));
  OCELLI_TRY(const std::string config,
             read_text_file(source, "tokenizer_config.json", kTokenizerBytesMax));
  return import_vocab_merges(vocab, merges, config);
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

Result<void> check_weights(const Checkpoint& checkpoint, const std::vector<WeightSpec>& table) {
  std::optional<Error> first;
  int missing = 0;
  for (const WeightSpec& spec : table) {
    auto checked = check_weight(checkpoint, spec);
    if (checked) continue;
    if (checked.error().status != Status::kMissingTensor) return checked;
    ++missing;
    if (!first) first = std::move(checked).error();
  }
  if (!first) return {};
  if (missing > 1)
    first->message += ", and those of " + std::to_string(missing - 1) + " more weights";
  return std::unexpected(std::move(*first));
}

// The weight table knows this convolution as a matrix; its axes must be the configured ones as
// well.
Result<void> check_patch_embed(const Checkpoint& checkpoint, const VisionConfig& vision) {
  const SourceTensor* tensor = checkpoint.find("visual.patch_embed.proj.weight");
  const std::vector<int64_t> shape = {vision.hidden, vision.in_channels, vision.temporal_patch,
                                      vision.patch, vision.patch};
  if (tensor == nullptr || tensor->shape.size() != 5 || tensor->shape == shape) return {};
  return fail(Status::kTensorShape,
              "tensor " + tensor->source_name + " in " + tensor->file + " has shape " +
                  shape_text(tensor->shape) + ", must be " + shape_text(shape),
              tensor->source_name);
}

// Tensors that no weight uses are named, not refused: checkpoints carry buffers and leftovers.
void note_unused(const Checkpoint& checkpoint, const std::vector<WeightSpec>& table, bool tied,
                 Listener& listener) {
  std::set<std::string> used;
  for (const WeightSpec& spec : table) {
    used.insert(spec.name + ".weight");
    if (spec.bias) used.insert(spec.name + ".bias");
    if (spec.kind == WeightKind::kMatrix)
      for (const char* suffix : {".qweight", ".qzeros", ".scales"}) used.insert(spec.name + suffix);
  }
  std::string some;
  int count = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (used.contains(name)) continue;
    if (tied && name == "lm_head.weight") {
      listener.note(tensor.source_name +
                    " is ignored: the config ties the output head to the embedding");
      continue;
    }
    if (++count <= 5) some += (count == 1 ? "" : ", ") + tensor.source_name;
  }
  if (count > 0) {
    listener.note("warning: " + std::to_string(count) +
                  " tensors are not part of the model and are ignored: " + some +
                  (count > 5 ? ", ..." : ""));
  }
}

// What became of the matrices of one group.
struct GroupTally {
  const char* label;
  Precision precision;
  std::set<WeightFormat> formats;
  int matrices = 0;
  int fell_back = 0;

  std::string word() const {
    return formats.size() == 1 ? std::string(format_word(*formats.begin())) : std::string("mixed");
  }
  void note(Listener& listener) const {
    if (fell_back == 0) return;
    listener.note(std::to_string(fell_back) + " of " + std::to_string(matrices) + " " + label +
                  " matrices keep the source's precision: f16 " +
                  (precision == Precision::kF16 ? "cannot reach their largest values"
                                                : "cannot hold all their values exactly"));
  }
};

}  // namespace

Result<Manifest> convert(Source& source, Sink& sink, Listener& listener,
                         const ConvertOptions& options) {
  if (options.shard_mib < 1 || options.shard_mib > kShardMibMax) {
    return fail(Status::kInvalidArgument, "the shard size is " + std::to_string(options.shard_mib) +
                                              " MiB, must be between 1 and " +
                                              std::to_string(kShardMibMax));
  }
  OCELLI_TRY(Checkpoint checkpoint, Checkpoint::open(source));
  Manifest manifest;
  manifest.name = options.name;
  OCELLI_TRY(manifest.config, read_source_config(source, checkpoint, listener));
  if (auto checked = check_config(manifest.config, Status::kInvalidConfig); !checked) {
    checked.error().message = "config.json: " + checked.error().message;
    checked.error().param = "config.json";
    return std::unexpected(std::move(checked).error());
  }
  const std::vector<WeightSpec> table = weight_table(manifest.config);
  OCELLI_TRY_VOID(check_weights(checkpoint, table));
  OCELLI_TRY_VOID(check_patch_embed(checkpoint, manifest.config.vision));
  OCELLI_TRY(const TokenizerTables tables, read_tokenizer(source));
  OCELLI_TRY_VOID(check_tokenizer(tables, manifest.config));
  note_unused(checkpoint, table, manifest.config.text.tied, listener);

  std::array<GroupTally, 4> tallies = {{{"norm", Precision::kKeep, {}},
                                        {"vision", options.vision, {}},
                                        {"embedding", options.embedding, {}},
                                        {"linear", options.linear, {}}}};
  const auto tally_of = [&](WeightGroup group) -> GroupTally& {
    return tallies[static_cast<size_t>(group)];
  };
  uint64_t bytes_total = 0;
  for (const WeightSpec& spec : table)
    bytes_total += weight_read_bytes(checkpoint, spec, tally_of(spec.group).precision);
  uint64_t bytes_done = 0;
  checkpoint.on_read = [&](uint64_t bytes) {
    bytes_done += bytes;
    listener.progress(bytes_done, bytes_total);
  };

  ShardWriter shards(sink, static_cast<uint64_t>(options.shard_mib) << 20);
  OCELLI_TRY_VOID(write_tokenizer(tables, shards));
  for (const WeightSpec& spec : table) {
    GroupTally& tally = tally_of(spec.group);
    OCELLI_TRY(const WrittenMatrix written,
               write_weight(checkpoint, spec, tally.precision, shards));
    if (spec.kind == WeightKind::kNorm) continue;
    tally.formats.insert(written.format);
    ++tally.matrices;
    tally.fell_back += written.fell_back ? 1 : 0;
  }
  OCELLI_TRY(manifest.shards, shards.finish());
  for (const GroupTally& tally : tallies) tally.note(listener);

  manifest.tokens = tables.tokens;
  manifest.merges = static_cast<int>(tables.merges.size() / 4);
  for (const AddedToken& token : tables.added)
    manifest.added.push_back({token.id, token.content, token.special});
  std::sort(manifest.added.begin(), manifest.added.end(),
            [](const AddedTokenInfo& a, const AddedTokenInfo& b) { return a.id < b.id; });
  manifest.linear = tally_of(WeightGroup::kLinear).word();
  manifest.vision = tally_of(WeightGroup::kVision).word();
  manifest.embedding = tally_of(WeightGroup::kEmbedding).word();

  const std::string json = write_manifest(manifest);
  // What the engine would refuse must not be committed.
  OCELLI_TRY([[maybe_unused]] const Manifest back, parse_manifest(json));
  const std::span<const uint8_t> part(reinterpret_cast<const uint8_t*>(json.data()), json.size());
  OCELLI_TRY_VOID(sink.write("manifest.json", std::span(&part, 1)));
  OCELLI_TRY_VOID(sink.commit());
  return manifest;
}

}  // namespace ocelli
