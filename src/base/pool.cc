// Pool: worker threads behind one atomic word. The word holds the number of workers that take part
// in the current task (low 8 bits) and the task's serial number; a worker whose index is too high
// ignores the task. Surprise: waiting uses wasm's wait and notify, or Linux's futex, directly:
// std::atomic::wait polls where a library knows no futex, as libc++ does on wasm. On wasm the
// caller's wait also ends when a worker trapped: that one never reports, and nobody else can tell.
#include "base/pool.h"

#include <algorithm>
#include <atomic>

#include "base/check.h"

#if OCELLI_THREADS
#include <thread>
#include <vector>
#if defined(__EMSCRIPTEN__)
#include <emscripten/threading.h>
#elif defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#endif
#endif

namespace ocelli {

#if OCELLI_THREADS

namespace {

constexpr int kSpins = 3000;  // some ten microseconds: about a gap between two kernels
constexpr uint32_t kWorkersMask = 255;
constexpr uint32_t kSerialStep = 256;
static_assert(kPoolThreadsMax <= int{kWorkersMask});

using Word = std::atomic<uint32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free);

#if defined(__EMSCRIPTEN__)
// How long a caller may sleep before it asks whether a worker has trapped.
constexpr int64_t kAskAfterNs = 200'000'000;
#endif

void sleep_while(Word& word, uint32_t value, [[maybe_unused]] bool ask) {
#if defined(__EMSCRIPTEN__)
  const int woken = __builtin_wasm_memory_atomic_wait32(
      reinterpret_cast<int*>(&word), static_cast<int>(value), ask ? kAskAfterNs : -1);
  // After a time-out (2) this call of the runtime's looks whether one of its threads has ended with
  // an exception, and then leaves for the host by throwing "unwind" (js/abi/calls.ts catches it).
  if (woken == 2) emscripten_futex_wait(&word, value, 0);
#elif defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  word.wait(value, std::memory_order_acquire);
#endif
}

void wake_all(Word& word) {
#if defined(__EMSCRIPTEN__)
  __builtin_wasm_memory_atomic_notify(reinterpret_cast<int*>(&word), ~0u);
#elif defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
#else
  word.notify_all();
#endif
}

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

// A word that one side waits on, with a count of sleepers so that waking nobody costs nothing.
struct Signal {
  alignas(64) Word word{0};
  std::atomic<int> sleepers{0};

  // Returns the first value that differs from `old`: spins briefly, then sleeps. `ask`: other
  // threads must live for it to change.
  // Out of line: without on-stack replacement a wasm thread must not sit in its caller.
  __attribute__((noinline)) uint32_t wait_change(uint32_t old, bool ask) {
    for (int i = 0; i < kSpins; ++i) {
      const uint32_t now = word.load(std::memory_order_acquire);
      if (now != old) return now;
      pause();
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    uint32_t now;
    while ((now = word.load(std::memory_order_seq_cst)) == old) sleep_while(word, old, ask);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
    return now;
  }

  void wake() {
    if (sleepers.load(std::memory_order_seq_cst) > 0) wake_all(word);
  }
  void set(uint32_t value) {
    word.store(value, std::memory_order_seq_cst);
    wake();
  }
};

}  // namespace

struct Pool::Shared {
  Signal start;  // the word described above
  Signal left;   // workers that have not finished the current task
  std::atomic<int> ready{1};
  std::atomic<bool> stop{false};
  // The task; written before `start` changes, read only by workers that take part.
  int64_t count = 0;
  void* context = nullptr;
  Call call = nullptr;
  std::vector<std::thread> threads;

  void run_part(int worker, int workers) {
    const int64_t begin = count * worker / workers;
    const int64_t end = count * (worker + 1) / workers;
    if (begin < end) call(context, worker, begin, end);
  }

  // The caller sleeps on any value but is woken only at zero.
  void finish_part() {
    if (left.word.fetch_sub(1, std::memory_order_seq_cst) == 1) left.wake();
  }

  void work() {
    uint32_t seen = start.word.load(std::memory_order_acquire);
    // Registered only now, so a task published before cannot count on this thread.
    const int worker = ready.fetch_add(1, std::memory_order_acq_rel);
    // `stop` is set before `start` changes: whoever starts so late as to have seen the last change
    // sees `stop` too.
    while (!stop.load(std::memory_order_acquire)) {
      seen = start.wait_change(seen, false);
      if (stop.load(std::memory_order_acquire)) return;
      const int workers = static_cast<int>(seen & kWorkersMask);
      if (worker >= workers) continue;
      run_part(worker, workers);
      finish_part();
    }
  }
};

Pool::Pool(int threads) : threads_(std::clamp(threads, 1, kPoolThreadsMax)) {
  if (threads_ == 1) return;
  shared_ = std::make_unique<Shared>();
  shared_->threads.reserve(size_t(threads_) - 1);
  for (int i = 1; i < threads_; ++i) {
    shared_->threads.emplace_back([shared = shared_.get()] { shared->work(); });
  }
}

Pool::~Pool() {
  if (!shared_) return;
  shared_->stop.store(true, std::memory_order_release);
  shared_->start.set(shared_->start.word.load(std::memory_order_relaxed) + kSerialStep);
  for (std::thread& thread : shared_->threads) thread.join();
}

void Pool::run(int64_t count, void* context, Call call) {
  if (count <= 0) return;
  const int workers = shared_ ? static_cast<int>(std::min<int64_t>(
                                    count, shared_->ready.load(std::memory_order_acquire)))
                              : 1;
  if (workers == 1) return call(context, 0, 0, count);
  Shared& shared = *shared_;
  shared.count = count;
  shared.context = context;
  shared.call = call;
  shared.left.word.store(static_cast<uint32_t>(workers - 1), std::memory_order_relaxed);
  const uint32_t last = shared.start.word.load(std::memory_order_relaxed);
  shared.start.set(((last & ~kWorkersMask) + kSerialStep) | static_cast<uint32_t>(workers));
  shared.run_part(0, workers);
  uint32_t left = shared.left.word.load(std::memory_order_acquire);
  while (left != 0) left = shared.left.wait_change(left, true);
}

#else  // one thread, no thread library

struct Pool::Shared {};

Pool::Pool(int) {}
Pool::~Pool() = default;

void Pool::run(int64_t count, void* context, Call call) {
  if (count > 0) call(context, 0, 0, count);
}

#endif

}  // namespace ocelli
