// What every container begins and ends with, whoever fills in the weights: the tokenizer's tensors
// and manifest.json. Called by convert.cc and synth.cc.
#pragma once

#include "convert/io.h"
#include "convert/shard_writer.h"
#include "convert/tokenizer_import.h"
#include "format/manifest.h"

namespace ocelli {

inline constexpr int kShardMibDefault = 48;
inline constexpr int kShardMibMax = 1024;

// kInvalidArgument unless 1 to kShardMibMax.
Result<void> check_shard_mib(int shard_mib);

// That the ids of the tokenizer fit the embedding and are those that the config names.
// kInvalidTokenizer, kInvalidConfig.
Result<void> check_tokenizer(const TokenizerTables& tables, const ModelConfig& config);

Result<void> write_tokenizer(const TokenizerTables& tables, ShardWriter& shards);

// Ends the last shard, fills in `manifest.shards` and what it says of the tokenizer, writes
// manifest.json and commits. Config, name and precision words are the caller's.
Result<void> finish_container(const TokenizerTables& tables, ShardWriter& shards, Sink& sink,
                              Manifest& manifest);

}  // namespace ocelli
