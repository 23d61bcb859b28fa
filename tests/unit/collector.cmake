find_package(tsl-robin-map REQUIRED)

add_executable(collector_static_program collector_static_program.c)
target_link_options(collector_static_program PRIVATE -static)
set_target_properties(collector_static_program PROPERTIES POSITION_INDEPENDENT_CODE OFF
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

add_executable(collector_test
  collector_access_test.cpp
  collector_address_table_test.cpp
  collector_aggregate_test.cpp
  collector_driver_memory_test.cpp
  collector_history_test.cpp
  collector_markers_test.cpp
  collector_max_size_test.cpp
  collector_attach_test.cpp
  collector_memory_test.cpp
  collector_pairing_test.cpp
  collector_python_test.cpp
  collector_record_test.cpp
  collector_ring_test.cpp
  collector_symbolizer_test.cpp
  collector_tick_clock_test.cpp
  collector_window_test.cpp)
# The symbolizer's tests look at their own lines and inlined calls.
target_compile_options(collector_test PRIVATE -g)
target_compile_definitions(collector_test PRIVATE
  TIDEMARK_TEST_LIBRARIES="${CMAKE_BINARY_DIR}/${TIDEMARK_PRIVATE_LIBDIR}"
  TIDEMARK_TEST_STATIC_PROGRAM="$<TARGET_FILE:collector_static_program>")
target_include_directories(collector_test PRIVATE ${PROJECT_SOURCE_DIR}/collector)
target_link_libraries(collector_test PRIVATE
  tidemark_collector tidemark_analyzer tidemark_wire tidemark_trace tidemark_warnings tidemark_sanitizers
  tsl::robin_map tidemark_fmt GTest::gtest_main ${CMAKE_DL_LIBS})
add_dependencies(collector_test tidemark_preload collector_static_program)
gtest_discover_tests(collector_test)

add_executable(device_memory_test collector_device_memory_test.cpp)
target_compile_definitions(device_memory_test PRIVATE
  TIDEMARK_TEST_FAKE_NVML="$<TARGET_FILE:fake_nvidia>")
target_include_directories(device_memory_test PRIVATE ${PROJECT_SOURCE_DIR}/collector)
target_link_libraries(device_memory_test PRIVATE
  tidemark_collector tidemark_wire tidemark_trace tidemark_warnings tidemark_sanitizers
  tsl::robin_map tidemark_fmt GTest::gtest_main ${CMAKE_DL_LIBS})
add_dependencies(device_memory_test fake_nvidia)
gtest_discover_tests(device_memory_test)
