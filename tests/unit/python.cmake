# Python frames: figures and line tables against the interpreters that are here
# (tests/hazards/pythons.py), which need not be the one that runs the tests.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_executable(python_layout_figures python_layout/figures.cpp)
target_include_directories(python_layout_figures PRIVATE ${PROJECT_SOURCE_DIR}/injection/stack/src)
target_link_libraries(python_layout_figures PRIVATE tidemark_stack tidemark_warnings)
add_test(NAME unit.python_layout
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/python_layout_test.py)
set_tests_properties(unit.python_layout PROPERTIES TIMEOUT 300
  ENVIRONMENT "FIGURES=$<TARGET_FILE:python_layout_figures>;CC=${CMAKE_C_COMPILER};PYTHONDONTWRITEBYTECODE=1")

add_executable(python_lines_probe python_lines_probe.cpp ${PROJECT_SOURCE_DIR}/collector/python_lines.cpp)
target_include_directories(python_lines_probe PRIVATE ${PROJECT_SOURCE_DIR}/collector)
target_link_libraries(python_lines_probe PRIVATE tidemark_warnings tidemark_sanitizers)
add_test(NAME unit.python_lines
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/python_lines_test.py)
set_tests_properties(unit.python_lines PROPERTIES TIMEOUT 300
  ENVIRONMENT "PROBE=$<TARGET_FILE:python_lines_probe>;PYTHONDONTWRITEBYTECODE=1")
