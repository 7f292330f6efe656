// The cases of the kernel benchmark: names, the work that each does, and how to run it. Called by
// main.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/pool.h"

namespace ocelli::bench {

// What one run of a case does.
struct Work {
  std::function<void()> run;
  // Compares a part of the last run's result with the scalar specification; true where there is
  // none.
  std::function<bool()> correct = [] { return true; };
  double second_share = -1.0;  // of inputs with a second byte, -1: does not apply
};

struct Case {
  std::string name;
  double macs = 0.0;   // multiply-adds a run
  double bytes = 0.0;  // read from memory a run: weights, keys and values, or the rows themselves
  // Takes the memory; a case that is not run takes none.
  std::function<Work(Pool&)> prepare;
};

// Reading memory, products on the 3B shapes, attention, row operations.
std::vector<Case> all_cases();

}  // namespace ocelli::bench
