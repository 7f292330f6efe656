# Owns the build of XNNPACK for tests/bench/xnnpack.mjs, beside our kernels and with their flags, into one program:
# build/bench/VARIANT/xnnpack. Called by tools/cmake/bench.cmake where OCELLI_XNNPACK names the sources. Surprise: its own
# CMakeLists.txt knows no WebAssembly and fetches things; its lists of files, generated for production builds, are enough.
set(xnn "${OCELLI_XNNPACK}/xnnpack")
set(xnn_files)
foreach(tier scalar wasm wasmsimd wasmrelaxedsimd)
  include("${xnn}/cmake/gen/${tier}_microkernels.cmake")
  string(TOUPPER "PROD_${tier}_MICROKERNEL_SRCS" list)
  list(APPEND xnn_files ${${list}})
endforeach()
foreach(name init params log allocator cache indirection memory microkernel-utils microparams-init mutex normalization
    operator-utils operator-run operator-delete datatype)
  list(APPEND xnn_files src/${name}.c)
endforeach()
list(TRANSFORM xnn_files PREPEND "${xnn}/")
file(GLOB more "${xnn}/src/configs/*.c" "${xnn}/src/tables/*.c" "${xnn}/src/enums/*.c" "${xnn}/src/operators/*.c"
  "${xnn}/src/reference/*.cc")

# Two of its files name a header of another CPU by mistake and need what their siblings name.
set(xnn_made "${CMAKE_BINARY_DIR}/xnnpack")
file(WRITE "${xnn_made}/arm_neon.h" "#include <wasm_simd128.h>\n")
# One thread: the pool's own single-threaded stand-in.
add_library(bench_xnn STATIC EXCLUDE_FROM_ALL ${xnn_files} ${more} "${OCELLI_XNNPACK}/pthreadpool/src/shim.c")
target_include_directories(bench_xnn BEFORE PRIVATE "${xnn_made}" "${xnn}/src" "${OCELLI_XNNPACK}/fp16/include"
  "${OCELLI_XNNPACK}/fxdiv/include")
target_include_directories(bench_xnn SYSTEM PUBLIC "${xnn}/include" "${OCELLI_XNNPACK}/pthreadpool/include")
set(off SPARSE ASSEMBLY JIT DWCONV_MULTIPASS ARM_FP16_VECTOR ARM_FP16_SCALAR ARM_BF16 ARM_DOTPROD ARM_I8MM ARM_SME ARM_SME2
  RISCV_VECTOR AVXVNNI AVXVNNIINT8 AVX256SKX AVX256VNNI AVX256VNNIGFNI AVX512F AVX512SKX AVX512VBMI AVX512VNNI
  AVX512VNNIGFNI AVX512AMX AVX512FP16 HVX KLEIDIAI VSX CPUINFO)
list(TRANSFORM off REPLACE "(.+)" "XNN_ENABLE_\\1=0")
target_compile_definitions(bench_xnn PRIVATE XNN_LOG_LEVEL=0 XNN_ENABLE_MEMOPT=1 XNN_ENABLE_GEMM_M_SPECIALIZATION=1 ${off})
target_compile_options(bench_xnn PRIVATE -w)

add_executable(bench_xnnpack EXCLUDE_FROM_ALL "${CMAKE_CURRENT_LIST_DIR}/main.cc"
  "${CMAKE_SOURCE_DIR}/tests/bench/kernels/matmul_cases.cc")
target_link_libraries(bench_xnnpack PRIVATE ocelli_core_flags ocelli_kernels bench_xnn)
target_include_directories(bench_xnnpack PRIVATE "${CMAKE_SOURCE_DIR}/tests")
target_include_directories(bench_xnnpack SYSTEM PRIVATE "${xnn}/src")
set_target_properties(bench_xnnpack PROPERTIES OUTPUT_NAME xnnpack SUFFIX ".mjs"
  RUNTIME_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/build/bench/${OCELLI_VARIANT}")
target_link_options(bench_xnnpack PRIVATE -sEXIT_RUNTIME -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sNODERAWFS
  -sENVIRONMENT=node,worker -sSTACK_SIZE=1MB -Wno-pthreads-mem-growth)
