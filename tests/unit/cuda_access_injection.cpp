// Access tracking in the whole libtidemark_cuda.so, against a fake CUPTI and a fake driver.
#include <algorithm>
#include <set>
#include <vector>

#include "cuda_injection_harness.h"
#include "fake_kernel.h"

namespace {

constexpr uintptr_t kSegment = 0x7f4000000000;
constexpr uint64_t kMiB = 1 << 20;

void start_with_access(bool wanted = true) {
  CHECK(dlopen(std::getenv("TIDEMARK_TEST_LIBCUDA"), RTLD_NOW) != nullptr);
  fake_client().arena->record_access = wanted ? 1 : 0;
  open_fake_cupti();
  start_library();
}

void device_alloc(uintptr_t address, size_t size) {
  void* out = pointer(address);
  const cudaMalloc_v3020_params params{&out, size};
  Call{RUNTIME(cudaMalloc_v3020), &params}.make();
}

struct Touched {
  uint32_t correlation;
  std::vector<uint64_t> words;
};
std::vector<Touched> touches() {
  std::vector<Touched> all;
  for (const auto& bytes : fake_client().records) {
    wire::Touch touch;
    if (bytes.size() < sizeof touch) continue;
    std::memcpy(&touch, bytes.data(), sizeof touch);
    if (touch.header.type != RecordType::kTouch) continue;
    CHECK(touch.header.bytes == sizeof touch + touch.word_count * 8);
    Touched next{touch.correlation, std::vector<uint64_t>(touch.word_count)};
    std::memcpy(next.words.data(), bytes.data() + sizeof touch, touch.word_count * 8);
    all.push_back(next);
  }
  return all;
}

cuLaunchKernel_params launch_of(FakeKernel& kernel, void** parameters, void** extra = nullptr) {
  cuLaunchKernel_params params{};
  params.f = reinterpret_cast<CUfunction>(&kernel);
  params.kernelParams = parameters;
  params.extra = extra;
  return params;
}

void pointers_among_the_arguments_are_published() {
  start_with_access();
  device_alloc(kSegment, 4 * kMiB);
  struct Operands {  // as a compiler lays out what a kernel takes by value
    int count = 7;
    float* in = reinterpret_cast<float*>(kSegment + 512);
    double scale = 1.0;
    float* out = reinterpret_cast<float*>(kSegment + 2 * kMiB);
    void* none = nullptr;
  } operands;
  uint64_t first = kSegment;
  int small = 5;
  uint64_t again = kSegment + 512;
  uint64_t host = 0x7ffd00001000;
  void* parameters[] = {&first, &operands, &small, &again, &host};
  FakeKernel kernel{false, {8, sizeof operands, 4, 8, 8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  const uint32_t correlation = Call{DRIVER(cuLaunchKernel), &params}.make();
  const auto all = touches();
  CHECK(all.size() == 1);
  CHECK(all[0].correlation == correlation);
  CHECK((all[0].words == std::vector<uint64_t>{kSegment, kSegment + 512, kSegment + 2 * kMiB}));
  // Behind its Launch, in the same ring.
  const auto& records = fake_client().records;
  const auto type = [&](size_t from_end) {
    return reinterpret_cast<const wire::Header*>(records[records.size() - from_end].data())->type;
  };
  CHECK(type(2) == RecordType::kLaunch && type(1) == RecordType::kTouch);
  CHECK(fake_client().meta["cuda.access"] == "recording");
  CHECK(fake_client().losses.empty());
}

void a_launch_through_the_runtime_is_read_in_the_call_that_it_makes() {
  start_with_access();
  device_alloc(kSegment, 4 * kMiB);
  uint64_t first = kSegment + 64;
  void* parameters[] = {&first};
  FakeKernel kernel{true, {8}};  // a CUkernel
  const cuLaunchKernel_params plain = launch_of(kernel, parameters);
  const cuLaunchKernelEx_params extended{nullptr, plain.f, parameters, nullptr};
  const cudaLaunchKernel_v7000_params outer{};
  const cudaLaunchKernelExC_v11060_params outer_extended{};
  uint32_t correlation = g_next_correlation;
  Call{RUNTIME(cudaLaunchKernel_v7000), &outer, 0, 0,
       [&] {
         Call{DRIVER(cuLaunchKernel), &plain, 0, correlation}.make();
       }}
      .make();
  ++correlation;
  Call{RUNTIME(cudaLaunchKernelExC_v11060), &outer_extended, 0, 0,
       [&] {
         Call{DRIVER(cuLaunchKernelEx), &extended, 0, correlation}.make();
       }}
      .make();
  const auto all = touches();
  CHECK(all.size() == 2);
  CHECK(all[0].correlation == correlation - 1 && all[1].correlation == correlation);
  CHECK(all[0].words == std::vector<uint64_t>{first} && all[1].words == all[0].words);
  CHECK(fake_client().count(RecordType::kLaunch) == 2);  // one a call of the program
  CHECK(kernel.asked == 3);  // as a function: no; as a kernel: one parameter, then none
}

void arguments_in_one_buffer_are_read() {
  start_with_access();
  device_alloc(kSegment, 4 * kMiB);
  uint64_t buffer[] = {12, kSegment + 8, 0, kSegment + kMiB};
  size_t bytes = sizeof buffer;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                   CU_LAUNCH_PARAM_END};
  FakeKernel kernel{};
  const cuLaunchKernel_params params = launch_of(kernel, nullptr, extra);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  const auto all = touches();
  CHECK(all.size() == 1);
  CHECK((all[0].words == std::vector<uint64_t>{kSegment + 8, kSegment + kMiB}));
  CHECK(kernel.asked == 0);
}

void more_words_than_a_record_holds_go_on_in_the_next() {
  start_with_access();
  device_alloc(kSegment, 64 * kMiB);
  uint64_t words[100];
  for (size_t i = 0; i < 100; ++i) words[i] = kSegment + i * 512;
  void* parameters[] = {words};
  FakeKernel kernel{false, {sizeof words}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  const uint32_t correlation = Call{DRIVER(cuLaunchKernel), &params}.make();
  std::set<uint64_t> seen;
  for (const Touched& touch : touches()) {
    CHECK(touch.correlation == correlation);
    seen.insert(touch.words.begin(), touch.words.end());
  }
  CHECK((seen == std::set<uint64_t>(words, words + 100)));
}

void memory_of_every_kind_can_be_handed_to_a_kernel() {
  start_with_access();
  void* out = pointer(0x7e0000000000);
  const cudaHostAlloc_v3020_params pinned{&out, 4096, 0};
  Call{RUNTIME(cudaHostAlloc_v3020), &pinned}.make();
  out = pointer(0x7d0000000000);
  const cudaMallocManaged_v6000_params managed{&out, 4096, 1};
  Call{RUNTIME(cudaMallocManaged_v6000), &managed}.make();
  CUmemGenericAllocationHandle handle = 0x500;
  CUmemAllocationProp prop{};
  const cuMemCreate_params create{&handle, 2 * kMiB, &prop, 0};
  Call{DRIVER(cuMemCreate), &create}.make();
  const cuMemMap_params map{0x7c0000000000, 2 * kMiB, 0, 0x500, 0};
  Call{DRIVER(cuMemMap), &map}.make();
  CUarray array = reinterpret_cast<CUarray>(0x5555000000);  // a handle, on the program's heap
  CUDA_ARRAY_DESCRIPTOR layout{1024, 1024, CU_AD_FORMAT_FLOAT, 4};
  const cuArrayCreate_v2_params texture{&array, &layout};
  Call{DRIVER(cuArrayCreate_v2), &texture}.make();
  uint64_t words[] = {0x7e0000000010, 0x7d0000000010, 0x7c0000000010, 0x5555000010};
  void* parameters[] = {words};
  FakeKernel kernel{false, {sizeof words}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  const auto all = touches();
  CHECK(all.size() == 1);
  CHECK((all[0].words == std::vector<uint64_t>{words[0], words[1], words[2]}));
}

void kernels_that_the_driver_does_not_describe_are_counted() {
  start_with_access();
  device_alloc(kSegment, kMiB);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel huge{false, std::vector<size_t>(5000, 8)};
  const cuLaunchKernel_params unknown = launch_of(huge, parameters);
  Call{DRIVER(cuLaunchKernel), &unknown}.make();
  CHECK(fake_client().loss(wire::Loss::kKernelArgumentsUnknown) == 1);
  FakeKernel kernel{false, {8}};
  const cuLaunchKernel_params nothing = launch_of(kernel, nullptr);
  Call{DRIVER(cuLaunchKernel), &nothing}.make();
  CHECK(fake_client().loss(wire::Loss::kKernelArgumentsUnknown) == 2);
  void* null_parameter[] = {nullptr};  // the driver will refuse it; that is no reason to crash
  const cuLaunchKernel_params null = launch_of(kernel, null_parameter);
  Call{DRIVER(cuLaunchKernel), &null}.make();
  CHECK(touches().empty());
  FakeKernel plain{true, {}};
  const cuLaunchKernel_params empty = launch_of(plain, nullptr);
  Call{DRIVER(cuLaunchKernel), &empty}.make();
  const cuGraphLaunch_params graph{};
  Call{DRIVER(cuGraphLaunch), &graph}.make();
  CHECK(fake_client().loss(wire::Loss::kKernelArgumentsUnknown) == 2);
}

void a_handle_of_an_unloaded_module_is_asked_for_anew() {
  start_with_access();
  device_alloc(kSegment, kMiB);
  uint64_t words[] = {kSegment, kSegment + 8};
  void* parameters[] = {words, words + 1};
  FakeKernel kernel{false, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  kernel.parameter_bytes = {8, 8};
  Call{DRIVER(cuLaunchKernel), &params}.make();
  CHECK(touches().back().words.size() == 1);  // known
  CHECK(g_cupti->issue_resource(CUPTI_CBID_RESOURCE_MODULE_UNLOAD_STARTING));
  Call{DRIVER(cuLaunchKernel), &params}.make();
  CHECK(touches().back().words.size() == 2);
}

void accesses_that_are_not_wanted_cost_nothing() {
  start_with_access(false);
  device_alloc(kSegment, kMiB);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{false, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  CHECK(touches().empty() && kernel.asked == 0);
  CHECK(fake_client().count(RecordType::kLaunch) == 1);
  CHECK(fake_client().meta.count("cuda.access") == 0);
  CHECK(fake_client().losses.empty());
}

void a_driver_that_does_not_describe_kernels_is_told() {
  fake_client().arena->record_access = 1;  // and no driver is loaded
  open_fake_cupti();
  start_library();
  CHECK(fake_client().loss(wire::Loss::kAccessUnavailable) == 1);
  CHECK(fake_client().meta["cuda.access"].find("CUDA 12.4") != std::string::npos);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{false, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  CHECK(touches().empty() && fake_client().count(RecordType::kLaunch) == 1);
}

CUgraphNode node_of(uintptr_t number) { return reinterpret_cast<CUgraphNode>(number); }

void nodes_of_graphs_say_which_launch_made_them() {
  start_with_access();
  device_alloc(kSegment, kMiB);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{true, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  const cudaLaunchKernel_v7000_params outer{};
  // A launch in a stream capture makes a node.
  const uint32_t captured = g_next_correlation;
  Call{RUNTIME(cudaLaunchKernel_v7000), &outer, 0, 0,
       [&] {
         Call{DRIVER(cuLaunchKernel), &params, 0, captured,
              [] {
                CHECK(g_cupti->issue_graph_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, node_of(11),
                                                nullptr));
              }}
             .make();
       }}
      .make();
  // So does a call that adds one.
  CUDA_KERNEL_NODE_PARAMS node{};
  node.func = params.f;
  node.kernelParams = parameters;
  cuGraphAddKernelNode_v2_params add{};
  add.nodeParams = &node;
  const uint32_t added = Call{
      DRIVER(cuGraphAddKernelNode_v2), &add, 0, 0, [] {
        g_cupti->issue_graph_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, node_of(12), nullptr);
      }}.make();
  // Outside of both nodes are made by instantiating: only of copies it is told what they are.
  g_cupti->issue_graph_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, node_of(21), nullptr);
  g_cupti->issue_graph_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED, node_of(21), node_of(11));
  const auto all = fake_client().all<wire::GraphNode>(RecordType::kGraphNode);
  CHECK(all.size() == 3);
  CHECK(all[0].node == 11 && all[0].source == 0 && all[0].correlation == captured);
  CHECK(all[1].node == 12 && all[1].source == 0 && all[1].correlation == added);
  CHECK(all[2].node == 21 && all[2].source == 11 && all[2].correlation == 0);
  CHECK(touches().size() == 2 && touches()[1].correlation == added);
  CHECK(fake_client().count(RecordType::kLaunch) == 2);
}

// A kernel's record for a launch, as CUPTI brings it.
void deliver_kernel(uint32_t correlation) {
  CUpti_ActivityKernel9 record{};
  record.kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
  record.name = "k";
  record.start = 1;
  record.end = 2;
  record.correlationId = correlation;
  g_cupti->add_record(&record, sizeof record, true);
}

void outside_of_the_window_launches_and_their_records_go_no_further() {
  start_with_access();
  device_alloc(kSegment, kMiB);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{true, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  wire::ArenaHeader& arena = *fake_client().arena;
  const auto launch = [&](bool inside) {
    arena.window_begin_ns = inside ? 1 : UINT64_MAX;
    arena.window_end_ns = UINT64_MAX;
    const uint32_t correlation = Call{DRIVER(cuLaunchKernel), &params}.make();
    deliver_kernel(correlation);
    return correlation;
  };
  launch(false);
  const uint32_t first = launch(true);
  const uint32_t second = launch(true);
  launch(false);
  device_alloc(kSegment + kMiB, kMiB);  // is told of all the same
  g_at_the_end = [first, second] {
    CHECK(fake_client().count(RecordType::kDeviceAlloc) == 2);
    const auto launches = fake_client().all<wire::Launch>(RecordType::kLaunch);
    CHECK(launches.size() == 2 && launches[0].correlation == first);
    CHECK(touches().size() == 2 && touches()[1].correlation == second);
    const auto kernels = fake_client().all<wire::Kernel>(RecordType::kKernel);
    CHECK(kernels.size() == 2 && kernels[1].correlation == second);
    CHECK(fake_client().loss(wire::Loss::kKernelsOutsideWindow) == 2);
  };
  CHECK(g_cupti->issue_resource(CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING));
}

void a_captured_launch_outside_of_the_window_is_told_of() {
  start_with_access();
  device_alloc(kSegment, kMiB);
  fake_client().arena->window_begin_ns = UINT64_MAX;
  fake_client().arena->window_end_ns = UINT64_MAX;
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{true, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  const uint32_t captured = Call{
      DRIVER(cuLaunchKernel), &params, 0, 0, [] {
        CHECK(
            g_cupti->issue_graph_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, node_of(11), nullptr));
      }}.make();
  Call{DRIVER(cuLaunchKernel), &params}.make();
  const auto launches = fake_client().all<wire::Launch>(RecordType::kLaunch);
  CHECK(launches.size() == 1 && launches[0].correlation == captured);
  CHECK(touches().size() == 1 && touches()[0].words == std::vector<uint64_t>{kSegment});
  const auto nodes = fake_client().all<wire::GraphNode>(RecordType::kGraphNode);
  CHECK(nodes.size() == 1 && nodes[0].correlation == captured);
}

void mapped_memory_says_whose_it_is() {
  start_with_access();
  CUmemGenericAllocationHandle handle = 0x500;
  CUmemAllocationProp prop{};
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {}};
  const cuMemCreate_params create{&handle, 2 * kMiB, &prop, 0};
  Call{DRIVER(cuMemCreate), &create}.make();
  const cuMemMap_params map{kSegment, 2 * kMiB, 0, handle, 0};
  Call{DRIVER(cuMemMap), &map}.make();
  const cuMemMap_params imported{kSegment + 2 * kMiB, 2 * kMiB, 0, 0x900, 0};
  Call{DRIVER(cuMemMap), &imported}.make();
  const cuMemUnmap_params unmap{kSegment, 2 * kMiB};
  Call{DRIVER(cuMemUnmap), &unmap, 1}.make();  // fails
  CHECK(fake_client().count(RecordType::kDeviceUnmap) == 0);
  Call{DRIVER(cuMemUnmap), &unmap}.make();
  const auto maps = fake_client().all<wire::DeviceMap>(RecordType::kDeviceMap);
  CHECK(maps.size() == 1 && maps[0].address == kSegment && maps[0].size == 2 * kMiB &&
        maps[0].allocation == 0x500);
  const auto unmaps = fake_client().all<wire::DeviceMap>(RecordType::kDeviceUnmap);
  CHECK(unmaps.size() == 1 && unmaps[0].address == kSegment && unmaps[0].size == 2 * kMiB);
}

void with_cupti_12() {
  CHECK(dlopen(std::getenv("TIDEMARK_TEST_LIBCUDA"), RTLD_NOW) != nullptr);
  fake_client().arena->record_access = 1;
  open_fake_cupti();
  g_cupti->set_version(19);  // CUDA 12.0
  start_library();
  device_alloc(kSegment, kMiB);
  uint64_t word = kSegment;
  void* parameters[] = {&word};
  FakeKernel kernel{true, {8}};
  const cuLaunchKernel_params params = launch_of(kernel, parameters);
  Call{DRIVER(cuLaunchKernel), &params}.make();
  CHECK(touches().size() == 1 && touches()[0].words == std::vector<uint64_t>{kSegment});
}

const Scenario kScenarios[] = {
#define SCENARIO(name) \
  { #name, name }
    SCENARIO(pointers_among_the_arguments_are_published),
    SCENARIO(a_launch_through_the_runtime_is_read_in_the_call_that_it_makes),
    SCENARIO(arguments_in_one_buffer_are_read),
    SCENARIO(more_words_than_a_record_holds_go_on_in_the_next),
    SCENARIO(memory_of_every_kind_can_be_handed_to_a_kernel),
    SCENARIO(kernels_that_the_driver_does_not_describe_are_counted),
    SCENARIO(a_handle_of_an_unloaded_module_is_asked_for_anew),
    SCENARIO(accesses_that_are_not_wanted_cost_nothing),
    SCENARIO(a_driver_that_does_not_describe_kernels_is_told),
    SCENARIO(nodes_of_graphs_say_which_launch_made_them),
    SCENARIO(outside_of_the_window_launches_and_their_records_go_no_further),
    SCENARIO(a_captured_launch_outside_of_the_window_is_told_of),
    SCENARIO(mapped_memory_says_whose_it_is),
    SCENARIO(with_cupti_12),
};

}  // namespace

int main(int argc, char** argv) { return run_scenario(kScenarios, argc, argv); }
