// The KV cache as a pool of fixed blocks of 16 tokens. Sequences hold tables of block numbers;
// blocks are counted, so sequences that share a prefix share blocks; a full block carries an
// identity (the hash of all before and in it).
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "kernels/attention.h"

namespace ocelli {

class KvPool {
 public:
  // Bytes for `blocks` blocks over all layers.
  static int64_t bytes(int layers, int kv_heads, int head_dim, int blocks, KvFormat format);
  static Result<KvPool> make(int layers, int kv_heads, int head_dim, int blocks, KvFormat format);

  int take();              // a block with count 1, or -1 when none is free
  void retain(int block);  // one more owner
  void release(int block);
  int copy(int block);  // a private copy with count 1, or -1
  int count(int block) const { return counts_[block]; }
  int free_blocks() const { return static_cast<int>(free_.size()); }
  int blocks() const { return static_cast<int>(counts_.size()); }
  void set_identity(int block, uint64_t identity) { identities_[block] = identity; }
  uint64_t identity(int block) const { return identities_[block]; }  // 0: not full yet
  const KvLayer& layer(int index) const { return layers_[index]; }

 private:
  int64_t block_bytes_ = 0;  // of k or v in one layer
  std::vector<Buffer<uint8_t>> memory_;
  std::vector<KvLayer> layers_;
  std::vector<int> free_;
  std::vector<int32_t> counts_;
  std::vector<uint64_t> identities_;
};

}  // namespace ocelli
