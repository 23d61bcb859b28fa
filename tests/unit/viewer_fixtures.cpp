#include "viewer_fixtures.h"

#include <algorithm>
#include <array>

#include "tidemark/trace/writer.h"

namespace tidemark::viewer::testing {
namespace {

using trace::Frame;
using trace::FrameKind;
using trace::Layer;
using trace::Space;
using trace::StackId;

constexpr int64_t kMilli = 1'000'000;
constexpr uint64_t kMiB = uint64_t{1} << 20;

Frame python(const char* function, const char* file, int line) {
  return {FrameKind::kPython, function, file, line, "", false};
}

Frame native(const char* function, const char* module, const char* file = "", int line = 0) {
  return {FrameKind::kNative, function, file, line, module, false};
}

constexpr const char* kC10 = "/opt/venv/lib/python3.11/site-packages/torch/lib/libc10_cuda.so";
constexpr const char* kTorch = "/opt/venv/lib/python3.11/site-packages/torch/lib/libtorch_cuda.so";
constexpr const char* kModel = "/src/gpt2/model.py";

// One training run; every helper appends to the trace and moves the clock.
class Training {
 public:
  MemoryTrace run() {
    processes();
    import_libraries();
    load_model();
    for (int step = 0; step < 10; ++step) train_step(step);
    finish();
    return std::move(trace_);
  }

 private:
  static constexpr int kBlocks = 12;

  void processes() {
    trace::Process trainer;
    trainer.id = kTrainer;
    trainer.pid = 4217;
    trainer.command = "python3 samples/pytorch/gpt2.py --batch 8 --steps 10 --context 1024";
    trace_.processes.push_back(trainer);
    trace_.path = "tidemark.python3.4217.db";
    for (int i = 1; i <= 5; ++i) {
      trace_.threads.push_back({trace::ThreadId{i}, kTrainer, 4216 + i, i == 1 ? "python3" : "pt"});
    }
  }

  StackId op_stack(const char* op, std::vector<Frame> callers) {
    std::vector<Frame> frames = {
        native("c10::cuda::CUDACachingAllocator::Native::NativeCachingAllocator::allocate(unsigned "
               "long)",
               kC10, "c10/cuda/CUDACachingAllocator.cpp", 3412),
        native("at::detail::empty_generic<c10::IntArrayRef>(c10::IntArrayRef, c10::Allocator*, "
               "c10::DispatchKeySet)",
               kTorch, "aten/src/ATen/EmptyTensor.cpp", 164),
        native(op, kTorch)};
    frames.insert(frames.end(), callers.begin(), callers.end());
    frames.push_back(python("train", "/src/gpt2/gpt2.py", 88));
    frames.push_back(python("<module>", "/src/gpt2/gpt2.py", 121));
    frames.push_back(native("_PyEval_EvalFrameDefault", "/usr/bin/python3.11"));
    frames.push_back(native("__libc_start_main", "/usr/lib/x86_64-linux-gnu/libc.so.6"));
    return trace_.stack(std::move(frames));
  }

  StackId block_stack(const char* op, const char* function, int line) {
    return op_stack(op, {python(function, kModel, line), python("Block.forward", kModel, 97),
                         python("GPT2.forward", kModel, 142)});
  }

  size_t pool(uint64_t bytes, StackId stack) {
    live_ += bytes;
    // The allocator's holes: it asks the driver before the last reserved byte is in use.
    const uint64_t wanted = live_ + live_ / 16;
    if (wanted > reserved_) {
      const uint64_t segment =
          std::max<uint64_t>(20 * kMiB, (wanted - reserved_ + 2 * kMiB) & ~(2 * kMiB - 1));
      trace_.allocate(Layer::kDriver, Space::kDevice, segment, now_, stack, "cudaMalloc");
      reserved_ += segment;
      trace_.reserved.push_back({kTrainer, 0, now_, reserved_});
    }
    return trace_.allocate(Layer::kPool, Space::kDevice, bytes, now_, stack, "c10");
  }

  void release(size_t block) {
    live_ -= trace_.allocations[block].size;
    trace_.free(block, now_);
  }

