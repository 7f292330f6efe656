// Two faults for compute threads: the attention of text traps there, that of images asks for more
// memory than there is. Linked with the core into a module of its own, which crash.test.ts runs.
//
// Surprise: the linker's --wrap puts these in front of the core's functions, so no shipped source
// knows of them; the names are the mangled ones, and a changed signature makes that test fail.
#include <emscripten/threading.h>

#include <new>

#include "kernels/attention.h"

using ocelli::KvLayer;

extern "C" {

void __real__ZN6ocelli15attention_pagedERKNS_7KvLayerEPKiPKfxiiiifPfx(
    const KvLayer& kv, const int32_t* blocks, const float* q, int64_t q_stride, int rows,
    int first_length, int heads, int kv_head, float scale, float* out, int64_t out_stride);

void __wrap__ZN6ocelli15attention_pagedERKNS_7KvLayerEPKiPKfxiiiifPfx(
    const KvLayer& kv, const int32_t* blocks, const float* q, int64_t q_stride, int rows,
    int first_length, int heads, int kv_head, float scale, float* out, int64_t out_stride) {
  if (!emscripten_is_main_runtime_thread()) __builtin_trap();
  __real__ZN6ocelli15attention_pagedERKNS_7KvLayerEPKiPKfxiiiifPfx(
      kv, blocks, q, q_stride, rows, first_length, heads, kv_head, scale, out, out_stride);
}

void __real__ZN6ocelli17attention_segmentEPKfS1_S1_xiiiiiifPfx(const float* q, const float* k,
                                                               const float* v, int64_t stride,
                                                               int head, int head_dim, int begin,
                                                               int end, int query_begin,
                                                               int query_end, float scale,
                                                               float* out, int64_t out_stride);

void __wrap__ZN6ocelli17attention_segmentEPKfS1_S1_xiiiiiifPfx(const float* q, const float* k,
                                                               const float* v, int64_t stride,
                                                               int head, int head_dim, int begin,
                                                               int end, int query_begin,
                                                               int query_end, float scale,
                                                               float* out, int64_t out_stride) {
  if (!emscripten_is_main_runtime_thread()) {
    [[maybe_unused]] static void* volatile taken;
    for (;;) taken = ::operator new(size_t{1} << 30);
  }
  __real__ZN6ocelli17attention_segmentEPKfS1_S1_xiiiiiifPfx(
      q, k, v, stride, head, head_dim, begin, end, query_begin, query_end, scale, out, out_stride);
}

}  // extern "C"
