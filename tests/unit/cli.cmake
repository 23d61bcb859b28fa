find_package(nlohmann_json REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_executable(cli_test cli_rows_test.cpp)
target_link_libraries(cli_test PRIVATE tidemark_cli tidemark_warnings tidemark_sanitizers
  nlohmann_json::nlohmann_json GTest::gtest_main)
gtest_discover_tests(cli_test TEST_PREFIX cli.)

add_test(NAME cli.pipe COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cli_pipe_test.py
  $<TARGET_FILE:tidemark> $<TARGET_FILE:make_fixtures>)
