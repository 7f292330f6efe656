// Timing of one case: repeated runs of some work, timed in chunks. Used by main.cc of the kernel
// benchmark.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace ocelli::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Seconds of single runs: `samples_max` chunks within about `budget_s` seconds. Warm-up goes first,
// so that WebAssembly's optimising compiler has replaced the baseline code, and is not counted.
template <class Run>
std::vector<double> time_runs(Run&& run, double budget_s, int samples_max) {
  constexpr int kWarmRuns = 3;
  const double warm_s = budget_s / 2;
  const Clock::time_point start = Clock::now();
  int runs = 0;
  do {
    run();
    ++runs;
  } while (runs < kWarmRuns || (seconds_since(start) < warm_s && runs < 1'000'000));
  const Clock::time_point one = Clock::now();
  run();
  const double single = std::max(seconds_since(one), 1e-7);
  const int per_chunk = std::max(1, static_cast<int>(budget_s / samples_max / single));
  std::vector<double> samples;
  const Clock::time_point measured = Clock::now();
  do {
    const Clock::time_point chunk = Clock::now();
    for (int i = 0; i < per_chunk; ++i) run();
    samples.push_back(seconds_since(chunk) / per_chunk);
  } while (static_cast<int>(samples.size()) < samples_max && seconds_since(measured) < budget_s);
  return samples;
}

}  // namespace ocelli::bench
