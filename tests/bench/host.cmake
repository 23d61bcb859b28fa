# Targets of the host benchmark, as users' programs are built: optimized, never sanitized. Built by
# default, because a test runs the benchmark in its smallest size.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(Threads REQUIRED)
set(host_programs ${CMAKE_CURRENT_BINARY_DIR}/programs)
add_custom_target(bench_host DEPENDS tidemark tidemark_preload)
foreach(name pairs threads)
  add_executable(bench_${name} ${CMAKE_CURRENT_LIST_DIR}/programs/${name}.cpp)
  target_link_libraries(bench_${name} PRIVATE Threads::Threads)
endforeach()
add_library(count_calls SHARED ${CMAKE_CURRENT_LIST_DIR}/programs/count_calls.cpp)
target_link_libraries(count_calls PRIVATE ${CMAKE_DL_LIBS})
foreach(target bench_pairs bench_threads count_calls)
  target_compile_options(${target} PRIVATE -O2 -g)
  target_link_libraries(${target} PRIVATE tidemark_warnings)
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${host_programs} LIBRARY_OUTPUT_DIRECTORY ${host_programs}
    CXX_VISIBILITY_PRESET hidden EXCLUDE_FROM_ALL FALSE)
  add_dependencies(bench_host ${target})
endforeach()

# That it runs, and that every trace holds what the program did. No time is looked at.
add_test(NAME bench.host_smoke
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/host_recording.py
    --build ${CMAKE_BINARY_DIR} --size smoke
    --only pairs threads python memory)
set_tests_properties(bench.host_smoke PROPERTIES TIMEOUT 300 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
