find_path(TIDEMARK_NVTX_INCLUDE nvtx3/nvToolsExt.h
  HINTS $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda
  PATH_SUFFIXES include targets/x86_64-linux/include)
mark_as_advanced(TIDEMARK_NVTX_INCLUDE)
if(NOT TIDEMARK_NVTX_INCLUDE)
  message(STATUS "Left out: comparison with NVTX's headers, since nvtx3/nvToolsExt.h was not found")
  return()
endif()
add_executable(nvtx_test nvtx_abi_test.cpp)
target_include_directories(nvtx_test PRIVATE ${PROJECT_SOURCE_DIR}/injection/preload/src)
target_include_directories(nvtx_test SYSTEM PRIVATE ${TIDEMARK_NVTX_INCLUDE})
target_link_libraries(nvtx_test PRIVATE tidemark_warnings tidemark_sanitizers GTest::gtest_main ${CMAKE_DL_LIBS})
gtest_discover_tests(nvtx_test)
