#include "code_line.h"

#include "names.h"
#include "tidemark/analyzer/stack_view.h"
#include "tidemark/analyzer/text.h"

namespace tidemark::analyzer {
namespace {

CodeLine line_of(const trace::Frame& frame, bool user) {
  constexpr size_t name_width = 60;
  CodeLine line;
  line.user = user;
  line.file = frame.file;
  line.line = frame.line;
  std::string where;
  if (!frame.file.empty()) {
    where = base_name(frame.file);
    if (frame.line > 0) where += ":" + std::to_string(frame.line);
  }
  const std::string function = short_function(frame.function, name_width);
  line.name = where.empty() ? function : function.empty() ? where : where + " " + function;
  if (line.name.empty()) line.name = base_name(frame.module);
  return line;
}

}  // namespace

CodeLine code_line(std::span<const trace::Frame> innermost_first) {
  const trace::Frame* user = nullptr;  // without a line: CUDA's runtime, linked in, is one too
  const trace::Frame* library = nullptr;
  for (const trace::Frame& frame : innermost_first) {
    const FrameRole role = role_of(frame);
    const bool tells = !frame.function.empty() || !frame.file.empty();
    if (role == FrameRole::kUser && !frame.file.empty()) return line_of(frame, true);
    if (role == FrameRole::kUser && tells && user == nullptr) user = &frame;
    // "…::apply" of a node of the backward pass says more than the operator that it calls.
    const bool node = frame.function.find("torch::autograd::generated::") != std::string::npos;
    if (role == FrameRole::kLibrary && tells && (library == nullptr || node)) library = &frame;
  }
  if (user != nullptr) return line_of(*user, true);
  if (library != nullptr) return line_of(*library, false);
  for (const trace::Frame& frame : innermost_first) {
    if (!frame.function.empty()) return line_of(frame, false);
  }
  return {innermost_first.empty() ? "no stack" : "unknown code", "", 0, false, false};
}

}  // namespace tidemark::analyzer
