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
