// Blocks of the cache: counted, shared, copied, never handed out twice.
#include "model/kv_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

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

TEST(KvPool, AFreeBlockIsFoundUntilItIsTakenAgain) {
  KvPool pool = pool_of(2);
  const int block = pool.take();
  EXPECT_EQ(pool.find({7, 7}), -1);
  pool.set_identity(block, {7, 7});
  EXPECT_EQ(pool.find({7, 7}), block);
  EXPECT_EQ(pool.count(block), 2);
  pool.release(block);
  pool.release(block);
  EXPECT_EQ(pool.free_blocks(), 2);
  EXPECT_EQ(pool.find({7, 7}), block);  // nobody's, and back again
  EXPECT_EQ(pool.count(block), 1);
  EXPECT_EQ(pool.free_blocks(), 1);
  pool.release(block);
  const int other = pool.take();
  EXPECT_NE(other, block);  // what holds nothing known goes first
  EXPECT_EQ(pool.take(), block);
  EXPECT_EQ(pool.find({7, 7}), -1);
}

TEST(KvPool, TheOneReleasedLongestAgoIsTakenFirst) {
  KvPool pool = pool_of(4);
  for (uint64_t i = 0; i < 4; ++i) pool.set_identity(pool.take(), {i % 2, i + 1});  // in chains
  int at[4];
  for (uint64_t i = 0; i < 4; ++i) {
    at[i] = pool.find({i % 2, i + 1});
    pool.release(at[i]);
  }
  for (const int i : {2, 0, 3, 1}) pool.release(at[i]);
  EXPECT_EQ(pool.find({0, 1}), at[0]);  // used again, so it goes to the end
  pool.release(at[0]);
  for (const int i : {2, 3, 1, 0}) EXPECT_EQ(pool.take(), at[i]) << i;
  EXPECT_EQ(pool.take(), -1);
}

TEST(KvPool, OfTwoWithTheSameContentsOneIsFound) {
  KvPool pool = pool_of(3);
  const int first = pool.take(), second = pool.take();
  pool.set_identity(first, {1, 2});
  pool.set_identity(second, {1, 2});
  pool.release(second);
  pool.release(first);
  EXPECT_EQ(pool.find({1, 2}), first);
  EXPECT_EQ(pool.take(), second);
}

// Against a model of it that is nothing but a list in order of release.
TEST(KvPool, AnyOrderOfUse) {
  KvPool pool = pool_of(9);
  std::mt19937 random(5);
  std::vector<int> held;
  std::vector<std::pair<int, uint64_t>> known;  // free blocks, by time of release
  std::map<int, uint64_t> names;                // of held and known ones; distinct
  uint64_t next = 1;
  for (int round = 0; round < 20000; ++round) {
    const int what = static_cast<int>(random() % 4);
    if (what == 0 && pool.free_blocks() > 0) {
      const int block = pool.take();
      ASSERT_EQ(std::ranges::count(held, block), 0);
      const bool unknown_left = pool.free_blocks() + 1 > static_cast<int>(known.size());
      if (!unknown_left) {
        ASSERT_EQ(block, known.front().first);
        known.erase(known.begin());
      } else {
        ASSERT_FALSE(names.contains(block));
      }
      names.erase(block);
      held.push_back(block);
    } else if (what == 1 && !held.empty()) {
      const size_t at = random() % held.size();
      const int block = held[at];
      held.erase(held.begin() + static_cast<ptrdiff_t>(at));
      pool.release(block);
      if (pool.count(block) == 0 && names.contains(block)) known.emplace_back(block, names[block]);
    } else if (what == 2 && !held.empty()) {
      const int block = held[random() % held.size()];
      if (pool.count(block) > 1) continue;
      pool.set_identity(block, {next % 3, next});
      names[block] = next++;
    } else if (what == 3) {
      const uint64_t name = next - 1 - random() % 12;
      const auto has = std::ranges::find_if(names, [&](auto& pair) { return pair.second == name; });
      const int block = pool.find({name % 3, name});
      ASSERT_EQ(block, has == names.end() ? -1 : has->first);
      if (block < 0) continue;
      std::erase_if(known, [&](auto& pair) { return pair.first == block; });
      held.push_back(block);
    }
    std::set<int> distinct(held.begin(), held.end());
    ASSERT_EQ(pool.free_blocks(), 9 - static_cast<int>(distinct.size()));
  }
}

TEST(KvPool, MoreThanTheMemoryIsAnError) {
  const auto pool = KvPool::make(1, 1 << 14, 256, 1 << 30, KvFormat::kF32);
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().status, Status::kOutOfMemory);
  EXPECT_NE(pool.error().message.find("the KV cache"), std::string::npos);
}

}  // namespace
}  // namespace ocelli
