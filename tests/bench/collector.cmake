find_package(tsl-robin-map REQUIRED)
find_package(benchmark REQUIRED)
add_executable(collector_bench collector_bench.cpp)
target_include_directories(collector_bench PRIVATE ${PROJECT_SOURCE_DIR}/collector)
target_link_libraries(collector_bench PRIVATE
  tidemark_collector tidemark_wire tidemark_trace tidemark_warnings tidemark_sanitizers
  tsl::robin_map benchmark::benchmark)
