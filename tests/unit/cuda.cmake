# Tests of injection/cuda: pure conversions, and the whole library against a fake CUPTI.
if(NOT TIDEMARK_HAVE_CUDA)
  message(STATUS "Left out: tests of libtidemark_cuda.so, which is not built")
  return()
endif()

if(NOT "thread" IN_LIST TIDEMARK_SANITIZE) # conversions, on one thread
  add_executable(cuda_test cuda_access.cpp cuda_activity.cpp cuda_calls.cpp cuda_physical.cpp
    ${TIDEMARK_CUDA_PURE_SOURCES})
  set_target_properties(cuda_test PROPERTIES UNITY_BUILD OFF) # as the library is built
  target_link_libraries(cuda_test PRIVATE tidemark_cuda_headers GTest::gtest_main tidemark_warnings
    tidemark_sanitizers)
  gtest_discover_tests(cuda_test)
endif()

add_library(fake_cupti SHARED fake_cupti.cpp)
target_link_libraries(fake_cupti PRIVATE tidemark_cuda_headers tidemark_warnings)
target_link_options(fake_cupti PRIVATE -Wl,-soname,libcupti.so.13)
set_target_properties(fake_cupti PROPERTIES NO_SONAME ON)
add_library(fake_libcuda SHARED fake_libcuda.cpp)
target_link_libraries(fake_libcuda PRIVATE tidemark_cuda_headers tidemark_warnings)
target_link_options(fake_libcuda PRIVATE -Wl,-soname,libcuda.so.1)
set_target_properties(fake_libcuda PROPERTIES NO_SONAME ON)

foreach(program cuda_injection cuda_access_injection cuda_driver_injection)
  add_executable(${program} ${program}.cpp fake_client.cpp)
  target_link_libraries(${program} PRIVATE tidemark_cuda_headers tidemark_warnings
    tidemark_sanitizers Threads::Threads ${CMAKE_DL_LIBS})
  set_target_properties(${program} PROPERTIES ENABLE_EXPORTS ON)
  add_dependencies(${program} tidemark_cuda fake_cupti fake_libcuda)
endforeach()

# The layout of NVIDIA's Python wheels: the program has loaded one library of theirs.
set(wheels ${CMAKE_CURRENT_BINARY_DIR}/wheels)
add_library(fake_cublas MODULE fake_libcuda.cpp)
target_link_libraries(fake_cublas PRIVATE tidemark_cuda_headers tidemark_warnings)
target_link_options(fake_cublas PRIVATE -Wl,-soname,libcublas.so.12)
set_target_properties(fake_cublas PROPERTIES PREFIX "" SUFFIX "" OUTPUT_NAME libcublas.so.12
  LIBRARY_OUTPUT_DIRECTORY ${wheels}/nvidia/cublas/lib)
add_dependencies(cuda_injection fake_cublas)
add_custom_command(TARGET cuda_injection POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E make_directory ${wheels}/nvidia/cuda_cupti/lib
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:fake_cupti> ${wheels}/nvidia/cuda_cupti/lib/libcupti.so.12)

foreach(program cuda_injection cuda_access_injection cuda_driver_injection)
  file(STRINGS ${program}.cpp scenarios REGEX "^    SCENARIO\\(")
  foreach(line IN LISTS scenarios)
    string(REGEX REPLACE "^    SCENARIO\\((.*)\\),$" "\\1" scenario "${line}")
    add_test(NAME ${program}.${scenario} COMMAND ${program} ${scenario})
    set_tests_properties(${program}.${scenario} PROPERTIES TIMEOUT 60 ENVIRONMENT
      "TIDEMARK_TEST_CUDA_LIBRARY=$<TARGET_FILE:tidemark_cuda>;TIDEMARK_CUPTI=$<TARGET_FILE:fake_cupti>;TIDEMARK_TEST_LIBCUDA=$<TARGET_FILE:fake_libcuda>;TIDEMARK_TEST_WHEELS=${wheels}")
  endforeach()
endforeach()

add_library(fake_preload MODULE fake_client.cpp)
target_link_libraries(fake_preload PRIVATE tidemark_wire tidemark_warnings)
set_target_properties(fake_preload PROPERTIES PREFIX "" OUTPUT_NAME libtidemark_preload
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/lost_preload/with)
add_executable(cuda_lost_preload cuda_lost_preload.cpp)
target_link_libraries(cuda_lost_preload PRIVATE tidemark_warnings ${CMAKE_DL_LIBS})
foreach(with with without)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/lost_preload/${with})
  add_custom_command(TARGET cuda_lost_preload POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:tidemark_cuda> ${folder}/)
  add_test(NAME cuda_injection.recorder_beside_the_library_${with}
    COMMAND cuda_lost_preload ${folder}/libtidemark_cuda.so ${with})
  set_tests_properties(cuda_injection.recorder_beside_the_library_${with} PROPERTIES ENVIRONMENT
    "TIDEMARK_CUPTI=$<TARGET_FILE:fake_cupti>")
endforeach()
add_dependencies(cuda_lost_preload tidemark_cuda fake_preload fake_cupti)

add_test(NAME cuda_injection.exports_and_needs COMMAND ${CMAKE_COMMAND}
  -DLIBRARY=$<TARGET_FILE:tidemark_cuda> -DNM=${CMAKE_NM} -DREADELF=${CMAKE_READELF}
  -P ${CMAKE_CURRENT_SOURCE_DIR}/cuda_library_rules.cmake)
