#include "model/kv_pool.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace ocelli {
namespace {

constexpr Digest kNothing = {};

}  // namespace

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
  const auto count = static_cast<size_t>(blocks);
  pool.counts_.assign(count, 0);
  pool.identities_.assign(count, kNothing);
  pool.next_.assign(count, -1);
  pool.chains_.assign(std::bit_ceil(2 * count + 1), -1);
  pool.free_.assign(count + 1, {blocks, blocks});
  for (int block = blocks - 1; block >= 0; --block) pool.link_after(blocks, block);
  return pool;
}

void KvPool::unlink(int block) {
  const Links links = free_[block];
  free_[links.before].after = links.after;
  free_[links.after].before = links.before;
  --free_count_;
}

void KvPool::link_after(int place, int block) {
  const int after = free_[place].after;
  free_[block] = {place, after};
  free_[place].after = free_[after].before = block;
  ++free_count_;
}

int32_t& KvPool::chain_of(const Digest& identity) {
  return chains_[identity[0] & (chains_.size() - 1)];
}

void KvPool::drop_identity(int block) {
  if (identities_[block] == kNothing) return;
  int32_t* at = &chain_of(identities_[block]);
  while (*at != block) at = &next_[*at];
  *at = next_[block];
  identities_[block] = kNothing;
}

int KvPool::take() {
  if (free_count_ == 0) return -1;
  const int block = free_[blocks()].after;
  unlink(block);
  drop_identity(block);
  counts_[block] = 1;
  return block;
}

void KvPool::retain(int block) {
  OCELLI_CHECK(counts_[block] > 0);
  ++counts_[block];
}

// What holds nothing that could be found is taken first.
void KvPool::release(int block) {
  OCELLI_CHECK(counts_[block] > 0);
  if (--counts_[block] > 0) return;
  const int ring = blocks();
  link_after(identities_[block] == kNothing ? ring : free_[ring].before, block);
}

int KvPool::find(const Digest& identity) {
  for (int block = chain_of(identity); block >= 0; block = next_[block]) {
    if (identities_[block] != identity) continue;
    if (counts_[block]++ == 0) unlink(block);
    return block;
  }
  return -1;
}

void KvPool::set_identity(int block, const Digest& identity) {
  OCELLI_CHECK(counts_[block] > 0 && identity != kNothing);
  drop_identity(block);
  int32_t& chain = chain_of(identity);
  for (int other = chain; other >= 0; other = next_[other]) {
    if (identities_[other] == identity) return;
  }
  identities_[block] = identity;
  next_[block] = chain;
  chain = block;
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
