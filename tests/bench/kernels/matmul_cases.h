// Matrix products with int8 activations on the shapes of Qwen2.5-VL-3B. Part of the kernel
// benchmark.
#pragma once

#include "bench/kernels/cases.h"

namespace ocelli::bench {

std::vector<Case> matmul_cases();

// `count` numbers of mean 0 and deviation 1, the same each time.
std::vector<float> normal_values(int64_t count, uint64_t key);

// Memory for a case; ends the program when there is none.
void* take_memory(int64_t bytes);

}  // namespace ocelli::bench
