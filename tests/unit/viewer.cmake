# Tests of the viewer; nothing when it is not built.
if(NOT TARGET tidemark_viewer_model)
  return()
endif()

add_library(tidemark_viewer_fixtures STATIC ${CMAKE_CURRENT_LIST_DIR}/viewer_fixtures.cpp)
target_include_directories(tidemark_viewer_fixtures PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(tidemark_viewer_fixtures
  PUBLIC tidemark_viewer_model PRIVATE tidemark_warnings tidemark_sanitizers)

add_executable(viewer_model_test
  ${CMAKE_CURRENT_LIST_DIR}/viewer_axis_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_comfort_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_document_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_format_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_levels_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_live_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_places_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_pyramid_test.cpp)
target_link_libraries(viewer_model_test
  PRIVATE tidemark_viewer_fixtures GTest::gtest_main tidemark_warnings tidemark_sanitizers)
target_compile_definitions(viewer_model_test PRIVATE
  TIDEMARK_EXPANDABLE_TRACE="${CMAKE_CURRENT_LIST_DIR}/data/pools/resnet50-expandable.db"
  TIDEMARK_WASTEFUL_TRACE="${CMAKE_SOURCE_DIR}/tests/wasteful/traces/h100/cuda_wasteful.db"
  TIDEMARK_SAMPLE_TRACE="${CMAKE_SOURCE_DIR}/samples/traces/gpt2-h100.db")
gtest_discover_tests(viewer_model_test)

add_executable(viewer_panels_test
  ${CMAKE_CURRENT_LIST_DIR}/viewer_explore_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_lists_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/viewer_panels_test.cpp)
target_link_libraries(viewer_panels_test
  PRIVATE tidemark_viewer_panels tidemark_viewer_fixtures GTest::gtest_main tidemark_warnings
    tidemark_sanitizers)
target_compile_definitions(viewer_panels_test PRIVATE
  TIDEMARK_SAMPLE_TRACE="${CMAKE_SOURCE_DIR}/samples/traces/gpt2-h100.db")
gtest_discover_tests(viewer_panels_test)

# The program on a surface of the test's own; one follows a real recording.
add_executable(viewer_session_test ${CMAKE_CURRENT_LIST_DIR}/viewer_session_test.cpp)
target_link_libraries(viewer_session_test
  PRIVATE tidemark_viewer_app tidemark_viewer_fixtures GTest::gtest_main tidemark_warnings
    tidemark_sanitizers)
target_compile_definitions(viewer_session_test PRIVATE
  TIDEMARK_PROGRAM="$<TARGET_FILE:tidemark>")
add_dependencies(viewer_session_test tidemark tidemark_preload)
gtest_discover_tests(viewer_session_test
  PROPERTIES TIMEOUT 120 ENVIRONMENT "XDG_STATE_HOME=${CMAKE_CURRENT_BINARY_DIR}/viewer_state")

# Runs the program itself: pictures through EGL, and a window under Xvfb. Both fail, and say what to
# install, where Mesa, xvfb or xdotool are missing.
add_executable(viewer_program_test ${CMAKE_CURRENT_LIST_DIR}/viewer_program_test.cpp)
target_include_directories(viewer_program_test SYSTEM PRIVATE ${STB_INCLUDE_DIR})
target_link_libraries(viewer_program_test
  PRIVATE tidemark_viewer_fixtures ${STB_LIBRARY} GTest::gtest_main tidemark_warnings
    tidemark_sanitizers)
target_compile_definitions(viewer_program_test PRIVATE
  TIDEMARK_VIEW_PROGRAM="$<TARGET_FILE:tidemark-view>"
  TIDEMARK_VIEW_WINDOW_SCRIPT="${CMAKE_CURRENT_LIST_DIR}/viewer_window.sh"
  TIDEMARK_VIEW_DROP_SCRIPT="${CMAKE_CURRENT_LIST_DIR}/viewer_drop.py")
add_dependencies(viewer_program_test tidemark-view)
gtest_discover_tests(viewer_program_test PROPERTIES TIMEOUT 120)
