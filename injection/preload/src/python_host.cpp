// What injection/stack needs of a recorder to tell Python frames (stack/python.h).
#include <atomic>

#include "process.h"
#include "recorder.h"
#include "tidemark/stack/python.h"

namespace tidemark::preload {
namespace {

static_assert(stack::python::kWordBit == wire::kPythonWordBit &&
              stack::python::kInstructionBits == wire::kPythonInstructionBits &&
              stack::python::kKeyBits == wire::kPythonKeyBits);

bool publish_code(const stack::python::Code& code) {
  // Distinct from the hashes of stacks and names, which use all bits.
  const uint64_t seen_as = code.key * 0x9e3779b97f4a7c15ULL ^ 0x707974686f6eULL;
  if (g_process.seen.contains(seen_as)) return true;
  wire::PythonCode record{};
  record.header = {wire::RecordType::kPythonCode, 0, 0, now_ns()};
  record.key = code.key;
  record.first_line = code.first_line;
  record.line_format = code.line_format;
  record.file_bytes = code.file_bytes;
  record.function_bytes = code.function_bytes;
  record.lines_bytes = code.lines_bytes;
  const Part parts[] = {{code.file, code.file_bytes},
                        {code.function, code.function_bytes},
                        {code.lines, code.lines_bytes}};
  if (!publish_long(record, parts, 3)) return false;
  g_process.seen.insert(seen_as);
  return true;
}

stack::python::Finding g_finding{};
std::atomic<bool> g_found{false};

void report(const stack::python::Finding& finding) {
  g_finding = finding;
  g_found.store(true, std::memory_order_release);
  publish_meta("python.version", finding.version[0] != 0 ? finding.version : "unknown");
  publish_meta("python.stacks", finding.supported ? "yes" : finding.reason);
  if (!finding.supported) count_loss(wire::Loss::kPythonUnsupported);
}

}  // namespace

void connect_python() { stack::python::connect({publish_code, report}); }

void report_python_again() {
  if (g_found.load(std::memory_order_acquire) && g_process.take_python) report(g_finding);
}

}  // namespace tidemark::preload
