# Owns one library a folder of src/, with the arrows of src/layers.txt. Called by the root CMakeLists.txt.
# Surprise: a folder without sources is an interface library, so that headers alone can be used from the first day.

# The third-party libraries that a layer compiles against; nlohmann/json is everywhere.
set(ocelli_uses_text third_party_utf8proc)
set(ocelli_uses_image third_party_stb third_party_webp)

# What reads bytes from outside tells the fuzzer where it has been; without that it would search blindly.
set(ocelli_fuzzed)
if(CMAKE_BUILD_TYPE STREQUAL "Sanitize" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(ocelli_fuzzed format text image stream)
endif()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/layers.txt")
# stb_image adds up whatever a hostile file says; wrapping makes that defined.
set_source_files_properties("${CMAKE_SOURCE_DIR}/src/image/jpeg.cc" "${CMAKE_SOURCE_DIR}/src/image/inflate.cc"
  PROPERTIES COMPILE_OPTIONS -fwrapv)
file(STRINGS "${CMAKE_SOURCE_DIR}/src/layers.txt" layer_lines REGEX "^[a-z]")
set(ocelli_layers)
foreach(line IN LISTS layer_lines)
  string(REGEX REPLACE "[ \t]+" ";" words "${line}")
  list(POP_FRONT words layer level)
  list(APPEND ocelli_layers ${layer})
  list(TRANSFORM words PREPEND "ocelli_" OUTPUT_VARIABLE below)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/${layer}/*.cc")
  if(files)
    # The outermost layer is linked whole: its functions are what a module exports.
    if(layer STREQUAL "abi")
      add_library(ocelli_${layer} OBJECT ${files})
    else()
      add_library(ocelli_${layer} STATIC ${files})
    endif()
    target_link_libraries(ocelli_${layer} PRIVATE ocelli_core_flags PUBLIC ${below} ${ocelli_uses_${layer}})
    if(layer IN_LIST ocelli_fuzzed)
      target_compile_options(ocelli_${layer} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  else()
    add_library(ocelli_${layer} INTERFACE)
    target_link_libraries(ocelli_${layer} INTERFACE ${below} ${ocelli_uses_${layer}})
  endif()
endforeach()

file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/models/convert/*.cc")
list(FILTER files EXCLUDE REGEX "/main\\.cc$")
if(files)
  add_library(ocelli_convert_lib STATIC ${files})
  target_link_libraries(ocelli_convert_lib PRIVATE ocelli_core_flags PUBLIC ocelli_format ocelli_text)
  target_include_directories(ocelli_convert_lib PUBLIC "${CMAKE_SOURCE_DIR}/models")
else()
  add_library(ocelli_convert_lib INTERFACE)
endif()
if(EXISTS "${CMAKE_SOURCE_DIR}/models/convert/main.cc")
  add_executable(ocelli_convert "${CMAKE_SOURCE_DIR}/models/convert/main.cc")
  target_link_libraries(ocelli_convert PRIVATE ocelli_core_flags ocelli_convert_lib)
endif()
