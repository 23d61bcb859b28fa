# Needs the viewer and Google Benchmark; run build/<preset>/bin/viewer_bench, and
# build/<preset>/bin/viewer_load_bench EVENTS [FILE].
find_package(benchmark QUIET)
if(TARGET tidemark_viewer_panels AND benchmark_FOUND)
  add_executable(viewer_bench ${CMAKE_CURRENT_LIST_DIR}/viewer_bench.cpp)
  target_link_libraries(viewer_bench
    PRIVATE tidemark_viewer_panels tidemark_viewer_fixtures benchmark::benchmark tidemark_warnings
      tidemark_sanitizers)
endif()
if(TARGET tidemark_viewer_panels)
  add_executable(viewer_load_bench ${CMAKE_CURRENT_LIST_DIR}/viewer_load_bench.cpp)
  target_link_libraries(viewer_load_bench
    PRIVATE tidemark_viewer_panels tidemark_warnings tidemark_sanitizers)
endif()
