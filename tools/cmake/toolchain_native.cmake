# The native compiler that the set-up chose (CXX, else clang++ 19, else GCC from 13 on).
include("${CMAKE_CURRENT_LIST_DIR}/../../build/setup.cmake" OPTIONAL RESULT_VARIABLE ocelli_setup)
if(NOT ocelli_setup OR NOT OCELLI_CXX)
  message(FATAL_ERROR "no native compiler is set up: run `node tools/setup.mjs native`")
endif()
set(CMAKE_C_COMPILER "${OCELLI_CC}")
set(CMAKE_CXX_COMPILER "${OCELLI_CXX}")
