add_executable(analyzer_test
  analyzer_units_test.cpp
  analyzer_usage_test.cpp)
target_link_libraries(analyzer_test PRIVATE
  tidemark_analyzer tidemark_warnings tidemark_sanitizers GTest::gtest_main)
gtest_discover_tests(analyzer_test TEST_PREFIX analyzer.)
