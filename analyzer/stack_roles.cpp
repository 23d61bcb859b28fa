#include "stack_roles.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include "names.h"
#include "tidemark/analyzer/stack_view.h"

namespace tidemark::analyzer {
namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool holds_any(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return holds(text, part); });
}

// "a::(anonymous namespace)::Trainer::forward(float const*, int)" → "Trainer", "forward".
struct QualifiedName {
  std::string_view owner;
  std::string_view name;
};

QualifiedName split_name(std::string_view function) {
  size_t end = function.size();
  int angle = 0;
  for (size_t i = 0; i < function.size(); ++i) {
    if (function[i] == '<') ++angle;
    if (function[i] == '>') --angle;
    if (function[i] == '(' && angle == 0 && !function.substr(i).starts_with("(anonymous")) {
      end = i;
      break;
    }
  }
  const std::string_view path = function.substr(0, end);
  const auto last_part = [](std::string_view text) {
    int depth = 0;
    for (size_t i = text.size(); i-- > 0;) {
      if (text[i] == '>' || text[i] == ')') ++depth;
      if (text[i] == '<' || text[i] == '(') --depth;
      if (depth == 0 && (text[i] == ':' || text[i] == ' ' || text[i] == '.')) return i + 1;
    }
    return size_t{0};
  };
  const size_t name_at = last_part(path);
  std::string_view owner = path.substr(0, name_at);
  while (!owner.empty() && (owner.back() == ':' || owner.back() == '.')) owner.remove_suffix(1);
  const std::string_view name = path.substr(name_at);
  owner = owner.substr(last_part(owner));
  if (owner.starts_with("(")) owner = {};
  return {owner, name};
}

// ------------------------------------------------------------------------------- Python frames

bool python_optimizer(const trace::Frame& frame) {
  static constexpr std::array<std::string_view, 5> files = {"/torch/optim/", "/bitsandbytes/optim/",
                                                            "/apex/optimizers/", "/optax/",
                                                            "/deepspeed/ops/adam"};
  if (holds(frame.file, "/torch/optim/lr_scheduler") ||
      holds(frame.function, "profile_hook_step") || holds(frame.function, "_use_grad")) {
    return false;
  }
  return holds_any(frame.file, files);
}

bool python_backward(const trace::Frame& frame) {
  return holds(frame.file, "/torch/autograd/") || holds(frame.file, "/torch/_tensor.py")
             ? split_name(frame.function).name == "backward" ||
                   frame.function == "_engine_run_backward" || frame.function == "grad"
             : false;
}

bool python_module(const trace::Frame& frame) {
  const QualifiedName name = split_name(frame.function);
  return name.name == "forward" && !holds(frame.file, "/torch/autograd/") &&
         !holds(frame.file, "/torch/utils/checkpoint");
}

std::string module_name(const trace::Frame& frame) {
  const QualifiedName name = split_name(frame.function);
  if (!name.owner.empty()) return std::string(name.owner);
  const size_t slash = frame.file.rfind('/');  // Python before 3.11 tells no class
  std::string stem = slash == std::string::npos ? frame.file : frame.file.substr(slash + 1);
  if (stem.ends_with(".py")) stem.resize(stem.size() - 3);
  return stem;
}

// ------------------------------------------------------------------------------- native frames

bool torch_frame(const trace::Frame& frame) {
  return holds(frame.module, "libtorch") || holds(frame.module, "libc10");
}

bool autograd_frame(const trace::Frame& frame) {
  return frame.function.starts_with("torch::autograd::Engine::") ||
         frame.function.starts_with("torch::autograd::Node::operator()");
}

// What a program's own function is called: "backward", "optimize", "Adam::step".
std::optional<Phase> phase_of_name(const QualifiedName& name) {
  const std::string function = lower(name.name);
  const std::string owner = lower(name.owner);
  if (holds(function, "backward") || holds(function, "backprop")) return Phase::kBackward;
  if (holds(function, "forward")) return Phase::kForward;
  static constexpr std::array<std::string_view, 5> optimizers = {"optim", "adam", "sgd", "momentum",
                                                                 "rmsprop"};
  if (holds_any(owner, optimizers) &&
      (function == "step" || function == "update" || function == "apply")) {
    return Phase::kOptimizer;
  }
  if (function.starts_with("optimize") && !holds(function, "optimizer")) return Phase::kOptimizer;
  if (holds(function, "update_param") || holds(function, "update_weight") ||
      holds(function, "apply_gradient")) {
    return Phase::kOptimizer;
  }
  return std::nullopt;
}

