// One shard in memory: checks it against its manifest entry and lists the tensors that lie in it.
// The engine calls it when a host commits a shard. Views point into the caller's bytes, which must
// stay.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "format/manifest.h"
#include "format/safetensors.h"

namespace ocelli {

struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<int64_t> shape;
  std::span<const uint8_t> data;  // 8-byte aligned when the shard is
};

// The tensors of a shard, in file order. Checks the rules of models/FORMAT.md section 1 on top of
// safetensors: data starts at a multiple of 64, byte lengths are multiples of 8, dtypes are U8,
// U32, F16, BF16 or F32. kInvalidShard for those, kInvalidSafetensors / kTensorDtype for the
// header.
Result<std::vector<TensorView>> read_shard(std::span<const uint8_t> file);

// The same after checking size (kInvalidShard) and sha256 (kShardHashMismatch) against the
// manifest. `sha256`: that of the file, where it has been computed on the way.
Result<std::vector<TensorView>> open_shard(std::span<const uint8_t> file, const ShardInfo& info);
Result<std::vector<TensorView>> open_shard(std::span<const uint8_t> file, const ShardInfo& info,
                                           const std::string& sha256);

}  // namespace ocelli
