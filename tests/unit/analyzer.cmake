find_package(nlohmann_json REQUIRED)

add_executable(analyzer_test
  analyzer_backward_test.cpp
  analyzer_copies_test.cpp
  analyzer_device_memory_test.cpp
  analyzer_diff_test.cpp
  analyzer_findings_test.cpp
  analyzer_markdown_test.cpp
  analyzer_memory_test.cpp
  analyzer_out_of_memory_test.cpp
  analyzer_page_test.cpp
  analyzer_parallel_test.cpp
  analyzer_ranks_test.cpp
  analyzer_repeats_test.cpp
  analyzer_report_test.cpp
  analyzer_same_bytes_test.cpp
  analyzer_structure_test.cpp
  analyzer_techniques_test.cpp
  analyzer_text_test.cpp
  analyzer_units_test.cpp
  analyzer_usage_test.cpp
  analyzer_uses_test.cpp
  analyzer_whatif_libraries_test.cpp
  analyzer_whatif_ranks_test.cpp
  analyzer_whatif_test.cpp)
target_link_libraries(analyzer_test PRIVATE tidemark_analyzer tidemark_warnings tidemark_sanitizers
  nlohmann_json::nlohmann_json GTest::gtest_main)
# Frames made by hand, named as in the test of structure.
set_source_files_properties(analyzer_backward_test.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
gtest_discover_tests(analyzer_test TEST_PREFIX analyzer.)

add_executable(allocator_test
  allocator_free_index_test.cpp
  allocator_others_test.cpp
  allocator_property_test.cpp
  allocator_replay_test.cpp
  allocator_torch_test.cpp)
target_include_directories(allocator_test PRIVATE ${PROJECT_SOURCE_DIR}/analyzer)
target_compile_definitions(allocator_test PRIVATE
  POOL_TRACES="${CMAKE_CURRENT_SOURCE_DIR}/data/pools")
target_link_libraries(allocator_test PRIVATE tidemark_analyzer tidemark_warnings tidemark_sanitizers
  GTest::gtest_main)
gtest_discover_tests(allocator_test TEST_PREFIX allocator.)
