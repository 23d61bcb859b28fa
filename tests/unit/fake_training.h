// A training loop made by hand, as PyTorch leaves it in a trace: for the tests of what is read from
// one. Single-threaded.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fake_reader.h"
#include "tidemark/analyzer/usage.h"

// Names of its own: the analyzer's enumerations have some of these, too.
namespace tidemark::analyzer::training {

using tests::FakeReader;
using trace::AllocationId;
using trace::Layer;
using trace::Space;
using trace::StackId;

constexpr Series kPool{Layer::kPool, Space::kDevice, 0};

inline trace::Frame python(std::string function, std::string file, int line) {
  trace::Frame frame;
  frame.kind = trace::FrameKind::kPython;
  frame.function = std::move(function);
  frame.file = std::move(file);
  frame.line = line;
  return frame;
}

inline trace::Frame native(std::string function, std::string module) {
  trace::Frame frame;
  frame.function = std::move(function);
  frame.module = std::move(module);
  return frame;
}

constexpr StackId kParameters{1};
constexpr StackId kInputs{2};
constexpr StackId kFirstBlock{3};  // of two alike, from one line in a loop
constexpr StackId kSecondLine{4};
constexpr StackId kScratch{5};
constexpr StackId kBackward{6};
constexpr StackId kBackwardScratch{7};
constexpr StackId kMoments{8};
constexpr StackId kSetUpLate{9};

// Four iterations of a model with two blocks, as PyTorch runs them: one parameter, its gradient,
// a moment that the first step makes. Each begins with so many inputs; in
// `slow` of them a library takes something for each block on top.
class Training {
 public:
  FakeReader reader;
  std::vector<int64_t> iteration_begins;

  explicit Training(int inputs = 1, int slow = 0) {
    const trace::Frame torch = native("at::_ops::empty", "libtorch_cpu.so");
    const trace::Frame main = python("train", "train.py", 10);
    const trace::Frame model = python("Model.forward", "model.py", 20);
    const auto module = [&](int line) {
      return std::vector<trace::Frame>{torch, python("Block.forward", "model.py", line), model,
                                       main};
    };
    reader.stacks = {
        {kParameters, {torch, python("main", "train.py", 3)}},
        {kInputs, {torch, main}},
        {kFirstBlock, module(30)},
        {kSecondLine, module(31)},
        {kScratch, module(32)},
        {kSetUpLate, module(33)},
        {kBackward, {torch, native("torch::autograd::Engine::thread_main", "libtorch_cpu.so")}},
        {kBackwardScratch,
         {native("at::_ops::mm", "libtorch_cpu.so"),
          native("torch::autograd::Engine::thread_main", "libtorch_cpu.so")}},
        {kMoments, {torch, python("Adam.step", "/x/torch/optim/adam.py", 5), main}}};
    trace::Process process;
    process.id = trace::ProcessId{1};
    reader.process_rows = {process};
    add(kParameters, 4096, trace::kNever);
    for (int i = 0; i < 4; ++i) iterate(i == 0, inputs, i < slow);
    reader.end = now_ + 10;
  }

  [[nodiscard]] int64_t now() const { return now_; }

  AllocationId add(StackId stack, uint64_t size, int64_t lasts_ns) {
    trace::Allocation row;
    row.id = AllocationId{static_cast<int64_t>(reader.allocation_rows.size()) + 1};
    row.process = trace::ProcessId{1};
    row.layer = Layer::kPool;
    row.space = Space::kDevice;
    row.device = 0;
    row.address = next_address_;
    row.size = size;
    row.alloc_ns = now_;
    row.free_ns = lasts_ns == trace::kNever ? trace::kNever : now_ + lasts_ns;
    row.alloc_stack = stack;
    next_address_ += size;
    now_ += 10;
    reader.allocation_rows.push_back(row);
    return row.id;
  }

 private:
  void iterate(bool first, int inputs, bool slow) {
    iteration_begins.push_back(now_);
    for (int i = 1; i < inputs; ++i) add(kInputs, 100, 75);
    const AllocationId input = add(kInputs, 100, 75);
    trace::Transfer copy;
    copy.kind = trace::TransferKind::kHtoD;
    copy.start_ns = now_ - 5;
    copy.dst_allocation = input;
    reader.transfer_rows.push_back(copy);
    for (int block = 0; block < 2; ++block) {
      const int64_t until_backward = block == 0 ? 75 : 35;
      add(kFirstBlock, 1000, until_backward);
      add(kSecondLine, 2000, until_backward - 10);
      if (slow && block == 0) add(kSetUpLate, 50, 5);
      add(kScratch, 300, 5);
    }
    add(kBackwardScratch, 700, 5);
    add(kBackward, 4096, 95);
    now_ += 10;
    if (first) add(kMoments, 4096, trace::kNever);
    now_ += 100;
  }

  int64_t now_ = 1000;
  uint64_t next_address_ = 0x10000;
};

}  // namespace tidemark::analyzer::training
