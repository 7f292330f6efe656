// The probe a host runs once after loading a module: do its kernels compute what the specification
// says?
#pragma once

#include "kernels/self_test.h"

namespace ocelli {

inline bool self_test() { return kernels_self_test(); }

}  // namespace ocelli
