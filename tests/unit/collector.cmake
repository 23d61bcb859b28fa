find_package(tsl - robin - map REQUIRED) find_package(fmt REQUIRED) add_executable(
    collector_test collector_pairing_test.cpp collector_ring_test.cpp)
    target_include_directories(collector_test PRIVATE ${PROJECT_SOURCE_DIR} / collector)
        target_link_libraries(collector_test PRIVATE tidemark_collector tidemark_wire tidemark_trace
                                  tidemark_warnings tidemark_sanitizers tsl::robin_map fmt::fmt -
                              header - only GTest::gtest_main) gtest_discover_tests(collector_test)
