#include "tidemark/analyzer/stack_view.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>

#include "names.h"

namespace tidemark::analyzer {
namespace {

bool contains_any(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  });
}

// "void std::vector<int>::resize(unsigned long)" → "std::vector<int>::resize(unsigned long)":
// demangled template functions begin with their return type.
std::string_view without_return_type(std::string_view name) {
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '<') ++depth;
    if (c == '>') --depth;
    if (depth == 0 && c == '(') break;
    if (depth == 0 && c == ' ') begin = i + 1;
  }
  return name.substr(begin);
}

bool internal_module(std::string_view module) {
  static constexpr std::array<std::string_view, 20> prefixes = {
      "libtidemark_", "libc.so",     "libc-2",     "ld-linux",    "ld-2",
      "libstdc++",    "libgcc_s",    "libdl.so",   "libm.so",     "libpthread",
      "libc++",       "libjemalloc", "[vdso]",     "libtcmalloc", "libmimalloc",
      "libcupti.so",  "libcuda.so",  "libcudart.", "libnvidia-",  "libcudadebugger"};
  return starts_with_any(base_name(module), prefixes);
}

// libpython3.11.so.1.0, python3, python3.11.
bool interpreter_module(std::string_view module) {
  const std::string_view name = base_name(module);
  if (name.starts_with("libpython")) return true;
  return name.starts_with("python") &&
         name.find_first_not_of("0123456789.td", std::string_view("python").size()) ==
             std::string_view::npos;
}

bool internal_function(std::string_view function) {
  // Also what a static program or a header carries into the user's own module.
  static constexpr std::array<std::string_view, 17> names = {
      "malloc",         "calloc",        "realloc",  "reallocarray", "free",    "cfree",
      "posix_memalign", "aligned_alloc", "memalign", "valloc",       "pvalloc", "mmap",
      "mmap64",         "mremap",        "_start",   "clone",        "clone3"};
  static constexpr std::array<std::string_view, 14> prefixes = {
      "operator new", "operator delete", "std::",           "__gnu_cxx::",
      "__libc_",      "_int_malloc",     "__cxxabiv1::",    "_PyObject_Malloc",
      "PyMem_",       "_PyMem_",         "PyObject_Malloc", "PyObject_Calloc",
      "_PyEval_",     "start_thread"};
  // PyTorch's way from an operator to memory: dispatch, shape inference, the allocator. What stays
  // is the operator (at::native::…, at::_ops::…::call), its backward node, and what called it.
  static constexpr std::array<std::string_view, 14> torch_prefixes = {
      "c10::",
      "at::detail::",
      "at::native::empty",
      "at::empty",
      "at::_ops::empty",
      "at::(anonymous namespace)::",
      "at::meta::",
      "at::TensorIteratorBase::",
      "at::native::resize_",
      "torch::autograd::VariableType::",
      "torch::autograd::Engine::",
      "torch::autograd::python::PythonEngine::",
      "torch::autograd::Node::operator()",
      "torch::autograd::autogradNotImplementedFallback"};
  if (starts_with_any(without_return_type(function), torch_prefixes) ||
      function.find("::redispatch(") != std::string_view::npos) {
    return true;
  }
  if (std::find(names.begin(), names.end(), function) != names.end()) return true;
  return starts_with_any(function, prefixes) ||
         starts_with_any(without_return_type(function), prefixes);
}

bool library_module(std::string_view module) {
  static constexpr std::array<std::string_view, 12> names = {
      "libc10",      "libtorch",  "libcudnn", "libcublas", "libcufft", "libcusolver",
      "libcusparse", "libcurand", "libnccl",  "libnvrtc",  "libgomp",  "libomp"};
  static constexpr std::array<std::string_view, 5> folders = {"/site-packages/", "/dist-packages/",
                                                              "/usr/lib", "/lib/x86_64", "/lib64/"};
  return starts_with_any(base_name(module), names) || contains_any(module, folders);
}

// Of a library without symbols (Debian's PyTorch) every other frame has no name. One says which
// library it is, when no named one does; the others say nothing.
void hide_nameless(std::span<const trace::Frame> frames, std::vector<FrameRole>& roles) {
  std::unordered_set<std::string_view> told;
  for (const trace::Frame& frame : frames) {
    if (!frame.function.empty()) told.insert(frame.module);
  }
  for (size_t i = 0; i < frames.size(); ++i) {
    if (!frames[i].function.empty() || roles[i] != FrameRole::kLibrary) continue;
    if (!told.insert(frames[i].module).second) roles[i] = FrameRole::kInternal;
  }
}

}  // namespace

FrameRole role_of(const trace::Frame& frame) {
  if (frame.kind == trace::FrameKind::kPython) {
    static constexpr std::array<std::string_view, 4> folders = {
        "/site-packages/", "/dist-packages/", "/lib/python3", "/lib64/python3"};
    if (frame.file.starts_with("<frozen importlib")) return FrameRole::kInternal;
    const bool library = frame.file.starts_with("<frozen") || contains_any(frame.file, folders);
    return library ? FrameRole::kLibrary : FrameRole::kUser;
  }
  if (internal_module(frame.module) || internal_function(frame.function) ||
      frame.file.find("/include/c++/") != std::string::npos ||
      frame.file.ends_with("/cuda_runtime.h") ||  // cudaMalloc<T>, compiled into the program
      frame.file.ends_with("Objects/obmalloc.c")) {
    return FrameRole::kInternal;
  }
  if (interpreter_module(frame.module)) return FrameRole::kInterpreter;
  return library_module(frame.module) ? FrameRole::kLibrary : FrameRole::kUser;
}

StackView view_stack(std::span<const trace::Frame> innermost_first, size_t max_lines) {
  constexpr size_t inner_library_lines = 3;
  std::vector<FrameRole> roles;
  roles.reserve(innermost_first.size());
  for (const trace::Frame& frame : innermost_first) roles.push_back(role_of(frame));
  const bool has_python = std::any_of(
      innermost_first.begin(), innermost_first.end(),
      [](const trace::Frame& frame) { return frame.kind == trace::FrameKind::kPython; });
  std::replace(roles.begin(), roles.end(), FrameRole::kInterpreter,
               has_python ? FrameRole::kInternal : FrameRole::kLibrary);
  hide_nameless(innermost_first, roles);
  const bool all_internal = std::all_of(
      roles.begin(), roles.end(), [](FrameRole role) { return role == FrameRole::kInternal; });

  std::vector<bool> chosen(roles.size(), false);
  size_t count = 0;
  const auto choose = [&](auto wanted, size_t most) {
    for (size_t i = 0; i < roles.size() && most > 0 && count < max_lines; ++i) {
      if (chosen[i] || !wanted(i)) continue;
      chosen[i] = true;
      ++count;
      --most;
    }
  };
  const auto first_user =
      static_cast<size_t>(std::find(roles.begin(), roles.end(), FrameRole::kUser) - roles.begin());
  choose([&](size_t i) { return i < first_user && roles[i] == FrameRole::kLibrary; },
         inner_library_lines);
  choose([&](size_t i) { return roles[i] == FrameRole::kUser; }, max_lines);
  choose([&](size_t i) { return all_internal || roles[i] != FrameRole::kInternal; }, max_lines);

  StackView view;
  size_t hidden = 0;
  for (size_t i = 0; i < roles.size(); ++i) {
    if (!chosen[i]) {
      ++hidden;
      continue;
    }
    view.lines.push_back({innermost_first[i], roles[i], hidden});
    hidden = 0;
  }
  view.hidden_after = hidden;
  return view;
}

}  // namespace tidemark::analyzer
