# Owns how the core becomes a WebAssembly module: build/wasm/VARIANT/ocelli.wasm, with glue when threaded.
# Called by the root CMakeLists.txt. Surprise: the exports come from wasm/exports.txt alone, which a check of
# `npm test` compares with src/abi/ocelli.h.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wasm/exports.txt")
file(STRINGS "${CMAKE_SOURCE_DIR}/wasm/exports.txt" ocelli_exports REGEX "^ocelli_")
set(module_folder "${CMAKE_SOURCE_DIR}/build/wasm/${OCELLI_VARIANT}")

get_target_property(abi_type ocelli_abi TYPE)
if(abi_type STREQUAL "INTERFACE_LIBRARY")
  message(STATUS "src/abi has no sources yet: no module is linked")
else()
  if(ocelli_toolchain STREQUAL "emscripten")
    add_executable(ocelli)
    set_target_properties(ocelli PROPERTIES SUFFIX ".mjs")
    list(TRANSFORM ocelli_exports PREPEND "_" OUTPUT_VARIABLE exports)
    list(APPEND exports _malloc _free)
    list(JOIN exports "," exports)
    set(ocelli_module_options --no-entry -sMODULARIZE -sEXPORT_ES6 -sEXPORT_NAME=createOcelli
      -sENVIRONMENT=web,worker,node -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sINITIAL_MEMORY=32MB
      -sSTACK_SIZE=1MB -sDEFAULT_PTHREAD_STACK_SIZE=1MB
      # The host says how many workers to start before the module is ready: { pthreadPoolSize: 2 }.
      "-sPTHREAD_POOL_SIZE=Module[\"pthreadPoolSize\"]||1" -sPTHREAD_POOL_SIZE_STRICT=2
      "-sEXPORTED_FUNCTIONS=${exports}" -sEXPORTED_RUNTIME_METHODS=HEAPU8,wasmMemory,PThread
      -sINCOMING_MODULE_JS_API=pthreadPoolSize,wasmModule,wasmBinary,locateFile,instantiateWasm,print,printErr,mainScriptUrlOrBlob,onAbort
      -sABORTING_MALLOC=0 -sFILESYSTEM=0 -Wno-pthreads-mem-growth)
    target_link_options(ocelli PRIVATE ${ocelli_module_options})
  else()
    add_executable(ocelli "${CMAKE_SOURCE_DIR}/wasm/no_imports.cc")
    list(TRANSFORM ocelli_exports PREPEND "-Wl,--export=" OUTPUT_VARIABLE exports)
    target_link_options(ocelli PRIVATE -mexec-model=reactor ${exports} -Wl,--max-memory=4294967296
      -Wl,-z,stack-size=1048576 -Wl,--stack-first -Wl,--strip-all)
  endif()
  target_link_libraries(ocelli PRIVATE ocelli_core_flags ocelli_abi)
  set_target_properties(ocelli PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${module_folder}")
endif()

if(TARGET ocelli_convert)
  if(ocelli_toolchain STREQUAL "wasi" AND ocelli_simd STREQUAL "simd128")
    # The converter as a WASI command, for people without a compiler: build/wasm/convert.wasm.
    set_target_properties(ocelli_convert PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/build/wasm"
      OUTPUT_NAME convert)
    target_link_options(ocelli_convert PRIVATE -Wl,--max-memory=4294967296 -Wl,-z,stack-size=1048576
      -Wl,--stack-first -Wl,--strip-all)
  else()
    set_target_properties(ocelli_convert PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endif()
