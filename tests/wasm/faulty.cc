// Two faults for compute threads: the attention of text traps there, that of images asks for more
// memory than there is. Linked with the core into a module of its own, which crash.test.ts runs.
//
// Surprise: the linker's --wrap puts these in front of the core's functions, so no shipped source
// knows of them; the names are the mangled ones, and a changed signature makes that test fail.
#include <emscripten/threading.h>

#include <new>

#include "kernels/attention.h"

using ocelli::AttentionCall;
using ocelli::KvLayer;

extern "C" {

void __real__ZN6ocelli15attention_pagedERKNS_7KvLayerERKNS_13AttentionCallE(
    const KvLayer& kv, const AttentionCall& call);

void __wrap__ZN6ocelli15attention_pagedERKNS_7KvLayerERKNS_13AttentionCallE(
    const KvLayer& kv, const AttentionCall& call) {
  if (!emscripten_is_main_runtime_thread()) {
    if (call.causal) __builtin_trap();
    [[maybe_unused]] static void* volatile taken;
    for (;;) taken = ::operator new(size_t{1} << 30);
  }
  __real__ZN6ocelli15attention_pagedERKNS_7KvLayerERKNS_13AttentionCallE(kv, call);
}

}  // extern "C"
