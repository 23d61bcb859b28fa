// Writes the traces that the golden tests ask: make_fixtures FOLDER. Fixed data, no clock, so that
// the same build writes the same events. Provenance: made up here; no program was recorded.
//
//   gpu.db     a small training program: three layers of memory on a device, copies, kernels, a
//              pool, a child process, an out-of-memory event, losses
//   cpu.db     heap and mappings of one process, nothing lost
//   killed.db  what is in the file when the collector was killed
//   empty.db   a program that did nothing
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tidemark/trace/writer.h"

namespace {

using namespace tidemark::trace;  // NOLINT: a fixture names nearly all of it

constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kMiB = uint64_t{1} << 20;

std::unique_ptr<Writer> create(const std::filesystem::path& path) {
  auto writer = Writer::create(path);
  if (!writer) {
    std::fprintf(stderr, "%s\n", writer.error().message.c_str());
    std::exit(1);
  }
  return std::move(*writer);
}

void finish(Writer& writer) {
  if (const auto done = writer.finish(); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    std::exit(1);
  }
}

ProcessId add_process(Writer& writer, int32_t pid, ProcessId parent, const char* command,
                      int64_t start_ns) {
  Process process;
  process.pid = pid;
  process.parent = parent;
  process.command = command;
  process.start_ns = start_ns;
  return writer.add_process(process);
}

Frame native(const char* function, const char* file, int32_t line, const char* module) {
  return {FrameKind::kNative, function, file, line, module, false};
}

Frame python(const char* function, const char* file, int32_t line) {
  return {FrameKind::kPython, function, file, line, "", false};
}

const char* const kApp = "/src/trainer";
const char* const kLibc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
const char* const kTorch = "/venv/lib/python3.12/site-packages/torch/lib/libtorch_cpu.so";

std::vector<Frame> cpp_stack(const char* function, int32_t line) {
  return {native("operator new(unsigned long)", "", 0, "/usr/lib/libstdc++.so.6"),
          native("std::vector<float, std::allocator<float> >::vector(unsigned long)",
                 "/usr/include/c++/12/bits/stl_vector.h", 553, kApp),
          native(function, "/src/trainer.cpp", line, kApp),
          native("main", "/src/trainer.cpp", 210, kApp), native("__libc_start_main", "", 0, kLibc)};
}

std::vector<Frame> torch_stack(const char* function, int32_t line) {
  std::vector<Frame> frames = {native("c10::alloc(unsigned long)", "", 0, "/venv/libc10_cuda.so")};
  for (const char* name : {"at::empty_cuda()", "at::addmm(at::Tensor const&)", "at::linear()",
                           "torch::autograd::THPVariable_linear(_object*)"}) {
    frames.push_back(native(name, "", 0, kTorch));
  }
  frames.push_back(native("_PyEval_EvalFrameDefault", "", 0, "/usr/bin/python3.12"));
  frames.push_back(
      python("forward", "/venv/lib/python3.12/site-packages/torch/nn/modules/linear.py", 125));
  frames.push_back(python(function, "/src/train.py", line));
  frames.push_back(python("<module>", "/src/train.py", 90));
  return frames;
}

struct Block {
  ProcessId process;
  ThreadId thread;
  Layer layer;
  Space space;
  int16_t device;
  const char* api;
  StackId stack;
};

// Adds a lifetime; free_ns kNever leaves it open.
void add_block(Writer& writer, const Block& block, uint64_t address, uint64_t size,
               int64_t alloc_ns, int64_t free_ns) {
  Allocation row;
  row.process = block.process;
  row.thread = block.thread;
  row.layer = block.layer;
  row.space = block.space;
  row.device = block.device;
  row.address = address;
  row.size = size;
  row.alloc_ns = alloc_ns;
  row.alloc_stack = block.stack;
  row.api = writer.intern(block.api);
  const AllocationId id = writer.add_allocation(row);
  if (free_ns != kNever) writer.end_allocation(id, block.layer, free_ns, {});
}

void add_host(Writer& writer, ProcessId process, ThreadId thread) {
  const StackId weights = writer.add_framed_stack(process, cpp_stack("make_weights(int, int)", 31));
  const StackId batch = writer.add_framed_stack(
      process, cpp_stack("Loader<float>::next_batch(std::span<int const>)", 77));
  const Block big{process, thread, Layer::kHeap, Space::kHost, kNoDevice, "operator new", weights};
  const Block small{process, thread, Layer::kHeap, Space::kHost, kNoDevice, "malloc", batch};
  const Block map{process, thread, Layer::kOs, Space::kHost, kNoDevice, "mmap", {}};
  add_block(writer, map, 0x7f0000000000, 64 * kMiB, 5 * kMs, kNever);
  for (uint64_t i = 0; i < 4; ++i) {
    add_block(writer, big, 0x1000000 + i * 0x1000000, 3 * kMiB, 10 * kMs, kNever);
  }
  for (uint64_t i = 0; i < 20; ++i) {
    const int64_t begin = static_cast<int64_t>(20 + 10 * i) * kMs;
    add_block(writer, small, 0x9000000 + i * 0x1000, 100'000 + i, begin, begin + 25 * kMs);
  }
}

void add_operations(Writer& writer, ProcessId process) {
  Transfer copy;
  copy.process = process;
  copy.device = 0;
  for (int i = 0; i < 6; ++i) {
    copy.kind = i % 3 == 0 ? TransferKind::kDtoH : TransferKind::kHtoD;
    const Space host = i % 2 == 0 ? Space::kPinned : Space::kHost;
    copy.src_space = copy.kind == TransferKind::kHtoD ? host : Space::kDevice;
    copy.dst_space = copy.kind == TransferKind::kHtoD ? Space::kDevice : host;
    copy.bytes = static_cast<uint64_t>(i + 1) * kMiB;
    copy.start_ns = (40 + 5 * i) * kMs;
    copy.end_ns = copy.start_ns + (host == Space::kPinned ? 100'000 : 400'000);
    copy.correlation = static_cast<uint32_t>(100 + i);
    writer.add_transfer(copy);
  }
  Memset set;
  set.process = process;
  set.device = 0;
  set.bytes = 2 * kMiB;
  set.start_ns = 35 * kMs;
  set.end_ns = 35 * kMs + 4000;
  writer.add_memset(set);
  const char* const names[] = {
      "void gemm_kernel<float, 128, 64>(float const*, float const*, float*)",
      "void at::native::vectorized_elementwise_kernel<4, AddFunctor<float>>(int, AddFunctor)",
      "softmax_warp_forward"};
  for (int i = 0; i < 30; ++i) {
    Kernel kernel;
    kernel.process = process;
    kernel.device = 0;
    kernel.stream = 7;
    kernel.name = writer.intern(names[i % 3]);
    kernel.start_ns = (50 + 3 * i) * kMs;
    kernel.end_ns = kernel.start_ns + 1'000'000 / (1 + i % 3);
    kernel.correlation = static_cast<uint32_t>(200 + i);
    writer.add_kernel(kernel);
  }
}

void add_device(Writer& writer, ProcessId process, ThreadId thread) {
  const StackId forward = writer.add_framed_stack(process, torch_stack("Block.forward", 42));
  const StackId optimizer = writer.add_framed_stack(process, torch_stack("train_step", 66));
  const Block segment{process, thread, Layer::kDriver, Space::kDevice, 0, "cudaMalloc", forward};
  const Block activation{process, thread, Layer::kPool, Space::kDevice, 0, "c10", forward};
  const Block state{process, thread, Layer::kPool, Space::kDevice, 0, "c10", optimizer};
  const Block pinned{process,          thread, Layer::kDriver, Space::kPinned, kNoDevice,
                     "cudaMallocHost", {}};
  add_block(writer, pinned, 0x7e0000000000, 8 * kMiB, 30 * kMs, 260 * kMs);
  for (uint64_t i = 0; i < 2; ++i) {
    const int64_t begin = static_cast<int64_t>(40 + 60 * i) * kMs;
    add_block(writer, segment, 0x700000000 + i * 64 * kMiB, 20 * kMiB, begin, kNever);
    writer.add_pool_reserved({process, 0, begin, (i + 1) * 20 * kMiB});
  }
  for (uint64_t i = 0; i < 10; ++i) {
    const int64_t begin = static_cast<int64_t>(60 + i) * kMs;
    add_block(writer, activation, 0x700000000 + i * 2 * kMiB, 2 * kMiB, begin,
              static_cast<int64_t>(130 - i) * kMs);
  }
  add_block(writer, state, 0x704000000, 12 * kMiB, 105 * kMs, kNever);
  // Of the driver's count: the contexts' and code's share, and what a neighbour holds.
  writer.meta("cuda.device.0.pci_bus", "0000:1B:00.0");
  const StringId bus = writer.intern("0000:1b:00.0");
  writer.add_device_memory({ProcessId{}, bus, 110 * kMs, 700 * kMiB, 81'559 * kMiB});
  writer.add_device_memory({process, bus, 110 * kMs, 500 * kMiB, 0});
  writer.add_device_memory({ProcessId{}, bus, 200 * kMs, 690 * kMiB, 81'559 * kMiB});
  writer.add_device_power({bus, 10 * kMs, 70'000, 1'000'000});
  writer.add_device_power({bus, 135 * kMs, 412'000, 1'030'000});
  writer.add_device_power({bus, 260 * kMs, 290'000, 1'075'000});
  // The driver's pool of a library beside the framework, managed pages, a neighbour's block.
  writer.add_driver_pool({process, 0, 0xb00, 70 * kMs, 64 * kMiB, 60 * kMiB});
  writer.add_driver_pool({process, 0, 0xb00, 105 * kMs, 64 * kMiB, 24 * kMiB});
  writer.add_migration({0, process, MigrationKind::kHtoD, kNoDevice, 0, 0x7d0000000000, 2 * kMiB, 0,
                        80 * kMs, 80 * kMs + 41'000});
  writer.add_migration({0, process, MigrationKind::kGpuFault, 0, kNoDevice, 0x7d0000000000, 0, 5,
                        80 * kMs, 80 * kMs + 120'000});
  writer.add_import({ImportId{}, process, thread, 0, 0x7c0000000000, 3 * kMiB, 90 * kMs, 200 * kMs,
                     forward, writer.intern("cudaIpcOpenMemHandle")});
  OutOfMemory event;
  event.process = process;
  event.thread = thread;
  event.device = 0;
  event.layer = Layer::kPool;
  event.time_ns = 240 * kMs;
  event.requested_bytes = 90'000 * kMiB;
  event.allocated_bytes = 12 * kMiB;
  event.reserved_bytes = 40 * kMiB;
  event.stack = optimizer;
  writer.add_out_of_memory(event);
  add_operations(writer, process);
}

void write_gpu(const std::filesystem::path& path) {
  const auto writer = create(path);
  writer->meta("command", "python3 train.py --batch 8");
  const ProcessId process = add_process(*writer, 4711, {}, "python3 train.py --batch 8", 0);
  const ThreadId thread = writer->add_thread(process, 4711, "python3");
  writer->add_thread(process, 4720, "pt_autograd_0");
  add_host(*writer, process, thread);
  add_device(*writer, process, thread);
  const ProcessId child = add_process(*writer, 4730, process, "sh -c 'nvidia-smi'", 120 * kMs);
  const ThreadId child_thread = writer->add_thread(child, 4730, "sh");
  add_block(*writer, {child, child_thread, Layer::kHeap, Space::kHost, kNoDevice, "malloc", {}},
            0x55000, 4096, 125 * kMs, kNever);
  writer->add_marker({MarkerId{}, process, thread, writer->intern("train"),
                      writer->intern("step 1"), 50 * kMs, 140 * kMs});
  writer->end_process(child, 140 * kMs, 137);
  writer->end_process(process, 300 * kMs, 1);
  writer->loss("stacks_truncated", Severity::kInfo, 12);
  writer->loss("cupti_records_dropped", Severity::kDataLoss, 3);
  finish(*writer);
}

void write_cpu(const std::filesystem::path& path) {
  const auto writer = create(path);
  const ProcessId process = add_process(*writer, 99, {}, "./trainer", 0);
  add_host(*writer, process, writer->add_thread(process, 99, "trainer"));
  writer->end_process(process, 250 * kMs, 0);
  finish(*writer);
}

void write_killed(const std::filesystem::path& path) {
  const auto writer = create(path);
  const ProcessId process = add_process(*writer, 99, {}, "./trainer", 0);
  add_host(*writer, process, writer->add_thread(process, 99, "trainer"));
  if (const auto done = writer->flush(); !done) {
    std::fprintf(stderr, "%s\n", done.error().message.c_str());
    std::exit(1);
  }
  // Without finish() and without the destructor, as SIGKILL would. This must be the last trace.
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_fixtures FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  write_gpu(folder / "gpu.db");
  write_cpu(folder / "cpu.db");
  finish(*create(folder / "empty.db"));
  write_killed(folder / "killed.db");
}
