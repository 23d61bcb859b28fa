find_package(fmt REQUIRED)
add_executable(trace_bench trace_bench.cpp)
target_link_libraries(trace_bench PRIVATE
  tidemark_trace tidemark_warnings tidemark_sanitizers fmt::fmt-header-only)
add_executable(reading_bench reading_bench.cpp)
target_link_libraries(reading_bench PRIVATE
  tidemark_analyzer tidemark_trace tidemark_warnings tidemark_sanitizers fmt::fmt-header-only)
add_executable(access_bench access_bench.cpp)
target_link_libraries(access_bench PRIVATE
  tidemark_analyzer tidemark_trace tidemark_warnings tidemark_sanitizers fmt::fmt-header-only)
add_executable(allocator_bench allocator_bench.cpp)
target_compile_definitions(allocator_bench PRIVATE
  POOL_TRACES="${PROJECT_SOURCE_DIR}/tests/unit/data/pools")
target_link_libraries(allocator_bench PRIVATE
  tidemark_analyzer tidemark_trace tidemark_warnings tidemark_sanitizers fmt::fmt-header-only)
