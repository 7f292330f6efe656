// Builds shards (models/FORMAT.md section 1) one after another in one buffer and hands them to the
// sink. Memory is one shard. Used by convert.cc only. Surprise: begin() decides where a shard ends.
// Tensors added between two begin() calls lie in one shard.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "convert/io.h"
#include "format/manifest.h"
#include "format/safetensors.h"

namespace ocelli {

class ShardWriter {
 public:
  ShardWriter(Sink& sink, uint64_t data_bytes_max)
      : sink_(&sink), data_bytes_max_(data_bytes_max) {}

  uint64_t data_bytes_max() const { return data_bytes_max_; }

  // Announces tensors of `bytes` bytes together, belonging to `holds`. Starts a new shard when they
  // do not fit into the current one; more than a shard's limit gets a shard of its own.
  Result<void> begin(const std::string& holds, uint64_t bytes);

  // The zeroed place of the next tensor, valid until the next begin(). Its byte length is a
  // multiple of 8.
  std::span<uint8_t> add(std::string name, Dtype dtype, std::vector<int64_t> shape);

  // Ends the last shard; the list in order.
  Result<std::vector<ShardInfo>> finish();

 private:
  Result<void> flush();

  Sink* sink_;
  uint64_t data_bytes_max_;
  std::vector<uint8_t> data_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::string> holds_;
  std::vector<ShardInfo> shards_;
};

}  // namespace ocelli
