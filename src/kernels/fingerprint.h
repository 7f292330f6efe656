// One number over the output bits of every kernel, on generated data. Native and every WebAssembly
// variant must give the same number: tests compare them with the constant below.
#pragma once

#include <cstdint>

namespace ocelli {

// What kernels_fingerprint() gives everywhere. Changes only when a kernel's arithmetic changes.
inline constexpr uint64_t kKernelsFingerprint = 0x3c2036c535d28aa7;

// Some milliseconds; allocates. Called by tests and by the ABI's self test, never in a step.
uint64_t kernels_fingerprint();

}  // namespace ocelli
