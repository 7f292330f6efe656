// Owns what the C and C++ libraries would import in the single-thread modules, so that they import
// nothing. Linked by wasm/module.cmake; a check of `npm test` holds the import list empty.
// Surprise: nothing here is ever useful, it only has to exist: number formatting refers to stdio,
// and stdio to these WASI calls. They answer "not supported", and the endings of the C++ library
// trap instead of printing.
#include <__verbose_abort>
#include <cstdint>
#include <version>

#ifndef _LIBCPP_VERBOSE_ABORT_NOEXCEPT  // newer releases of the library say noexcept here
#define _LIBCPP_VERBOSE_ABORT_NOEXCEPT
#endif

_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] void __libcpp_verbose_abort(char const*, ...) _LIBCPP_VERBOSE_ABORT_NOEXCEPT {
  __builtin_trap();
}
_LIBCPP_END_NAMESPACE_STD

namespace {
constexpr int32_t kNotSupported = 58;  // __WASI_ERRNO_NOTSUP
}

extern "C" {
[[noreturn]] void abort_message(const char*, ...) { __builtin_trap(); }
[[noreturn]] void __cxa_pure_virtual(void) { __builtin_trap(); }

// The names under which wasi-libc declares its imports of wasi_snapshot_preview1.
int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t) { return kNotSupported; }
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t, int64_t, int32_t, int32_t) {
  return kNotSupported;
}
int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t, int32_t, int32_t, int32_t) {
  return kNotSupported;
}
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t, int32_t) { return kNotSupported; }
[[noreturn]] void __imported_wasi_snapshot_preview1_proc_exit(int32_t) { __builtin_trap(); }
}
