#include "convert/convert.h"

#include <algorithm>
#include <array>
#include <set>

#include "convert/checkpoint.h"
#include "convert/container_writer.h"
#include "convert/matrix_parts.h"
#include "convert/shard_writer.h"
#include "convert/source_config.h"
#include "convert/tokenizer_import.h"

namespace ocelli {
namespace {

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
  OCELLI_TRY_VOID(check_shard_mib(options.shard_mib));
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
  for (const GroupTally& tally : tallies) tally.note(listener);

  manifest.linear = tally_of(WeightGroup::kLinear).word();
  manifest.vision = tally_of(WeightGroup::kVision).word();
  manifest.embedding = tally_of(WeightGroup::kEmbedding).word();
  OCELLI_TRY_VOID(finish_container(tables, shards, sink, manifest));
  return manifest;
}

}  // namespace ocelli
