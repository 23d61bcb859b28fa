if(NOT TIDEMARK_HAVE_CUDA)
  return()
endif()
add_executable(launch_bench launch_bench.cpp
  ${PROJECT_SOURCE_DIR}/injection/cuda/access.cpp ${TIDEMARK_CUDA_PURE_SOURCES})
set_target_properties(launch_bench PROPERTIES UNITY_BUILD OFF) # as the library is built
target_include_directories(launch_bench PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
target_compile_definitions(launch_bench PRIVATE FAKE_LIBCUDA="$<TARGET_FILE:fake_libcuda>")
target_link_libraries(launch_bench PRIVATE
  tidemark_cuda_headers tidemark_warnings tidemark_sanitizers tidemark_fmt ${CMAKE_DL_LIBS})
add_dependencies(launch_bench fake_libcuda)
