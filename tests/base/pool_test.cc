// Pool: every index is visited once, by workers that are not elsewhere, for any count and number of
// threads; one that is held up holds nobody up.
#include "base/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace ocelli {
namespace {

TEST(Pool, VisitsEveryIndexOnce) {
  for (int threads : {1, 2, 3, 7}) {
    Pool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t count : {0, 1, 2, 3, 5, 8, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
      std::vector<std::atomic<int>> workers(static_cast<size_t>(threads));
      pool.parallel(count, [&](int worker, int64_t begin, int64_t end) {
        ASSERT_LT(begin, end);
        ASSERT_GE(worker, 0);
        ASSERT_LT(worker, threads);
        EXPECT_EQ(++workers[static_cast<size_t>(worker)], 1);
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        --workers[static_cast<size_t>(worker)];
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1);
    }
  }
}

// Back-to-back tasks, with gaps longer than the spin now and then: no lost wake-up, no stale task.
TEST(Pool, ManyTasksSeeTheirOwnData) {
  Pool pool(3);
  std::vector<int64_t> values(97);
  for (int round = 0; round < 4000; ++round) {
    pool.parallel(97, [&](int, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] = round + i;
    });
    if (round % 800 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}),
              int64_t{97} * round + 97 * 48);
  }
}

TEST(Pool, WorkersTakePart) {
  Pool pool(2);
  std::atomic<bool> other = false;
  for (int round = 0; round < 1000 && !other; ++round) {  // a thread may start late
    pool.parallel(2, [&](int worker, int64_t, int64_t) {
      if (worker == 1) other = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(other);
}

TEST(Pool, OneThatIsHeldUpHoldsNobodyUp) {
  Pool pool(2);
  bool held = false;
  for (int round = 0; round < 1000 && !held; ++round) {  // a thread may start late
    std::atomic<int64_t> done = 0;
    pool.parallel(100, [&](int worker, int64_t begin, int64_t end) {
      if (worker == 1 && !held) {
        held = true;
        while (done < 100 - (end - begin)) std::this_thread::yield();
      }
      done += end - begin;
    });
    EXPECT_EQ(done, 100);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(held);
}

TEST(Pool, ClampsThreads) {
  EXPECT_EQ(Pool(0).threads(), 1);
  EXPECT_EQ(Pool(-3).threads(), 1);
  EXPECT_EQ(Pool(1000).threads(), kPoolThreadsMax);
}

}  // namespace
}  // namespace ocelli
