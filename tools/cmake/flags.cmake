# Owns the compiler flags of every build. Called by the root CMakeLists.txt before any target is made.
# Surprise: contraction is off everywhere, since the native build, the variants and the reference must agree bit for bit.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
set(CMAKE_C_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_SANITIZE "-O1 -g1 -fno-omit-frame-pointer")
add_compile_options(-ffp-contract=off -fno-math-errno)

set(ocelli_threads 1)
if(OCELLI_VARIANT)
  add_compile_options(-msimd128)
  if(ocelli_simd STREQUAL "relaxed")
    add_compile_options(-mrelaxed-simd)
  endif()
  if(ocelli_toolchain STREQUAL "emscripten")
    add_compile_options(-pthread)
    # Sources are compiled with -O3; at link time it would make Binaryen inline every function with one caller, so all
    # of a kernel's tiles into its outer loop, and reorder loads and stores: V8 then runs that loop in baseline code to
    # its end, and revectorises it wrongly or not at all (src/kernels/README.md).
    add_link_options(-pthread -O1)
  else()
    set(ocelli_threads 0)
  endif()
else()
  find_package(Threads REQUIRED)
  link_libraries(Threads::Threads)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
    add_compile_options(-msse4.1)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # The library of the wasm builds, where it is installed: what compiles here then compiles there.
    include(CheckCXXSourceCompiles)
    set(CMAKE_REQUIRED_FLAGS "-stdlib=libc++")
    check_cxx_source_compiles("#include <expected>\nint main() { return std::expected<int, int>(0).value(); }"
      OCELLI_HAVE_LIBCXX)
    unset(CMAKE_REQUIRED_FLAGS)
    if(OCELLI_HAVE_LIBCXX)
      add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-stdlib=libc++>")
      add_link_options(-stdlib=libc++)
    endif()
  endif()
  if(CMAKE_BUILD_TYPE STREQUAL "Sanitize")
    # The core has no RTTI, which the vptr check of tests with RTTI takes for damage.
    set(sanitizers -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all)
    add_compile_options(${sanitizers} "$<$<COMPILE_LANGUAGE:CXX>:-D_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_EXTENSIVE>")
    add_link_options(${sanitizers})
  endif()
endif()

# What our own files get on top: language rules and warnings. Tests keep exceptions, since GoogleTest uses them.
add_library(ocelli_flags INTERFACE)
target_include_directories(ocelli_flags INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(ocelli_flags INTERFACE -Wall -Wextra -Werror)
target_compile_definitions(ocelli_flags INTERFACE OCELLI_THREADS=${ocelli_threads})
target_link_libraries(ocelli_flags INTERFACE third_party_json)
add_library(ocelli_core_flags INTERFACE)
target_link_libraries(ocelli_core_flags INTERFACE ocelli_flags)
target_compile_options(ocelli_core_flags INTERFACE -fno-exceptions -fno-rtti)

find_program(OCELLI_CCACHE ccache)
if(OCELLI_CCACHE AND NOT ocelli_toolchain STREQUAL "emscripten")
  set(CMAKE_C_COMPILER_LAUNCHER "${OCELLI_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${OCELLI_CCACHE}")
endif()