  void import_libraries() {
    const StackId map = trace_.stack({native("mmap64", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
                                      native("_dl_map_object", "/lib64/ld-linux-x86-64.so.2")});
    const StackId objects =
        trace_.stack({native("PyObject_Malloc", "/usr/bin/python3.11"),
                      python("_call_with_frames_removed", "<frozen importlib>", 241),
                      python("<module>", "/src/gpt2/gpt2.py", 4)});
    const StackId registry = trace_.stack(
        {native("operator new(unsigned long)", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"),
         native("c10::Dispatcher::registerDef(c10::FunctionSchema, std::string)", kTorch),
         python("<module>", "/src/gpt2/gpt2.py", 5)});
    for (int i = 0; i < 900; ++i) {
      now_ += kMilli * 2 + static_cast<int64_t>(random_() % 600'000);
      if (i % 12 == 0) {
        trace_.allocate(Layer::kOs, Space::kHost, (8 + random_() % 40) * kMiB, now_, map, "mmap");
      }
      const size_t block =
          trace_.allocate(Layer::kHeap, Space::kHost, kMiB / 4 + random_() % (2 * kMiB), now_,
                          i % 3 == 0 ? registry : objects, "malloc");
      if (random_() % 3 == 0) trace_.free(block, now_ + kMilli * 30);
    }
  }

  void load_model() {
    const StackId weights =
        op_stack("at::_ops::empty_strided::call(c10::SymIntArrayRef)",
                 {python("Module.to", "/opt/venv/torch/nn/modules/module.py", 1160)});
    const StackId pin =
        trace_.stack({native("cudaHostAlloc", "/usr/local/cuda/lib64/libcudart.so.12"),
                      native("at::CUDAHostAllocator::allocate(unsigned long)", kTorch),
                      python("pin_memory", "/opt/venv/torch/utils/data/_utils/pin_memory.py", 70)});
    trace_.allocate(Layer::kDriver, Space::kManaged, 96 * kMiB, now_, weights, "cudaMallocManaged");
    pool(147 * kMiB, weights);
    for (int block = 0; block < kBlocks; ++block) {
      now_ += 24 * kMilli;
      pool(9 * kMiB, weights);
      pool(18 * kMiB, weights);
    }
    now_ += 60 * kMilli;
    for (int i = 0; i < 2; ++i) {
      trace_.allocate(Layer::kDriver, Space::kPinned, 64 * kMiB, now_ += 5 * kMilli, pin,
                      "cudaHostAlloc");
    }
    now_ += 120 * kMilli;
  }

  void train_step(int step) {
    const StackId batch =
        trace_.stack({native("malloc", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
                      python("collate", "/opt/venv/torch/utils/data/_utils/collate.py", 212),
                      python("train", "/src/gpt2/gpt2.py", 79)});
    const StackId scores =
        block_stack("at::native::softmax_cuda(at::Tensor const&)", "Attention.forward", 61);
    const StackId projected =
        block_stack("at::_ops::addmm::call(at::Tensor const&)", "Attention.forward", 58);
    const StackId hidden =
        block_stack("at::native::gelu_cuda(at::Tensor const&)", "Mlp.forward", 78);
    const StackId normed =
        block_stack("at::native::layer_norm_cuda(at::Tensor const&)", "LayerNorm.forward", 23);
    const StackId logits =
        op_stack("at::native::log_softmax_cuda(at::Tensor const&)",
                 {python("cross_entropy", "/opt/venv/torch/nn/functional.py", 3053),
                  python("GPT2.loss", kModel, 160)});
    const StackId gradient =
        op_stack("torch::autograd::AccumulateGrad::apply(std::vector<at::Tensor>&&)",
                 {python("Tensor.backward", "/opt/venv/torch/_tensor.py", 525)});
    const StackId moments =
        op_stack("at::native::zeros_like(at::Tensor const&)",
                 {python("Adam._init_group", "/opt/venv/torch/optim/adam.py", 158)});

    const size_t tokens =
        trace_.allocate(Layer::kHeap, Space::kHost, 24 * kMiB, now_, batch, "malloc");
    std::vector<std::vector<size_t>> saved;
    for (int block = 0; block < kBlocks; ++block) {  // forward
      std::vector<size_t> mine;
      mine.push_back(pool(24 * kMiB, normed));
      now_ += 2 * kMilli;
      mine.push_back(pool(72 * kMiB, projected));
      now_ += 2 * kMilli;
      const size_t scratch = pool(192 * kMiB, scores);
      mine.push_back(pool(192 * kMiB, scores));
      now_ += 3 * kMilli;
      release(scratch);
      mine.push_back(pool(96 * kMiB, hidden));
      now_ += 2 * kMilli;
      saved.push_back(std::move(mine));
    }
    const size_t output = pool(1570 * kMiB, logits);
    now_ += 6 * kMilli;
    const size_t loss = pool(1570 * kMiB, logits);
    now_ += 8 * kMilli;
    release(output);
    trace_.free(tokens, now_);
    while (!saved.empty()) {  // backward
      const size_t scratch = pool(192 * kMiB, gradient);
      now_ += 6 * kMilli;
      if (saved.size() == kBlocks) release(loss);
      if (step == 0) pool(saved.size() == 1 ? 174 * kMiB : 27 * kMiB, gradient);
      for (const size_t block : saved.back()) {
        now_ += 2 * kMilli;
        release(block);
      }
      saved.pop_back();
      release(scratch);
    }
    for (int i = 0; step == 0 && i < 2 * kBlocks; ++i) {
      now_ += 1 * kMilli;
      pool(39 * kMiB, moments);
    }
    now_ += 25 * kMilli;
  }

  void finish() {
    trace_.end_ns = now_ + 60 * kMilli;
    trace_.processes[0].end_ns = trace_.end_ns;
    trace_.processes[0].exit = 0;
  }

  MemoryTrace trace_;
  std::mt19937_64 random_{20240611};
  int64_t now_ = 40 * kMilli;
  uint64_t live_ = 0;
  uint64_t reserved_ = 0;
};

}  // namespace

MemoryTrace training_trace() { return Training().run(); }

MemoryTrace device_trace() {
  MemoryTrace made;
  made.path = "device.db";
  made.end_ns = 100 * kMilli;
  trace::Process process;
  process.id = kTrainer;
  process.pid = 77;
  process.command = "trainer";
  process.end_ns = made.end_ns;
  process.exit = 0;
  made.processes.push_back(process);
  made.threads.push_back({trace::ThreadId{1}, kTrainer, 77, "trainer"});
  made.meta = {{"cuda.device.0.total_memory_bytes", "1073741824"}, {"cuda.access", "recording"}};
  const StackId load = made.stack({python("load_weights", kModel, 12)});
  const StackId work = made.stack({python("Mlp.forward", kModel, 78)});
  const size_t weights =
      made.allocate(Layer::kPool, Space::kDevice, 64 * kMiB, 10 * kMilli, load, "c10");
  const size_t scratch =
      made.allocate(Layer::kPool, Space::kDevice, 256 * kMiB, 20 * kMilli, work, "c10");
  made.allocations[weights].address = 0x7000'0000'0000;
  made.allocations[scratch].address = 0x7000'0000'0000 + 64 * kMiB;
  made.free(scratch, 60 * kMilli);
  trace::Transfer copy;
  copy.id = 1;
  copy.process = kTrainer;
  copy.device = 0;
  copy.stream = 7;
  copy.bytes = 64 * kMiB;
  copy.dst_space = Space::kDevice;
  copy.start_ns = 12 * kMilli;
  copy.end_ns = 17 * kMilli;
  copy.stack = load;
  copy.dst_allocation = made.allocations[weights].id;
  made.transfers.push_back(copy);
  trace::Kernel kernel;
  kernel.id = 1;
  kernel.process = kTrainer;
  kernel.device = 0;
  kernel.stream = 7;
  kernel.name = made.intern("void gemm<float>(float const*, float*)");
  kernel.start_ns = 30 * kMilli;
  kernel.end_ns = 35 * kMilli;
  kernel.stack = work;
  made.kernels.push_back(kernel);
  kernel.id = 2;
  kernel.name = made.intern("relu(float*)");
  kernel.start_ns = 40 * kMilli;
  kernel.end_ns = 45 * kMilli;
  made.kernels.push_back(kernel);
  made.accesses = {{1, made.allocations[weights].id},
                   {1, made.allocations[scratch].id},
                   {2, made.allocations[scratch].id}};
  trace::Marker range;
  range.id = trace::MarkerId{1};
  range.process = kTrainer;
  range.thread = trace::ThreadId{1};
  range.name = made.intern("step");
  range.start_ns = 18 * kMilli;
  range.end_ns = 62 * kMilli;
  made.markers.push_back(range);
  range.id = trace::MarkerId{2};
  range.name = made.intern("forward");
  range.start_ns = 28 * kMilli;
  range.end_ns = 48 * kMilli;
  made.markers.push_back(range);
  trace::OutOfMemory full;
  full.process = kTrainer;
  full.device = 0;
  full.layer = Layer::kPool;
  full.time_ns = 70 * kMilli;
  full.requested_bytes = 1024 * kMiB;
  made.out_of_memory.push_back(full);
  return made;
}

trace::StringId MemoryTrace::intern(const std::string& text) {
  const auto found = std::find(texts.begin(), texts.end(), text);
  const auto index = found - texts.begin();
  if (found == texts.end()) texts.push_back(text);
  return trace::StringId{index};
}

trace::StackId MemoryTrace::stack(std::vector<Frame> innermost_first) {
  const auto found = std::find(stacks.begin(), stacks.end(), innermost_first);
  if (found != stacks.end()) return StackId{found - stacks.begin()};
  stacks.push_back(std::move(innermost_first));
  return StackId{static_cast<int64_t>(stacks.size()) - 1};
}

size_t MemoryTrace::allocate(Layer layer, Space space, uint64_t size, int64_t time_ns,
                             StackId stack, const std::string& api) {
  trace::Allocation row;
  row.id = trace::AllocationId{static_cast<int64_t>(allocations.size()) + 1};
  row.process = kTrainer;
  row.thread = trace::ThreadId{1};
  row.layer = layer;
  row.space = space;
  row.device = space == Space::kDevice ? int16_t{0} : trace::kNoDevice;
  row.address = 0x7f00'0000'0000 + (static_cast<uint64_t>(allocations.size()) << 21);
  row.size = size;
  row.alloc_ns = time_ns;
  row.alloc_stack = stack;
  row.api = intern(api);
  allocations.push_back(row);
  return allocations.size() - 1;
}

MemoryTrace two_ranks_trace() {
  MemoryTrace made;
  made.path = "ranks.db";
  made.end_ns = 100 * kMilli;
  for (int rank = 0; rank < 2; ++rank) {
    trace::Process process;
    process.id = trace::ProcessId{rank + 1};
    process.pid = 500 + rank;
    process.rank = rank;
    process.command = "python3 train.py";
    process.end_ns = made.end_ns;
    process.exit = 0;
    made.processes.push_back(process);
    made.threads.push_back({trace::ThreadId{rank + 1}, process.id, process.pid, "main"});
    const StackId stack = made.stack({python(rank == 0 ? "first" : "second", kModel, 3)});
    const size_t block = made.allocate(Layer::kPool, Space::kDevice, (rank == 0 ? 64 : 32) * kMiB,
                                       (10 + rank) * kMilli, stack, "c10");
    made.allocations[block].process = process.id;
    trace::Kernel kernel;
    kernel.id = rank + 1;
    kernel.process = process.id;
    kernel.device = 0;
    kernel.stream = 7;
    kernel.name = made.intern("gemm");
    kernel.start_ns = (20 + rank) * kMilli;
    kernel.end_ns = kernel.start_ns + kMilli;
    made.kernels.push_back(kernel);
    made.accesses.push_back({kernel.id, made.allocations[block].id});
  }
  return made;
}

Result<void> write_trace(const MemoryTrace& from, const std::string& path) {
  auto created = trace::Writer::create(path);
  if (!created) return tl::unexpected(created.error());
  trace::Writer& writer = **created;
  for (const trace::Process& process : from.processes) {
    const trace::ProcessId id = writer.add_process(process);
    if (process.end_ns != trace::kNever) writer.end_process(id, process.end_ns, process.exit);
  }
  for (const trace::Thread& thread : from.threads) {
    writer.add_thread(thread.process, thread.tid, thread.name);
  }
  std::vector<StackId> stacks = {StackId{}};
  for (size_t i = 1; i < from.stacks.size(); ++i) {
    stacks.push_back(writer.add_framed_stack(kTrainer, from.stacks[i]));
  }
  for (trace::Allocation row : from.allocations) {
    row.api = writer.intern(from.texts[static_cast<size_t>(row.api)]);
    row.alloc_stack = stacks[static_cast<size_t>(row.alloc_stack)];
    const trace::AllocationId id = writer.add_allocation(row);
    if (row.free_ns != trace::kNever) writer.end_allocation(id, row.layer, row.free_ns, StackId{});
  }
  for (const trace::PoolReserved& sample : from.reserved) writer.add_pool_reserved(sample);
  for (const trace::Loss& loss : from.losses) writer.loss(loss.name, loss.severity, loss.count);
  return writer.finish();
}

const std::string& MemoryReader::text(trace::StringId id) const {
  const auto index = static_cast<size_t>(id);
  return index < trace_->texts.size() ? trace_->texts[index] : trace_->texts[0];
}

std::span<const Frame> MemoryReader::frames(StackId id) const {
  const auto index = static_cast<size_t>(id);
  return index < trace_->stacks.size() ? std::span<const Frame>(trace_->stacks[index])
                                       : std::span<const Frame>();
}

Result<void> MemoryReader::accesses(const trace::AccessFilter& filter,
                                    const Visit<trace::Access>& visit) const {
  std::vector<trace::Access> batch;
  for (const trace::Access& row : trace_->accesses) {
    if (row.kernel < filter.first_kernel || row.kernel > filter.last_kernel) continue;
    if (row.allocation < filter.first_allocation || row.allocation > filter.last_allocation) {
      continue;
    }
    batch.push_back(row);
  }
  if (!batch.empty()) visit(batch);
  return {};
}

Result<void> MemoryReader::allocations(const trace::AllocationFilter& filter,
                                       const Visit<trace::Allocation>& visit) const {
  std::vector<trace::Allocation> batch;
  for (const trace::Allocation& row : trace_->allocations) {
    if (filter.layer && row.layer != *filter.layer) continue;
    if (filter.space && row.space != *filter.space) continue;
    if (filter.device && row.device != *filter.device) continue;
    if (row.alloc_ns >= filter.end_ns || row.free_ns <= filter.begin_ns) continue;
    batch.push_back(row);
  }
  if (!batch.empty()) visit(batch);
  return {};
}

}  // namespace tidemark::viewer::testing
