# Tests of collector/trace.
add_executable(trace_tests
  trace_access_test.cpp trace_chunk_test.cpp trace_damage_test.cpp trace_joined_test.cpp trace_kill_test.cpp trace_open_test.cpp
  trace_query_test.cpp trace_round_trip_test.cpp trace_testing.cpp)
find_path(TIDEMARK_XXHASH_INCLUDE xxhash.h REQUIRED)
target_include_directories(trace_tests PRIVATE
  ${PROJECT_SOURCE_DIR}/collector/trace/src ${TIDEMARK_XXHASH_INCLUDE})
target_link_libraries(trace_tests PRIVATE
  tidemark_trace tidemark_warnings tidemark_sanitizers tidemark_fmt GTest::gtest_main)
find_program(TIDEMARK_SQLITE3_CLI sqlite3)
target_compile_definitions(trace_tests PRIVATE
  SQLITE3_CLI="${TIDEMARK_SQLITE3_CLI}" SQLITE_EXTENSION="$<TARGET_FILE:tidemark_sqlite>"
  HOST_VERSION_1="${CMAKE_CURRENT_SOURCE_DIR}/data/host-version-1.db"
  STACKS_AS_ROWS="${CMAKE_CURRENT_SOURCE_DIR}/data/stacks-as-rows.db")
add_dependencies(trace_tests tidemark_sqlite)
# Not under ThreadSanitizer, where they took two minutes: they ask for what lives in a few chunks, or
# settle, which is done by their caller's thread. The writer's encoders have threads of their own,
# which all other tests write with, and so have long scans, which TraceRoundTrip reads with.
if("thread" IN_LIST TIDEMARK_SANITIZE)
  set(with_threads TEST_FILTER "-TraceDamage.*:TraceOpen.*:TraceQuery.*:TraceRoundTrip.settling_*")
endif()
set_source_files_properties(trace_joined_test.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
gtest_discover_tests(trace_tests ${with_threads} DISCOVERY_TIMEOUT 60)
