pkg_check_modules(UNWIND REQUIRED IMPORTED_TARGET libunwind)
add_executable(stack_test stack_cache_test.cpp stack_merge_test.cpp stack_test.cpp)
# Each source looks at stacks of its own making.
set_target_properties(stack_test PROPERTIES UNITY_BUILD OFF)
# Frame pointers where a stack is started from, as in the injected libraries.
target_compile_options(stack_test PRIVATE -fno-omit-frame-pointer -fno-optimize-sibling-calls)
target_include_directories(stack_test PRIVATE ${PROJECT_SOURCE_DIR}/injection/stack/src)
target_link_libraries(stack_test PRIVATE tidemark_stack PkgConfig::UNWIND GTest::gtest_main
  tidemark_warnings ${CMAKE_DL_LIBS})
gtest_discover_tests(stack_test)
