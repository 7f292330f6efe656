# Owns the benchmarks in C++: build/bench/NAME/kernels and build/bench/NAME/grammar for each build NAME, made with the
# native tests, else only when asked for (tests/bench). Called by the root CMakeLists.txt. Surprise: in WebAssembly they
# are modules of their own, so that the shipped ones hold nothing of them.
set(bench_name native)
if(OCELLI_VARIANT)
  set(bench_name "${OCELLI_VARIANT}")
endif()

function(ocelli_bench name)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/bench/${name}/*.cc")
  add_executable(bench_${name} ${files})
  target_link_libraries(bench_${name} PRIVATE ocelli_core_flags ${ARGN})
  target_include_directories(bench_${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/build/bench/${bench_name}")
  if(NOT OCELLI_TESTS OR OCELLI_VARIANT)
    set_target_properties(bench_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  if(ocelli_toolchain STREQUAL "emscripten")
    set_target_properties(bench_${name} PROPERTIES SUFFIX ".mjs")
    # The caller computes too, so so many workers are enough for one thread more.
    target_link_options(bench_${name} PRIVATE -sEXIT_RUNTIME -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sNODERAWFS
      -sPTHREAD_POOL_SIZE=15 -sENVIRONMENT=node,worker -sSTACK_SIZE=1MB -sDEFAULT_PTHREAD_STACK_SIZE=1MB
      -Wno-pthreads-mem-growth)
  elseif(ocelli_toolchain STREQUAL "wasi")
    set_target_properties(bench_${name} PROPERTIES SUFFIX ".wasm")
    target_link_options(bench_${name} PRIVATE -Wl,--max-memory=4294967296 -Wl,-z,stack-size=1048576
      -Wl,--stack-first)
  endif()
endfunction()

ocelli_bench(kernels ocelli_kernels)
ocelli_bench(grammar ocelli_grammar ocelli_convert_lib)
if(OCELLI_TESTS AND NOT OCELLI_VARIANT)
  # That they build and compute what the specification says; the figures of so short a run mean nothing.
  add_test(NAME bench/kernels COMMAND bench_kernels --seconds 0.001 --samples 1 --filter "vision down")
  add_test(NAME bench/grammar COMMAND bench_grammar "${OCELLI_QWEN_TOKENIZER}" --walks 1 --filter "at most 40")
endif()

# The comparison with XNNPACK, where its sources have been fetched (tests/bench/xnnpack.mjs).
if(ocelli_toolchain STREQUAL "emscripten" AND OCELLI_XNNPACK AND EXISTS "${OCELLI_XNNPACK}/xnnpack")
  include(tests/bench/xnnpack/xnnpack.cmake)
endif()
