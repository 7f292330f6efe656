// The KV cache as a pool of fixed blocks of 16 tokens. Sequences hold tables of block numbers;
// blocks are counted, so sequences that share a prefix share blocks. A full block carries an
// identity: a digest of what it was computed from, all that goes before included. Surprise: a
// free block keeps contents and identity until it is taken again, those released longest ago
// first, so find() also brings back what nobody holds any more.
#pragma once

#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "format/sha256.h"
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
  int find(const Digest& identity);  // the block that holds this, with one more owner, or -1
  int copy(int block);               // a private copy with count 1, or -1
  int count(int block) const { return counts_[block]; }
  int free_blocks() const { return free_count_; }
  int blocks() const { return static_cast<int>(counts_.size()); }
  // What a full block holds. Does nothing where another block is known to hold the same.
  void set_identity(int block, const Digest& identity);
  const KvLayer& layer(int index) const { return layers_[index]; }

 private:
  // Where a free block comes in the order of taking: a ring through all of them, and through one
  // more place that is its begin and its end.
  struct Links {
    int32_t before, after;
  };
  void unlink(int block);
  void link_after(int place, int block);
  int32_t& chain_of(const Digest& identity);
  void drop_identity(int block);

  int64_t block_bytes_ = 0;  // of k or v in one layer
  std::vector<Buffer<uint8_t>> memory_;
  std::vector<KvLayer> layers_;
  std::vector<Links> free_;
  int free_count_ = 0;
  std::vector<int32_t> counts_;
  std::vector<Digest> identities_;
  // Blocks with an identity by its value: the first of a chain, and each one's next, or -1.
  std::vector<int32_t> chains_, next_;
};

}  // namespace ocelli
