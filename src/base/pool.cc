// Pool: worker threads that take a task's pieces as they come to them: one that the host lets wait,
// for other work on its core, then holds nobody up. An atomic word holds the task's serial number
// and how many pieces are left to be taken, so nobody takes from a task that is over.
// Surprise: waiting uses wasm's wait and notify, or Linux's futex, directly:
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

constexpr int kSpins = 3000;         // some ten microseconds: about a gap between two kernels
constexpr int kPiecesPerThread = 8;  // what the slowest thread may be behind in the end

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
  Signal start;                                  // the serial number of the current task
  Signal left;                                   // its pieces that are not done
  alignas(64) std::atomic<uint64_t> untaken{0};  // serial number << 32 | pieces
  std::atomic<int> ready{1};
  std::atomic<bool> stop{false};
  // The task; written before `untaken`, read only by who has taken a piece of it.
  int64_t count = 0;
  int64_t pieces = 0;
  void* context = nullptr;
  Call call = nullptr;
  std::vector<std::thread> threads;

  void take_pieces(uint32_t serial, int worker) {
    uint64_t now = untaken.load(std::memory_order_acquire);
    while (now >> 32 == serial && static_cast<uint32_t>(now) > 0) {
      if (!untaken.compare_exchange_weak(now, now - 1, std::memory_order_acq_rel)) continue;
      const int64_t piece = pieces - static_cast<uint32_t>(now);
      call(context, worker, count * piece / pieces, count * (piece + 1) / pieces);
      // The caller sleeps on any value but is woken only at zero.
      if (left.word.fetch_sub(1, std::memory_order_seq_cst) == 1) left.wake();
      now = untaken.load(std::memory_order_acquire);
    }
  }

  void work() {
    uint32_t seen = start.word.load(std::memory_order_acquire);
    const int worker = ready.fetch_add(1, std::memory_order_acq_rel);
    // `stop` is set before `start` changes: whoever starts so late as to have seen the last change
    // sees `stop` too.
    while (!stop.load(std::memory_order_acquire)) {
      seen = start.wait_change(seen, false);
      if (stop.load(std::memory_order_acquire)) return;
      take_pieces(seen, worker);
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
  shared_->start.set(shared_->start.word.load(std::memory_order_relaxed) + 1);
  for (std::thread& thread : shared_->threads) thread.join();
}

void Pool::run(int64_t count, void* context, Call call) {
  if (count <= 0) return;
  const int workers = shared_ ? shared_->ready.load(std::memory_order_acquire) : 1;
  if (workers == 1 || count == 1) return call(context, 0, 0, count);
  Shared& shared = *shared_;
  shared.count = count;
  shared.pieces = std::min<int64_t>(count, int64_t{workers} * kPiecesPerThread);
  shared.context = context;
  shared.call = call;
  shared.left.word.store(static_cast<uint32_t>(shared.pieces), std::memory_order_relaxed);
  const uint32_t serial = shared.start.word.load(std::memory_order_relaxed) + 1;
  shared.untaken.store(uint64_t{serial} << 32 | static_cast<uint32_t>(shared.pieces),
                       std::memory_order_release);
  shared.start.set(serial);
  shared.take_pieces(serial, 0);
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
