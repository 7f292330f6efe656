// Blocks of the cache: counted, shared, copied, never handed out twice.
#include "model/kv_pool.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace ocelli {
namespace {

KvPool pool_of(int blocks, KvFormat format = KvFormat::kF16) {
  auto pool = KvPool::make(2, 3, 8, blocks, format);
  EXPECT_TRUE(pool);
  return std::move(*pool);
}

TEST(KvPool, BytesFollowFromTheShape) {
  EXPECT_EQ(KvPool::bytes(36, 2, 128, 1, KvFormat::kF16),
            2 * 36 * kv_block_bytes(KvFormat::kF16, 2, 128));
  EXPECT_EQ(KvPool::bytes(36, 2, 128, 1, KvFormat::kF16), 36864 * kKvBlock);  // Qwen2.5-VL-3B
  EXPECT_EQ(KvPool::bytes(36, 2, 128, 10, KvFormat::kF32), 10 * 2 * 36864 * kKvBlock);
  // int8: codes and an f16 scale for each group of 32 channels.
  EXPECT_EQ(KvPool::bytes(36, 2, 128, 1, KvFormat::kInt8), 36864 / 64 * (32 + 2) * kKvBlock);
}

TEST(KvPool, EveryBlockOnceThenNone) {
  KvPool pool = pool_of(5);
  EXPECT_EQ(pool.blocks(), 5);
  std::set<int> taken;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pool.free_blocks(), 5 - i);
    const int block = pool.take();
    EXPECT_GE(block, 0);
    EXPECT_LT(block, 5);
    EXPECT_EQ(pool.count(block), 1);
    taken.insert(block);
  }
  EXPECT_EQ(taken.size(), 5u);
  EXPECT_EQ(pool.take(), -1);
  EXPECT_EQ(pool.copy(0), -1);
  pool.release(3);
  EXPECT_EQ(pool.take(), 3);
}

TEST(KvPool, ASharedBlockStaysUntilItsLastOwnerGoes) {
  KvPool pool = pool_of(2);
  const int block = pool.take();
  pool.retain(block);
  pool.retain(block);
  EXPECT_EQ(pool.count(block), 3);
  pool.release(block);
  pool.release(block);
  EXPECT_EQ(pool.free_blocks(), 1);
  pool.release(block);
  EXPECT_EQ(pool.free_blocks(), 2);
}

TEST(KvPool, ACopyHasItsOwnBytesInAllLayers) {
  for (const KvFormat format : {KvFormat::kF16, KvFormat::kF32, KvFormat::kInt8}) {
    KvPool pool = pool_of(3, format);
    const int block = pool.take();
    const size_t bytes = static_cast<size_t>(kv_block_bytes(format, 3, 8));
    const auto at = [&](void* base, int number) {
      return static_cast<char*>(base) + number * bytes;
    };
    for (int layer = 0; layer < 2; ++layer) {
      std::memset(at(pool.layer(layer).k, block), 10 + layer, bytes);
      std::memset(at(pool.layer(layer).v, block), 20 + layer, bytes);
    }
    pool.retain(block);
    const int copy = pool.copy(block);
    ASSERT_GE(copy, 0);
    EXPECT_NE(copy, block);
    EXPECT_EQ(pool.count(copy), 1);
    EXPECT_EQ(pool.count(block), 2);
    for (int layer = 0; layer < 2; ++layer) {
      const KvLayer& kv = pool.layer(layer);
      EXPECT_EQ(std::memcmp(at(kv.k, block), at(kv.k, copy), bytes), 0);
      EXPECT_EQ(std::memcmp(at(kv.v, block), at(kv.v, copy), bytes), 0);
      EXPECT_EQ(*at(kv.v, copy), 20 + layer);
      std::memset(at(kv.k, copy), 99, bytes);
      EXPECT_EQ(*at(kv.k, block), 10 + layer);
    }
  }
}

TEST(KvPool, AnIdentityGoesWithItsContents) {
  KvPool pool = pool_of(1);
  const int block = pool.take();
  EXPECT_EQ(pool.identity(block), 0u);
  pool.set_identity(block, 77);
  EXPECT_EQ(pool.identity(block), 77u);
  pool.release(block);
  EXPECT_EQ(pool.identity(pool.take()), 0u);
}

TEST(KvPool, MoreThanTheMemoryIsAnError) {
  const auto pool = KvPool::make(1, 1 << 14, 256, 1 << 30, KvFormat::kF32);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().status, Status::kOutOfMemory);
  EXPECT_NE(pool.error().message.find("the KV cache"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
