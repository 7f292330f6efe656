# Emscripten: the threaded modules. The folder comes from build/setup.cmake, its settings from the file .emscripten in it.
include("${CMAKE_CURRENT_LIST_DIR}/../build/setup.cmake" OPTIONAL RESULT_VARIABLE ocelli_setup)
if(NOT ocelli_setup OR NOT OCELLI_EMSCRIPTEN)
  message(FATAL_ERROR "Emscripten is not set up: run `node tools/setup.mjs emscripten`")
endif()
include("${OCELLI_EMSCRIPTEN}/cmake/Modules/Platform/Emscripten.cmake")
