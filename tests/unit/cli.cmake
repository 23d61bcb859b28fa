find_package(nlohmann_json REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_executable(cli_test cli_doctor_test.cpp cli_rows_test.cpp)
target_compile_definitions(cli_test PRIVATE
  TIDEMARK_TEST_LIBRARIES="${CMAKE_BINARY_DIR}/${TIDEMARK_PRIVATE_LIBDIR}"
  TIDEMARK_TEST_FAKE_NVIDIA="$<TARGET_FILE:fake_nvidia>"
  TIDEMARK_TEST_PYTHON="${Python3_EXECUTABLE}")
target_link_libraries(cli_test PRIVATE tidemark_cli tidemark_warnings tidemark_sanitizers
  nlohmann_json::nlohmann_json GTest::gmock GTest::gtest_main)
add_dependencies(cli_test fake_nvidia tidemark_preload)
gtest_discover_tests(cli_test TEST_PREFIX cli.)

if(NOT TIDEMARK_SANITIZE)
  add_test(NAME cli.pipe COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cli_pipe_test.py
    $<TARGET_FILE:tidemark> $<TARGET_FILE:make_fixtures>)
endif()
