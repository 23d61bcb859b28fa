#include "autograd_stack.h"

#include <algorithm>
#include <cctype>
#include <functional>

namespace tidemark::analyzer {
namespace {

using Kind = AutogradStack::Kind;

// "torch::autograd::generated::AddmmBackward0::apply(…" → "AddmmBackward0"; "" of other functions.
std::string_view node_of(std::string_view function) {
  constexpr std::string_view space = "torch::autograd::";
  if (!function.starts_with(space)) return {};
  const size_t end = function.find("::apply(");
  if (end == std::string_view::npos) return {};
  std::string_view path = function.substr(0, end);
  int depth = 0;  // of "CppNode<vision::ops::Function>" the name is the whole
  size_t begin = 0;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    if (path[i] == '<') ++depth;
    if (path[i] == '>') --depth;
    if (depth == 0 && path[i] == ':' && path[i + 1] == ':') begin = i + 2;
  }
  return path.substr(begin);
}

bool engine(std::string_view function) {
  return function.starts_with("torch::autograd::Engine::evaluate_function") ||
         function.starts_with("torch::autograd::Engine::thread_main");
}

// The identifier behind `prefix` up to what ends it: "addmm".
std::string_view name_behind(std::string_view function, std::string_view prefix) {
  const size_t at = function.find(prefix);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = function.substr(at + prefix.size());
  const auto end = std::find_if(rest.begin(), rest.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_';
  });
  return rest.substr(0, static_cast<size_t>(end - rest.begin()));
}

// What records a node; only where the library has symbols for it.
std::string_view recorded_operation(std::string_view function) {
  if (!function.starts_with("torch::autograd::VariableType::") &&
      !function.starts_with("torch::ADInplaceOrView::")) {
    return {};
  }
  return name_behind(function, "(anonymous namespace)::");
}

std::string_view called_operation(std::string_view function) {
  return function.starts_with("at::_ops::") ? name_behind(function, "at::_ops::")
                                            : std::string_view();
}

void add_name(std::vector<std::string>& names, std::string_view name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
}

uint64_t python_identity(std::span<const trace::Frame> frames) {
  constexpr uint64_t odd = 0x9e3779b97f4a7c15;
  uint64_t hash = 1;
  for (const trace::Frame& frame : frames) {
    if (frame.kind != trace::FrameKind::kPython) continue;
    for (const uint64_t value :
         {uint64_t{std::hash<std::string_view>{}(frame.function)},
          uint64_t{std::hash<std::string_view>{}(frame.file)}, static_cast<uint64_t>(frame.line)}) {
      hash = (hash ^ value) * odd + (hash >> 29);
    }
  }
  return hash;
}

// Without "_" and in lower case, as the names of nodes are compared.
std::string plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != '_') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

}  // namespace

AutogradStack autograd_stack(std::span<const trace::Frame> innermost_first) {
  AutogradStack stack;
  std::string_view recorded;  // outermost
  std::vector<std::string_view> called;
  const bool in_engine =
      std::any_of(innermost_first.begin(), innermost_first.end(),
                  [](const trace::Frame& frame) { return engine(frame.function); });
  for (const trace::Frame& frame : innermost_first) {
    if (frame.kind == trace::FrameKind::kPython) {
      if (!in_engine) stack.kind = Kind::kOperation;
      break;
    }
    if (const std::string_view name = node_of(frame.function); !name.empty()) {
      stack.kind = Kind::kNode;
      stack.node = name;
      stack.leaf = name == "AccumulateGrad";
      return stack;
    }
    if (engine(frame.function)) {
      stack.kind = Kind::kEngine;
      return stack;
    }
    if (const auto name = recorded_operation(frame.function); !name.empty()) recorded = name;
    if (const auto name = called_operation(frame.function); !name.empty()) called.push_back(name);
  }
  if (stack.kind != Kind::kOperation) return stack;
  if (!recorded.empty()) {
    add_name(stack.operations, recorded);
  } else {
    for (auto name = called.rbegin(); name != called.rend(); ++name) {
      add_name(stack.operations, *name);
    }
  }
  if (stack.operations.empty()) stack.kind = Kind::kNone;
  stack.python = python_identity(innermost_first);
  return stack;
}

bool makes_node(std::string_view operation, std::string_view node) {
  const size_t backward = node.rfind("Backward");
  if (backward == std::string_view::npos || backward == 0) return false;
  const std::string wanted = plain(node.substr(0, backward));
  if (plain(operation) == wanted) return true;
  // The rest of the operation's name is an overload ("_Tensor") or what is done ("_forward").
  for (size_t end = operation.find('_', 1); end != std::string_view::npos;
       end = operation.find('_', end + 1)) {
    if (plain(operation.substr(0, end)) == wanted) return true;
  }
  return false;
}

}  // namespace tidemark::analyzer