void note_library(const trace::Frame& frame, StackRole& role) {
  static constexpr std::array<std::string_view, 5> communication = {"libnccl", "libmpi", "libgloo",
                                                                    "librccl", "libnvshmem"};
  static constexpr std::array<std::string_view, 4> workspace_modules = {
      "libcublas", "libcudnn", "libcusolver", "libcusparse"};
  static constexpr std::array<std::string_view, 4> workspace_functions = {
      "Workspace", "workspace", "cudnn_convolution", "parseChosenWorkspaceSize"};
  if (holds_any(frame.module, communication) || holds(frame.function, "ProcessGroupNCCL")) {
    role.communication = true;
  }
  if (holds_any(frame.module, workspace_modules)) role.workspace = true;
  if (holds(frame.function, "CUDABlas") || holds(frame.function, "cublas")) {
    role.workspace = role.workspace || holds_any(frame.function, workspace_functions);
  }
  if (frame.function.starts_with("at::cuda::getCurrentCUDABlasHandle")) role.workspace = true;
  if (holds(frame.function, "AccumulateGrad")) role.accumulates = true;
  if (torch_frame(frame)) role.framework = true;
}

// By what is printed of the frames, so that it holds over processes and recordings.
uint64_t identity_of(std::span<const trace::Frame> frames, bool python) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;
  uint64_t hash = frames.empty() ? 0 : 1;
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * odd + (hash >> 29); };
  for (const trace::Frame& frame : frames) {
    const FrameRole role = role_of(frame);
    if (role == FrameRole::kInternal || (python && role == FrameRole::kInterpreter)) continue;
    add(std::hash<std::string_view>{}(frame.function));
    add(std::hash<std::string_view>{}(frame.file));
    add(static_cast<uint64_t>(frame.line));
  }
  return hash;
}

// Where each module was called from: a second block of a model is called from where the first was.
void find_call_sites(std::span<const trace::Frame> innermost_first, bool python,
                     std::vector<ModuleCall>& outermost_first) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;
  uint64_t hash = 0;
  auto next = outermost_first.begin();
  for (size_t i = innermost_first.size(); i-- > 0 && next != outermost_first.end();) {
    const trace::Frame& frame = innermost_first[i];
    const bool own =
        python ? frame.kind == trace::FrameKind::kPython : role_of(frame) == FrameRole::kUser;
    if (!own) continue;
    if (next->function == frame.function && next->line == frame.line) (next++)->call_site = hash;
    const uint64_t value =
        std::hash<std::string_view>{}(frame.function) * 31 + static_cast<uint64_t>(frame.line);
    hash = (hash ^ value) * odd;
  }
}

}  // namespace

bool backward_thread(std::string_view name) { return name.starts_with("pt_autograd_"); }

StackRole role_of_stack(std::span<const trace::Frame> innermost_first) {
  StackRole role;
  bool forward = false;
  bool backward = false;
  bool optimizer = false;
  std::optional<Phase> named;  // the outermost of the program's own functions
  std::vector<ModuleCall> named_modules;
  bool python = false;
  for (const trace::Frame& frame : innermost_first) {
    if (frame.kind == trace::FrameKind::kPython) {
      python = true;
      // A closure runs forward and backward within the step: the inner one says what it is.
      if (python_optimizer(frame)) optimizer = optimizer || !(forward || backward);
      if (python_backward(frame)) backward = backward || !optimizer;
      if (python_module(frame)) {
        forward = forward || !(optimizer || backward);
        role.modules.push_back({module_name(frame), frame.function, frame.file, frame.line});
      }
      continue;
    }
    note_library(frame, role);
    if (autograd_frame(frame)) backward = backward || !optimizer;
    if (role_of(frame) != FrameRole::kUser) continue;
    const QualifiedName name = split_name(frame.function);
    const std::optional<Phase> phase = phase_of_name(name);
    if (!phase) continue;
    named = phase;
    if (*phase != Phase::kOptimizer && !name.owner.empty()) {
      named_modules.push_back({std::string(name.owner), frame.function, frame.file, frame.line});
    }
  }
  std::reverse(role.modules.begin(), role.modules.end());
  role.from_python = python;
  role.identity = identity_of(innermost_first, python);
  role.interpreter = python && !role.framework;
  if (optimizer) {
    role.phase = Phase::kOptimizer;
    role.sureness = Sureness::kSure;
  } else if (backward) {
    role.phase = Phase::kBackward;
    role.sureness = Sureness::kSure;
    role.recomputed = forward;
  } else if (forward) {
    role.phase = Phase::kForward;
    role.sureness = Sureness::kSure;
  } else if (!python && named) {
    role.phase = named;
    role.sureness = Sureness::kLikely;
  }
  if (role.modules.empty() && !python) {
    std::reverse(named_modules.begin(), named_modules.end());
    role.modules = std::move(named_modules);
  }
  find_call_sites(innermost_first, python, role.modules);
  return role;
}

}  // namespace tidemark::analyzer
