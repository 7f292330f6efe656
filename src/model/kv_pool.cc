#include "model/kv_pool.h"

#include <cstring>

#include "base/check.h"

namespace ocelli {
int64_t KvPool::bytes(int layers, int kv_heads, int head_dim, int blocks, KvFormat format) {
  return 2 * int64_t{layers} * blocks * kv_block_bytes(format, kv_heads, head_dim);
}

Result<KvPool> KvPool::make(int layers, int kv_heads, int head_dim, int blocks, KvFormat format) {
  KvPool pool;
  pool.block_bytes_ = kv_block_bytes(format, kv_heads, head_dim);
  for (int i = 0; i < layers; ++i) {
    OCELLI_TRY(auto k, Buffer<uint8_t>::make(blocks * pool.block_bytes_, "the KV cache"));
    OCELLI_TRY(auto v, Buffer<uint8_t>::make(blocks * pool.block_bytes_, "the KV cache"));
    pool.layers_.push_back({k.data(), v.data(), format, kv_heads, head_dim});
    pool.memory_.push_back(std::move(k));
    pool.memory_.push_back(std::move(v));
  }
  pool.counts_.assign(blocks, 0);
  pool.identities_.assign(blocks, 0);
  for (int block = blocks - 1; block >= 0; --block) pool.free_.push_back(block);
  return pool;
}

int KvPool::take() {
  if (free_.empty()) return -1;
  const int block = free_.back();
  free_.pop_back();
  counts_[block] = 1;
  identities_[block] = 0;
  return block;
}

void KvPool::retain(int block) {
  OCELLI_CHECK(counts_[block] > 0);
  ++counts_[block];
}

void KvPool::release(int block) {
  OCELLI_CHECK(counts_[block] > 0);
  if (--counts_[block] == 0) free_.push_back(block);
}

int KvPool::copy(int block) {
  const int fresh = take();
  if (fresh < 0) return -1;
  for (auto& memory : memory_) {
    std::memcpy(memory.data() + fresh * block_bytes_, memory.data() + block * block_bytes_,
                static_cast<size_t>(block_bytes_));
  }
  return fresh;
}

}  // namespace ocelli
