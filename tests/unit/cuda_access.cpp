// The pure parts of access tracking, with the real headers' structs.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

#include "fake_kernel.h"
#include "kernel_arguments.h"
#include "page_set.h"
#include "parameter_layouts.h"

namespace tidemark::cuda {
namespace {

constexpr uint64_t kPage = uint64_t{1} << PageSet::kPageBits;

TEST(PageSet, holds_the_pages_of_what_was_added_and_no_other) {
  PageSet pages;
  ASSERT_TRUE(pages.create());
  EXPECT_FALSE(pages.holds(0x7f0000000000));
  EXPECT_TRUE(pages.add(0x7f0000000200, 512));
  EXPECT_TRUE(pages.holds(0x7f0000000000));
  EXPECT_TRUE(pages.holds(0x7f0000000000 + kPage - 1));
  EXPECT_FALSE(pages.holds(0x7f0000000000 + kPage));
  EXPECT_FALSE(pages.holds(0x7f0000000000 - 1));
  EXPECT_TRUE(pages.add(0x7f1000000000 + kPage - 1, 2));
  EXPECT_TRUE(pages.holds(0x7f1000000000));
  EXPECT_TRUE(pages.holds(0x7f1000000000 + kPage));
  EXPECT_FALSE(pages.holds(0x7f1000000000 + 2 * kPage));
  EXPECT_TRUE(pages.add(0x1000, 0));
  EXPECT_FALSE(pages.holds(0x1000));
}

TEST(PageSet, words_that_are_no_address_are_never_held) {
  PageSet pages;
  ASSERT_TRUE(pages.create());
  EXPECT_TRUE(pages.add((uint64_t{1} << 48) - 1, 1));
  EXPECT_TRUE(pages.holds((uint64_t{1} << 48) - 1));
  EXPECT_FALSE(pages.holds(uint64_t{1} << 48));
  EXPECT_FALSE(pages.holds(0x3f8000003f800000));  // two floats
  EXPECT_FALSE(pages.holds(~uint64_t{0}));
  EXPECT_FALSE(pages.add(uint64_t{1} << 48, 1));
  EXPECT_FALSE(pages.add((uint64_t{1} << 48) - 1, 2));
  EXPECT_FALSE(pages.add(~uint64_t{0}, 2));
}

TEST(PageSet, ranges_of_any_length_are_held_as_by_a_plain_set) {
  std::mt19937_64 random(1);
  PageSet pages;
  ASSERT_TRUE(pages.create());
  std::set<uint64_t> held;
  constexpr uint64_t kBase = 0x7e0000000000;
  for (int i = 0; i < 200; ++i) {
    const uint64_t first = random() % 4000;
    const uint64_t count = 1 + random() % (i % 4 == 0 ? 300 : 3);
    ASSERT_TRUE(pages.add(kBase + first * kPage + 17, count * kPage - 17));
    for (uint64_t page = first; page < first + count; ++page) held.insert(page);
  }
  for (uint64_t page = 0; page < 4500; ++page) {
    EXPECT_EQ(pages.holds(kBase + page * kPage + random() % kPage), held.count(page) == 1) << page;
  }
}

// --- where arguments lie ------------------------------------------------------------------------

#define DRIVER(name) CUPTI_DRIVER_TRACE_CBID_##name

TEST(KernelArguments, every_launch_of_the_driver_names_its_kernel_and_parameters) {
  const auto function = reinterpret_cast<CUfunction>(0x10);
  void* list[1] = {};
  void* extra[1] = {};
  cuLaunchKernel_params plain{};
  plain.f = function;
  plain.kernelParams = list;
  plain.extra = extra;
  cuLaunchKernelEx_params extended{nullptr, function, list, extra};
  cuLaunchCooperativeKernel_params cooperative{};
  cooperative.f = function;
  cooperative.kernelParams = list;
  const struct {
    CUpti_CallbackId id;
    const void* params;
    bool has_extra;
  } kForms[] = {{DRIVER(cuLaunchKernel), &plain, true},
                {DRIVER(cuLaunchKernel_ptsz), &plain, true},
                {DRIVER(cuLaunchKernelEx), &extended, true},
                {DRIVER(cuLaunchKernelEx_ptsz), &extended, true},
                {DRIVER(cuLaunchCooperativeKernel), &cooperative, false},
                {DRIVER(cuLaunchCooperativeKernel_ptsz), &cooperative, false}};
  CUDA_KERNEL_NODE_PARAMS node{};
  node.func = function;
  node.kernelParams = list;
  cuGraphAddKernelNode_v2_params added{};
  added.nodeParams = &node;
  for (const CUpti_CallbackId id :
       {DRIVER(cuGraphAddKernelNode), DRIVER(cuGraphAddKernelNode_v2)}) {
    ASSERT_EQ(launched_kernels(id, &added), 1U);
    EXPECT_EQ(launched_kernel(id, &added, 0).function, function);
    EXPECT_EQ(launched_kernel(id, &added, 0).parameters, list);
  }
  static_assert(offsetof(CUDA_KERNEL_NODE_PARAMS_v1, extra) ==
                offsetof(CUDA_KERNEL_NODE_PARAMS_v2, extra));
  for (const auto& form : kForms) {
    ASSERT_EQ(launched_kernels(form.id, form.params), 1U) << form.id;
    const KernelArguments kernel = launched_kernel(form.id, form.params, 0);
    EXPECT_EQ(kernel.function, function) << form.id;
    EXPECT_EQ(kernel.parameters, list) << form.id;
    EXPECT_EQ(kernel.extra != nullptr, form.has_extra) << form.id;
  }
  CUDA_LAUNCH_PARAMS devices[2] = {};
  devices[1].function = function;
  devices[1].kernelParams = list;
  const cuLaunchCooperativeKernelMultiDevice_params several{devices, 2, 0};
  const CUpti_CallbackId id = DRIVER(cuLaunchCooperativeKernelMultiDevice);
  ASSERT_EQ(launched_kernels(id, &several), 2U);
  EXPECT_EQ(launched_kernel(id, &several, 1).function, function);
  EXPECT_EQ(launched_kernel(id, &several, 1).parameters, list);
}

TEST(KernelArguments, other_calls_launch_no_kernel_that_can_be_read) {
  const cuGraphLaunch_params graph{};
  EXPECT_EQ(launched_kernels(DRIVER(cuGraphLaunch), &graph), 0U);
  EXPECT_EQ(launched_kernels(DRIVER(cuMemAlloc_v2), &graph), 0U);
  EXPECT_EQ(launched_kernels(DRIVER(cuLaunchKernel), nullptr), 0U);
  // A form of CUDA 3: its arguments are not in the call.
  EXPECT_EQ(launched_kernels(DRIVER(cuLaunchGrid), &graph), 1U);
  EXPECT_EQ(launched_kernel(DRIVER(cuLaunchGrid), &graph, 0).parameters, nullptr);
}

TEST(KernelArguments, a_buffer_is_found_whatever_the_order_and_only_when_complete) {
  uint64_t bytes[3] = {};
  size_t size = sizeof bytes;
  void* forwards[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_BUFFER_SIZE, &size,
                      CU_LAUNCH_PARAM_END};
  void* backwards[] = {CU_LAUNCH_PARAM_BUFFER_SIZE, &size, CU_LAUNCH_PARAM_BUFFER_POINTER, bytes,
                       CU_LAUNCH_PARAM_END};
  for (void** extra : {forwards, backwards}) {
    const ArgumentBuffer buffer = argument_buffer(extra);
    EXPECT_EQ(buffer.data, reinterpret_cast<uint8_t*>(bytes));
    EXPECT_EQ(buffer.bytes, sizeof bytes);
  }
  void* half[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, bytes, CU_LAUNCH_PARAM_END};
  EXPECT_EQ(argument_buffer(half).data, nullptr);
  EXPECT_EQ(argument_buffer(nullptr).bytes, 0U);
}

// --- how long parameters are --------------------------------------------------------------------

CUresult info(const void* handle, bool as_function, size_t index, size_t* bytes) {
  auto& kernel = *static_cast<FakeKernel*>(const_cast<void*>(handle));
  ++kernel.asked;
  if (as_function == kernel.of_library) return CUDA_ERROR_INVALID_HANDLE;
  if (index >= kernel.parameter_bytes.size()) return CUDA_ERROR_INVALID_VALUE;
  *bytes = kernel.parameter_bytes[index];
  return CUDA_SUCCESS;
}
CUresult of_function(const void* handle, size_t index, size_t*, size_t* bytes) {
  return info(handle, true, index, bytes);
}
CUresult of_kernel(const void* handle, size_t index, size_t*, size_t* bytes) {
  return info(handle, false, index, bytes);
}
CUresult of_nothing(const void*, size_t, size_t*, size_t*) { return CUDA_ERROR_INVALID_HANDLE; }

TEST(ParameterLayouts, parameters_that_can_hold_a_pointer_are_kept_and_asked_for_once) {
  ParameterLayouts layouts;
  ASSERT_TRUE(layouts.create(of_function, of_kernel));
  for (const bool of_library : {false, true}) {
    FakeKernel kernel{of_library, {4, 8, 7, 4096, 12, 1}};
    const ParameterLayout* layout = layouts.of(&kernel);
    ASSERT_NE(layout, nullptr);
    ASSERT_EQ(layout->count, 3U);
    EXPECT_EQ(layout->spans[0].index, 1U);
    EXPECT_EQ(layout->spans[0].words, 1U);
    EXPECT_EQ(layout->spans[1].index, 3U);
    EXPECT_EQ(layout->spans[1].words, 512U);
    EXPECT_EQ(layout->spans[2].index, 4U);
    EXPECT_EQ(layout->spans[2].words, 1U);
    const uint32_t asked = kernel.asked;
    EXPECT_EQ(layouts.of(&kernel), layout);
    EXPECT_EQ(kernel.asked, asked);
  }
}

TEST(ParameterLayouts, a_kernel_without_parameters_is_known_and_a_strange_handle_is_not) {
  ParameterLayouts layouts;
  ASSERT_TRUE(layouts.create(of_function, of_kernel));
  FakeKernel function{false, {}};
  FakeKernel kernel{true, {}};
  for (FakeKernel* each : {&function, &kernel}) {
    ASSERT_NE(layouts.of(each), nullptr);
    EXPECT_EQ(layouts.of(each)->count, 0U);
  }
  EXPECT_EQ(layouts.of(nullptr), nullptr);
  ParameterLayouts silent;
  ASSERT_TRUE(silent.create(of_nothing, of_nothing));
  EXPECT_EQ(silent.of(&function), nullptr);
}

TEST(ParameterLayouts, more_parameters_than_can_be_remembered_are_unknown) {
  ParameterLayouts layouts;
  ASSERT_TRUE(layouts.create(of_function, of_kernel));
  FakeKernel most{false, std::vector<size_t>(ParameterLayouts::kMostSpans, 8)};
  FakeKernel more{false, std::vector<size_t>(ParameterLayouts::kMostSpans + 1, 8)};
  ASSERT_NE(layouts.of(&most), nullptr);
  EXPECT_EQ(layouts.of(&most)->count, ParameterLayouts::kMostSpans);
  EXPECT_EQ(layouts.of(&more), nullptr);
}

TEST(ParameterLayouts, a_handle_that_was_given_to_another_kernel_is_asked_for_anew) {
  ParameterLayouts layouts;
  ASSERT_TRUE(layouts.create(of_function, of_kernel));
  FakeKernel kernel{false, {8, 8}};
  const ParameterLayout* before = layouts.of(&kernel);
  layouts.forget();
  EXPECT_EQ(layouts.of(&kernel), before) << "nothing has changed: no memory is taken";
  layouts.forget();
  kernel.parameter_bytes = {16};
  const ParameterLayout* after = layouts.of(&kernel);
  ASSERT_NE(after, nullptr);
  ASSERT_EQ(after->count, 1U);
  EXPECT_EQ(after->spans[0].words, 2U);
}

TEST(ParameterLayouts, many_threads_that_meet_many_kernels_all_read_the_right_ones) {
  ParameterLayouts layouts;
  ASSERT_TRUE(layouts.create(of_function, of_kernel));
  std::vector<std::vector<FakeKernel>> kernels(4);  // asked is each thread's own
  for (auto& each : kernels) {
    for (size_t i = 0; i < 3000; ++i) {
      each.push_back({i % 2 == 0, std::vector<size_t>(i % 7, 8 * (1 + i % 5))});
    }
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (auto& each : kernels) {
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < each.size(); ++i) {
          const ParameterLayout* layout = layouts.of(&each[i]);
          const bool right = layout != nullptr && layout->count == i % 7 &&
                             (layout->count == 0 || layout->spans[0].words == 1 + i % 5);
          if (!right) ++wrong;
        }
        layouts.forget();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace tidemark::cuda
