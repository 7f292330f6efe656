// Compares the compiled tier with the scalar specification on generated data. Run once at load: an
// engine whose relaxed SIMD computes something else (or lacks it) is found out by value.
#pragma once

namespace ocelli {

// True when matmul_q8 equals matmul_q8_scalar bit for bit (u4 and u8, 8 and 15 bits, with and
// without peaks) and all kernels together give the fingerprint of every other target. Some
// milliseconds; allocates.
bool kernels_self_test();

}  // namespace ocelli
