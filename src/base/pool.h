// Pool: the compute threads. `model` partitions its work over them; kernels never start threads.
// The caller is worker 0; threads - 1 others wait for work, spinning briefly and then asleep.
// Surprise: a thread that the host has not started yet is simply not counted, so a slow start of
// the host's workers costs speed, never a deadlock. Results must not depend on the partition.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#ifndef OCELLI_THREADS
#define OCELLI_THREADS 0  // 1: the target has threads; the build sets it
#endif

namespace ocelli {

inline constexpr int kPoolThreadsMax = 64;

class Pool {
 public:
  // Clamped to 1..kPoolThreadsMax; always 1 where the target has no threads.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }

  // Calls task(worker_index, begin, end) on pieces that make up [0, count) and returns when every
  // one is done. worker_index is in [0, threads()); two calls at a time never have the same.
  // Allocates nothing. One caller at a time; a task must not call parallel().
  template <class F>
  void parallel(int64_t count, F&& task) {
    using Task = std::remove_reference_t<F>;
    run(count, const_cast<void*>(static_cast<const void*>(&task)),
        [](void* context, int worker, int64_t begin, int64_t end) {
          (*static_cast<Task*>(context))(worker, begin, end);
        });
  }

 private:
  using Call = void (*)(void* context, int worker, int64_t begin, int64_t end);
  struct Shared;

  void run(int64_t count, void* context, Call call);

  int threads_ = 1;
  std::unique_ptr<Shared> shared_;  // null when threads_ == 1
};

}  // namespace ocelli
