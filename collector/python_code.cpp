#include "python_code.h"

#include <span>

#include "check_record.h"
#include "python_lines.h"

namespace tidemark::collector {

void PythonCodes::add(const wire::PythonCode& record) {
  const auto [at, fresh] = codes_.try_emplace(record.key);
  if (!fresh) return;
  const char* text = tail_of(record);
  PythonCode& code = at->second;
  code.file.assign(text, record.file_bytes);
  code.function.assign(text + record.file_bytes, record.function_bytes);
  code.lines.assign(text + record.file_bytes + record.function_bytes, record.lines_bytes);
  code.first_line = static_cast<int32_t>(record.first_line);
  code.line_format = record.line_format;
}

trace::Frame PythonCodes::frame(uint64_t word) const {
  trace::Frame frame;
  frame.kind = trace::FrameKind::kPython;
  const auto found = codes_.find(wire::python_key(word));
  if (found == codes_.end()) return frame;
  const PythonCode& code = found->second;
  frame.function = code.function;
  frame.file = code.file;
  const uint32_t instruction = wire::python_instruction(word);
  if (instruction != wire::kPythonUnknownInstruction) {
    const std::span table(reinterpret_cast<const uint8_t*>(code.lines.data()), code.lines.size());
    frame.line = python_line(code.line_format, table, code.first_line, instruction);
    if (frame.line < 0) frame.line = 0;
  }
  return frame;
}

}  // namespace tidemark::collector
