# Owns the benchmark of the kernels: one program a build, build/bench/NAME/kernels, made with the native tests, else
# only when asked for (tests/bench). Called by the root CMakeLists.txt. Surprise: in WebAssembly it is a module of its
# own, so that the shipped ones hold nothing of it.
file(GLOB bench_files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/bench/kernels/*.cc")
add_executable(bench_kernels ${bench_files})
target_link_libraries(bench_kernels PRIVATE ocelli_core_flags ocelli_kernels)
target_include_directories(bench_kernels PRIVATE "${CMAKE_SOURCE_DIR}/tests")
set(bench_name native)
if(OCELLI_VARIANT)
  set(bench_name "${OCELLI_VARIANT}")
endif()
if(OCELLI_TESTS AND NOT OCELLI_VARIANT)
  # That it builds and computes what the specification says; the figures of so short a run mean nothing.
  add_test(NAME bench/kernels COMMAND bench_kernels --seconds 0.001 --samples 1 --filter "vision down")
else()
  set_target_properties(bench_kernels PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
set_target_properties(bench_kernels PROPERTIES OUTPUT_NAME kernels
  RUNTIME_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/build/bench/${bench_name}")
if(ocelli_toolchain STREQUAL "emscripten")
  set_target_properties(bench_kernels PROPERTIES SUFFIX ".mjs")
  # The caller computes too, so so many workers are enough for one thread more.
  target_link_options(bench_kernels PRIVATE -sEXIT_RUNTIME -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sNODERAWFS
    -sPTHREAD_POOL_SIZE=15 -sENVIRONMENT=node,worker -sSTACK_SIZE=1MB -sDEFAULT_PTHREAD_STACK_SIZE=1MB
    -Wno-pthreads-mem-growth)
elseif(ocelli_toolchain STREQUAL "wasi")
  set_target_properties(bench_kernels PROPERTIES SUFFIX ".wasm")
  target_link_options(bench_kernels PRIVATE -Wl,--max-memory=4294967296 -Wl,-z,stack-size=1048576 -Wl,--stack-first)
endif()

# The comparison with XNNPACK, where its sources have been fetched (tests/bench/xnnpack.mjs).
if(ocelli_toolchain STREQUAL "emscripten" AND OCELLI_XNNPACK AND EXISTS "${OCELLI_XNNPACK}/xnnpack")
  include(tests/bench/xnnpack/xnnpack.cmake)
endif()
