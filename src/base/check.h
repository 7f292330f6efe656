// OCELLI_CHECK: an invariant of ours. A failure is a bug in ocelli, so it traps: the host marks the
// instance dead and opens a fresh one. Never use it for input.
#pragma once

namespace ocelli {

[[noreturn]] inline void check_failed() { __builtin_trap(); }

}  // namespace ocelli

#define OCELLI_CHECK(condition)    \
  do {                             \
    if (!(condition)) [[unlikely]] \
      ::ocelli::check_failed();    \
  } while (false)
