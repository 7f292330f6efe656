# Owns the third-party libraries as CMake targets, compiled from what the set-up unpacked, without our warnings.
# Called by the root CMakeLists.txt. Surprise: libwebp is reduced to its decoder, without threads; its SSE files are empty off x86.

function(ocelli_third_party_folder name out)
  string(TOUPPER "${name}" upper)
  set(folder "${OCELLI_THIRD_PARTY_${upper}}")
  if(NOT EXISTS "${folder}")
    message(FATAL_ERROR "${name} is not set up: run `node tools/setup.mjs`")
  endif()
  set(${out} "${folder}" PARENT_SCOPE)
endfunction()

ocelli_third_party_folder(json folder)
add_library(third_party_json INTERFACE)
target_include_directories(third_party_json SYSTEM INTERFACE "${folder}")
target_compile_definitions(third_party_json INTERFACE JSON_NOEXCEPTION=1 JSON_HAS_FILESYSTEM=0
  JSON_HAS_EXPERIMENTAL_FILESYSTEM=0 JSON_USE_IMPLICIT_CONVERSIONS=0 JSON_NO_IO=1)

ocelli_third_party_folder(stb folder)
add_library(third_party_stb INTERFACE)
target_include_directories(third_party_stb SYSTEM INTERFACE "${folder}")

ocelli_third_party_folder(utf8proc folder)
add_library(third_party_utf8proc STATIC "${folder}/utf8proc.c")
target_include_directories(third_party_utf8proc SYSTEM INTERFACE "${folder}")
target_compile_definitions(third_party_utf8proc PUBLIC UTF8PROC_STATIC)

ocelli_third_party_folder(webp folder)
file(GLOB webp_files "${folder}/src/dec/*.c" "${folder}/src/utils/*.c" "${folder}/src/dsp/*.c")
list(FILTER webp_files EXCLUDE REGEX "_(avx2|neon|msa|mips32|mips_dsp_r2)\\.c$")
list(FILTER webp_files EXCLUDE REGEX "/utils/(bit_writer|huffman_encode|quant_levels|palette)[a-z_]*\\.c$")
list(FILTER webp_files EXCLUDE REGEX "/dsp/(enc|lossless_enc|cost|ssim)[a-z0-9_]*\\.c$")
file(GLOB webp_kept "${folder}/src/utils/quant_levels_dec_utils.c" "${folder}/src/utils/palette.c")
add_library(third_party_webp STATIC ${webp_files} ${webp_kept})
target_include_directories(third_party_webp PRIVATE "${folder}")
target_include_directories(third_party_webp SYSTEM INTERFACE "${folder}/src")

if(OCELLI_TESTS)
  ocelli_third_party_folder(googletest folder)
  add_library(third_party_gtest STATIC "${folder}/googletest/src/gtest-all.cc" "${folder}/googlemock/src/gmock-all.cc"
    "${folder}/googlemock/src/gmock_main.cc")
  target_include_directories(third_party_gtest SYSTEM PUBLIC "${folder}/googletest/include" "${folder}/googlemock/include")
  target_include_directories(third_party_gtest PRIVATE "${folder}/googletest" "${folder}/googlemock")
  if(ocelli_toolchain STREQUAL "wasi")
    # This C library has no dup, no signals and no exceptions.
    target_compile_definitions(third_party_gtest PUBLIC GTEST_HAS_STREAM_REDIRECTION=0
      GTEST_HAS_EXCEPTIONS=0 _WASI_EMULATED_SIGNAL)
    target_compile_options(third_party_gtest PUBLIC -fno-exceptions)
    target_link_libraries(third_party_gtest INTERFACE wasi-emulated-signal)
  endif()
endif()
