# Needs the viewer and Google Benchmark; run build/<preset>/bin/viewer_bench.
find_package(benchmark QUIET)
if(TARGET tidemark_viewer_panels AND benchmark_FOUND)
  add_executable(viewer_bench ${CMAKE_CURRENT_LIST_DIR}/viewer_bench.cpp)
  target_link_libraries(viewer_bench
    PRIVATE tidemark_viewer_panels tidemark_viewer_fixtures benchmark::benchmark tidemark_warnings
      tidemark_sanitizers)
endif()
