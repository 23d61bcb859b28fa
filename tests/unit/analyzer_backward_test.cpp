// Blocks of PyTorch's backward pass and the operations of forward that they belong to: stacks read,
// sequences aligned, passes made by hand.
#include <gtest/gtest.h>

#include "../../analyzer/backward/align.h"
#include "../../analyzer/backward/autograd_stack.h"
#include "fake_reader.h"
#include "tidemark/analyzer/backward.h"

namespace tidemark::analyzer {
namespace {

using tests::FakeReader;
using trace::AllocationId;
using trace::StackId;
using Kind = AutogradStack::Kind;

constexpr Series kPool{trace::Layer::kPool, trace::Space::kDevice, 0};

trace::Frame native(std::string function) {
  trace::Frame frame;
  frame.function = std::move(function);
  frame.module = "libtorch_cpu.so";
  return frame;
}

trace::Frame python(std::string function, int line) {
  trace::Frame frame;
  frame.kind = trace::FrameKind::kPython;
  frame.function = std::move(function);
  frame.file = "model.py";
  frame.line = line;
  return frame;
}

std::vector<trace::Frame> operation(const std::string& name, int line) {
  return {native("at::detail::empty_cuda(c10::ArrayRef<long>)"),
          native("torch::autograd::VariableType::(anonymous namespace)::" + name + "(at::Tensor)"),
          native("at::_ops::" + name + "::call(at::Tensor const&)"), python("Model.forward", line),
          python("train", 1)};
}

std::vector<trace::Frame> node(const std::string& name, const std::string& within = "mm") {
  return {native("at::_ops::" + within + "::call(at::Tensor const&)"),
          native("torch::autograd::generated::" + name + "::apply(std::vector<at::Tensor>&&)"),
          native("torch::autograd::Engine::evaluate_function(std::shared_ptr<GraphTask>&)"),
          native("torch::autograd::Engine::thread_main(std::shared_ptr<GraphTask> const&)")};
}

std::vector<trace::Frame> engine() {
  return {native("at::_ops::sum_dim_IntList::call(at::Tensor const&)"),
          native("torch::autograd::Engine::evaluate_function(std::shared_ptr<GraphTask>&)")};
}

// A recording of one process with a pool on one device. Each call is 10 ns after the one before.
class Recording {
 public:
  FakeReader reader;

  Recording() {
    trace::Process process;
    process.id = trace::ProcessId{1};
    reader.process_rows = {process};
  }

  StackId stack(std::vector<trace::Frame> frames) {
    const StackId id{static_cast<int64_t>(reader.stacks.size()) + 1};
    reader.stacks[id] = std::move(frames);
    return id;
  }
  AllocationId block(StackId stack, trace::Layer layer = trace::Layer::kPool) {
    trace::Allocation row;
    row.id = AllocationId{static_cast<int64_t>(reader.allocation_rows.size()) + 1};
    row.process = trace::ProcessId{1};
    row.thread = trace::ThreadId{1};
    row.layer = layer;
    row.space = layer == trace::Layer::kPool ? trace::Space::kDevice : trace::Space::kHost;
    row.device = layer == trace::Layer::kPool ? int16_t{0} : trace::kNoDevice;
    row.size = 512;
    row.alloc_ns = now_ += 10;
    row.alloc_stack = stack;
    reader.allocation_rows.push_back(row);
    return row.id;
  }
  void kernel(StackId stack, const std::vector<AllocationId>& blocks) {
    trace::Kernel row;
    row.id = static_cast<int64_t>(reader.kernel_rows.size()) + 1;
    row.process = trace::ProcessId{1};
    row.device = 0;
    row.correlation = static_cast<uint32_t>(row.id);
    row.start_ns = now_ + 1000;  // the device is behind
    row.stack = stack;
    reader.kernel_rows.push_back(row);
    for (const AllocationId block : blocks) reader.access_rows.push_back({row.id, block});
  }

  // "line evidence" of a block of backward; "": nothing is known.
  std::string said(AllocationId id) const {
    const auto origins = find_backward_origins(reader, kPool);
    EXPECT_TRUE(origins) << origins.error().message;
    const BackwardOrigin* origin = origins->find(id);
    if (origin == nullptr) return "";
    for (const trace::Frame& frame : origin->frames(reader)) {
      if (frame.kind != trace::FrameKind::kPython) continue;
      return std::to_string(frame.line) + " " + to_string(origin->evidence);
    }
    return "no line";
  }

