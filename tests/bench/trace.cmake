find_package(fmt REQUIRED)
add_executable(trace_bench trace_bench.cpp)
target_link_libraries(trace_bench PRIVATE
  tidemark_trace tidemark_warnings tidemark_sanitizers fmt::fmt-header-only)
