// Advice on how data lie in memory: many small blocks, blocks of which little is used, files that
// were read into buffers.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "code_line.h"
#include "techniques_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr uint64_t kLargeBlock = uint64_t{1} << 20;
// glibc's malloc keeps the size in front of each block.
constexpr uint64_t kHeader = 8;

// The process that held most of the heap at its own peak; nullptr: none is known.
const ProcessLine* largest_heap(const Report& report) {
  const ProcessLine* largest = nullptr;
  for (const ProcessLine& line : report.processes) {
    if (!line.memory.heap_peak) continue;
    if (largest == nullptr || line.memory.heap_peak->bytes > largest->memory.heap_peak->bytes) {
      largest = &line;
    }
  }
  return largest;
}

uint64_t untouched_bytes(const Report& report) {
  return report.accesses ? report.accesses->bytes - report.accesses->touched_bytes : 0;
}

void advise_on_structures(const TechniqueSearch& search) {
  const Report& report = search.report;
  TechniqueLine line;
  line.technique = Technique::kStructures;
  uint64_t whole = 0;
  line.command = "tidemark report FILE --format json";
  if (report.accesses) {
    line.why =
        fmt::format("Of {} in {} blocks of device memory {} were handed to no kernel, copy or set.",
                    format_bytes(report.accesses->bytes), format_count(report.accesses->blocks),
                    format_bytes(untouched_bytes(report)));
  }
  if (const ProcessLine* process = largest_heap(report)) {
    const LiveSet& heap = *process->memory.heap_peak;
    const uint64_t headers = heap.count * kHeader;
    if (!line.why.empty()) line.why += ' ';
    line.why += fmt::format(
        "At the peak of the heap {} lay in {} blocks, {} each; malloc's own {} B a block are {}.",
        format_bytes(heap.bytes), format_count(heap.count),
        format_bytes(heap.count == 0 ? 0 : heap.bytes / heap.count), kHeader,
        format_bytes(headers));
    line.beside_bytes = headers;
    whole = heap.bytes;
    line.change =
        "arrays in place of nodes (std::vector, numpy, an arena) at the lines that own the peak";
  }
  if (line.why.empty()) {
    line.why = fmt::format("Neither accesses of kernels nor the heap were recorded in {}.",
                           format_ns(report.span_ns));
  }
  search.add(std::move(line), whole);
}

// Words of a name, so that "thread" is not "read".
bool reads(std::string_view function) {
  constexpr std::array<std::string_view, 12> words = {
      "read",     "fread",   "pread",          "readinto",      "readall", "readlines",
      "fromfile", "loadtxt", "basic_ifstream", "basic_filebuf", "load",    "getdelim"};
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (size_t at = 0; at < function.size();) {
    size_t end = at;
    while (end < function.size() && letter(function[end])) ++end;
    std::string_view word = function.substr(at, end - at);
    while (word.starts_with('_')) word.remove_prefix(1);
    for (const std::string_view one : words) {
      if (word == one) return true;
      if (word.starts_with(one) && word.substr(one.size()).starts_with('_')) return true;
    }
    at = end + 1;
  }
  return false;
}

struct ReadBuffers {
  uint64_t bytes = 0;
  uint64_t count = 0;
  std::string where;  // of the largest
};

// Large blocks at the heap's peak that a function which reads asked for, or one that it was
// called by.
ReadBuffers read_buffers(const trace::Reader& reader, const LiveSet& heap) {
  ReadBuffers buffers;
  for (const LiveGroup& group : heap.groups) {
    if (group.count == 0 || group.bytes / group.count < kLargeBlock) continue;
    const auto frames = reader.frames(group.stack);
    const bool by_reading = std::ranges::any_of(frames, [](const trace::Frame& frame) {
      return frame.file.find("importlib") == std::string::npos && reads(frame.function);
    });
    if (!by_reading) continue;
    if (buffers.bytes == 0) buffers.where = code_line(frames).name;
    buffers.bytes += group.bytes;
    buffers.count += group.count;
  }
  return buffers;
}

void advise_on_mapping(const TechniqueSearch& search) {
  TechniqueLine line;
  line.technique = Technique::kMapping;
  line.command =
      "tidemark sql FILE \"select path, sum(mapped_bytes), max(resident_bytes) from mapping group "
      "by 1 order by 3 desc\"";
  uint64_t files = 0;
  uint64_t resident = 0;
  for (const ProcessLine& process : search.report.processes) {
    if (!process.memory.breakdown || process.memory.breakdown->rss_bytes < resident) continue;
    resident = process.memory.breakdown->rss_bytes;
    files = process.memory.breakdown->parts[static_cast<size_t>(MemoryPart::kFiles)];
  }
  const ProcessLine* process = largest_heap(search.report);
  const ReadBuffers buffers =
      process == nullptr ? ReadBuffers{} : read_buffers(search.reader, *process->memory.heap_peak);
  line.why = fmt::format(
      "{} of the heap's peak lay in {} blocks of 1 MiB and more that a function which reads asked "
      "for{}; {} of {} resident were pages of mapped files.",
      format_bytes(buffers.bytes), format_count(buffers.count),
      buffers.where.empty() ? "" : " (" + buffers.where + ")", format_bytes(files),
      format_bytes(resident));
  line.beside_bytes = buffers.bytes;
  line.change =
      "map the file (mmap, numpy.memmap, torch.load(mmap=True)): its pages are the system's to "
      "drop";
  search.add(std::move(line), process == nullptr ? 0 : process->memory.heap_peak->bytes);
}

}  // namespace

void advise_by_host(const TechniqueSearch& search) {
  advise_on_structures(search);
  advise_on_mapping(search);
}

}  // namespace tidemark::analyzer