 private:
  int64_t now_ = 0;
};

TEST(AutogradStack, an_operation_is_named_by_what_records_the_node) {
  const AutogradStack stack = autograd_stack(operation("add_Tensor", 7));
  EXPECT_EQ(stack.kind, Kind::kOperation);
  EXPECT_EQ(stack.operations, std::vector<std::string>{"add_Tensor"});
}

TEST(AutogradStack, without_symbols_every_operation_on_the_way_may_be_it) {
  std::vector<trace::Frame> frames = {
      native("at::_ops::addmm::call(at::Tensor const&)"), native(""),
      native("at::_ops::linear::call(at::Tensor const&)"), python("Model.forward", 7)};
  EXPECT_EQ(autograd_stack(frames).operations, (std::vector<std::string>{"linear", "addmm"}));
}

TEST(AutogradStack, a_node_is_the_innermost_and_the_engine_has_none) {
  EXPECT_EQ(autograd_stack(node("AddmmBackward0")).node, "AddmmBackward0");
  EXPECT_EQ(autograd_stack(engine()).kind, Kind::kEngine);
  const std::vector<trace::Frame> leaf = {
      native("torch::autograd::AccumulateGrad::apply(std::vector<at::Tensor>&&)")};
  EXPECT_TRUE(autograd_stack(leaf).leaf);
}

TEST(AutogradStack, what_is_recomputed_in_backward_has_a_line_of_its_own) {
  std::vector<trace::Frame> frames = operation("mm", 7);
  for (const trace::Frame& frame : node("MulBackward0")) frames.push_back(frame);
  EXPECT_EQ(autograd_stack(frames).kind, Kind::kNone);
}

TEST(AutogradStack, on_the_calling_thread_the_line_of_backward_is_no_operation) {
  std::vector<trace::Frame> frames = node("MulBackward0");
  frames.push_back(python("Tensor.backward", 500));
  EXPECT_EQ(autograd_stack(frames).kind, Kind::kNode);
}

TEST(AutogradStack, names_of_operations_and_nodes) {
  EXPECT_TRUE(makes_node("addmm", "AddmmBackward0"));
  EXPECT_TRUE(makes_node("add__Tensor", "AddBackward0"));
  EXPECT_TRUE(makes_node("nll_loss_forward", "NllLossBackward0"));
  EXPECT_TRUE(makes_node("_scaled_dot_product_efficient_attention",
                         "ScaledDotProductEfficientAttentionBackward0"));
  EXPECT_TRUE(makes_node("max_pool2d_with_indices", "MaxPool2DWithIndicesBackward0"));
  EXPECT_FALSE(makes_node("addmm", "AddBackward0"));
  EXPECT_FALSE(makes_node("mul_Tensor", "MmBackward0"));
  EXPECT_FALSE(makes_node("add_Tensor", "torch::autograd::AccumulateGrad"));
}

struct Sequences {
  std::vector<int32_t> nodes;
  std::vector<int32_t> operations;
  std::vector<std::pair<int32_t, int32_t>> shared = {};
  bool first_of_equals = false;
  std::vector<int32_t> aligned() const {
    const std::vector<std::vector<int32_t>> makes = {{0}, {1}, {2}};  // each its own kind of node
    return align({nodes, operations, makes, shared, first_of_equals});
  }
};

using Numbers = std::vector<int32_t>;

TEST(Align, backward_is_forward_reversed) {
  EXPECT_EQ((Sequences{{2, 1, 0}, {0, 1, 2}}.aligned()), (Numbers{2, 1, 0}));
}

TEST(Align, a_node_without_an_operation_and_an_operation_without_a_node_are_left_out) {
  EXPECT_EQ((Sequences{{2, 1, 0}, {0, 0, 2}}.aligned()), (Numbers{2, kNoOperation, 1}));
}

TEST(Align, among_equals_the_one_with_a_block_in_common) {
  EXPECT_EQ((Sequences{{0}, {0, 0, 0}}.aligned()), (Numbers{2}));
  EXPECT_EQ((Sequences{{0}, {0, 0, 0}, {{0, 1}}}.aligned()), (Numbers{1}));
  EXPECT_EQ((Sequences{{0}, {0, 0, 0}, {}, true}.aligned()), (Numbers{0}));
}

TEST(Align, nodes_that_follow_each_other_may_be_of_one_line) {
  EXPECT_EQ((Sequences{{1, 0, 0, 2}, {2, 0, 1}}.aligned()), (Numbers{2, 1, 1, 0}));
}

TEST(Align, nothing_to_align) {
  EXPECT_EQ((Sequences{{}, {0}}.aligned()), Numbers{});
  EXPECT_EQ((Sequences{{0, 1}, {}}.aligned()), (Numbers{kNoOperation, kNoOperation}));
}

// linear (line 10), gelu (11), linear (12) of two alike; what a node's kernel reads says which.
TEST(BackwardOrigins, by_order_and_by_what_forward_saved) {
  Recording recording;
  const StackId first = recording.stack(operation("addmm", 10));
  const StackId gelu = recording.stack(operation("gelu", 11));
  const StackId second = recording.stack(operation("addmm", 12));
  const StackId of_linear = recording.stack(node("AddmmBackward0"));
  const StackId of_gelu = recording.stack(node("GeluBackward0"));
  const StackId bias = recording.stack(engine());
  const AllocationId a = recording.block(first);
  recording.kernel(first, {a});
  const AllocationId b = recording.block(gelu);
  recording.kernel(gelu, {a, b});
  const AllocationId c = recording.block(second);
  recording.kernel(second, {b, c});
  const AllocationId of_second = recording.block(of_linear);
  recording.kernel(of_linear, {b, of_second});
  const AllocationId bias_of_second = recording.block(bias);
  const AllocationId gelu_gradient = recording.block(of_gelu);
  const AllocationId of_first = recording.block(of_linear);
  EXPECT_EQ(recording.said(of_second), "12 saved_block");
  EXPECT_EQ(recording.said(bias_of_second), "12 saved_block");  // the engine, after the node
  EXPECT_EQ(recording.said(gelu_gradient), "11 order");
  EXPECT_EQ(recording.said(of_first), "10 order");
  EXPECT_EQ(recording.said(c), "");  // of forward
}

// relu_ works in place: only its kernel says that it was.
TEST(BackwardOrigins, an_operation_in_place_is_known_by_its_kernel) {
  Recording recording;
  const StackId convolution = recording.stack(operation("convolution", 10));
  const StackId relu = recording.stack(operation("relu_", 11));
  const AllocationId a = recording.block(convolution);
  recording.kernel(convolution, {a});
  recording.kernel(relu, {a});
  const AllocationId next = recording.block(convolution);
  recording.kernel(convolution, {a, next});
  const AllocationId gradient = recording.block(recording.stack(node("ConvolutionBackward0")));
  const AllocationId of_relu = recording.block(recording.stack(node("ReluBackward0")));
  EXPECT_EQ(recording.said(of_relu), "11 order");
  EXPECT_EQ(recording.said(gradient), "10 order");
}

// A split leaves nothing on the device: it lies between a call in line 10 and one in line 14.
TEST(BackwardOrigins, a_view_lies_between_its_neighbours) {
  Recording recording;
  std::vector<trace::Frame> called = operation("addmm", 3);
  called.insert(called.end() - 1, python("Block.forward", 10));
  std::vector<trace::Frame> later = operation("gelu", 5);
  later.insert(later.end() - 1, python("Block.forward", 14));
  recording.block(recording.stack(called));
  recording.block(recording.stack(later));
  recording.block(recording.stack(node("GeluBackward0")));
  const AllocationId split = recording.block(recording.stack(node("SplitBackward0")));
  recording.block(recording.stack(node("AddmmBackward0")));
  EXPECT_EQ(recording.said(split), "10 neighbours");
}

TEST(BackwardOrigins, a_view_is_found_on_the_heap) {
  Recording recording;
  recording.reader.meta_rows = {{"option_host", "full"}};
  recording.block(recording.stack(operation("addmm", 10)));
  recording.block(recording.stack(operation("split_Tensor", 12)), trace::Layer::kHeap);
  recording.block(recording.stack(operation("gelu", 14)));
  recording.block(recording.stack(node("GeluBackward0")));
  const AllocationId split = recording.block(recording.stack(node("SplitBackward0")));
  recording.block(recording.stack(node("AddmmBackward0")));
  EXPECT_EQ(recording.said(split), "12 order");
}

// Two losses: the second pass undoes what ran before the first.
TEST(BackwardOrigins, a_pass_without_a_forward_of_its_own_looks_further_back) {
  Recording recording;
  recording.block(recording.stack(operation("addmm", 10)));
  recording.block(recording.stack(operation("gelu", 11)));
  recording.block(recording.stack(node("GeluBackward0")));
  recording.block(recording.stack(operation("sum", 20)));
  const AllocationId gradient = recording.block(recording.stack(node("AddmmBackward0")));
  EXPECT_EQ(recording.said(gradient), "10 order");
}

TEST(BackwardOrigins, without_any_forward_nothing_is_known) {
  Recording recording;
  const AllocationId gradient = recording.block(recording.stack(node("AddmmBackward0")));
  const auto origins = find_backward_origins(recording.reader, kPool);
  ASSERT_TRUE(origins);
  EXPECT_EQ(origins->find(gradient), nullptr);
  EXPECT_EQ(origins->unknown_blocks, 1U);
  EXPECT_EQ(origins->unknown_bytes, 512U);
}

}  // namespace
}  // namespace tidemark::analyzer
