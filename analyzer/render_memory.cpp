#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kProcesses = 6;
constexpr size_t kFiles = 5;
constexpr size_t kHeapStacks = 3;

const char* words_of(MemoryPart part) {
  switch (part) {
    case MemoryPart::kHeapLive:
      return "heap, live";
    case MemoryPart::kHeapInherited:
      return "heap, inherited from the process that forked it";
    case MemoryPart::kHeapSpare:
      return "heap, not live: freed or not handed out yet, kept by the allocator";
    case MemoryPart::kProgram:
      return "mapped by the program's own calls";
    case MemoryPart::kFiles:
      return "files";
    case MemoryPart::kShared:
      return "shared memory";
    case MemoryPart::kStacks:
      return "stacks";
    case MemoryPart::kStatic:
      return "static data (.bss)";
    case MemoryPart::kDevice:
      return "of drivers";
    case MemoryPart::kKernel:
      return "of the kernel (vdso)";
    case MemoryPart::kTidemark:
      return "Tidemark's own";
    case MemoryPart::kUnexplained:
      return "anonymous, asked for by no recorded call";
  }
  return "?";
}

std::string line_of(uint64_t bytes, uint64_t whole, std::string_view what) {
  return fmt::format("  {}  {}  {}\n", pad_left(format_share(bytes, whole), 7),
                     pad_left(format_bytes(bytes), 9), what);
}

std::string files_text(const std::vector<FileMemory>& files) {
  constexpr size_t path_width = 48;
  std::string out;
  uint64_t rest = 0;
  size_t more = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const FileMemory& file = files[i];
    if (i < kFiles && file.resident_bytes > 0) {
      out += fmt::format(
          "             {}  of {}  {}\n", pad_left(format_bytes(file.resident_bytes), 9),
          pad_left(format_bytes(file.mapped_bytes), 9), fit_path(printable(file.path), path_width));
    } else if (file.resident_bytes > 0) {
      rest += file.resident_bytes;
      ++more;
    }
  }
  if (more > 0) {
    out += fmt::format("             {}  in {}\n", pad_left(format_bytes(rest), 9),
                       plural(more, "more file", "more files"));
  }
  return out;
}

std::string breakdown_text(const MemoryBreakdown& breakdown) {
  std::string out;
  for (size_t i = 0; i < kMemoryParts; ++i) {
    const auto part = static_cast<MemoryPart>(i);
    const uint64_t bytes = breakdown.parts[i];
    // That nothing is unexplained is worth a line, too.
    if (bytes == 0 && part != MemoryPart::kUnexplained) continue;
    std::string what = words_of(part);
    if (part == MemoryPart::kHeapLive) {
      what += fmt::format(": {} of {}", plural(breakdown.heap_live_count, "block", "blocks"),
                          format_bytes(breakdown.heap_live_bytes));
      if (breakdown.heap_live_bytes > bytes) what += ", not all of it touched";
    }
    out += line_of(bytes, breakdown.rss_bytes, what);
    if (part == MemoryPart::kFiles) out += files_text(breakdown.files);
  }
  return out;
}

int64_t peak_of(const ProcessLine& line) {
  if (!line.memory.system) return 0;
  return std::max(line.memory.system->peak_rss_bytes, line.memory.system->kernel_peak_bytes);
}

std::string resident_text(const ProcessLine& line) {
  constexpr size_t command_width = 44;
  const ProcessMemoryUse& memory = line.memory;
  const std::string who = fmt::format("process {} {}", line.process.pid,
                                      fit(printable(line.process.command), command_width));
  if (!memory.breakdown) return "";
  const MemoryBreakdown& breakdown = *memory.breakdown;
  std::string out = fmt::format("\nResident, {}: {} at {}\n", who,
                                format_bytes(breakdown.rss_bytes), format_ns(breakdown.time_ns));
  std::string facts = fmt::format("  peak {}", bytes_text(peak_of(line)));
  facts += fmt::format(" · shared pages divided: {}", format_bytes(breakdown.pss_bytes));
  if (breakdown.swap_bytes > 0) {
    facts += fmt::format(" · swapped out: {}", format_bytes(breakdown.swap_bytes));
  }
  if (memory.system) {
    facts += fmt::format(
        " · page faults: {} minor, {} major",
        format_count(static_cast<uint64_t>(std::max<int64_t>(memory.system->minor_faults, 0))),
        format_count(static_cast<uint64_t>(std::max<int64_t>(memory.system->major_faults, 0))));
  }
  return out + facts + "\n" + breakdown_text(breakdown);
}

std::string heap_text(const ProcessLine& line) {
  const ProcessMemoryUse& memory = line.memory;
  if (!memory.heap_peak || memory.heap_peak->bytes == 0) return "";
  constexpr size_t command_width = 30;
  return fmt::format("\nHeap of process {} {} at its own peak: {} in {}, at {}\n", line.process.pid,
                     fit(printable(line.process.command), command_width),
                     format_bytes(memory.heap_peak->bytes),
                     plural(memory.heap_peak->count, "block", "blocks"),
                     format_ns(memory.heap_peak->time_ns)) +
         shares(line.heap_at_peak, kHeapStacks);
}

}  // namespace

bool any_resident(const Report& report) {
  return std::any_of(report.processes.begin(), report.processes.end(),
                     [](const ProcessLine& line) { return line.memory.system.has_value(); });
}

std::string peak_rss_text(const ProcessLine& line) {
  return line.memory.system ? bytes_text(peak_of(line)) : "";
}

std::string process_memory_text(const Report& report) {
  std::vector<const ProcessLine*> lines;
  for (const ProcessLine& line : report.processes) lines.push_back(&line);
  std::stable_sort(lines.begin(), lines.end(), [](const ProcessLine* a, const ProcessLine* b) {
    return peak_of(*a) > peak_of(*b);
  });
  const auto heaps = std::count_if(lines.begin(), lines.end(), [](const ProcessLine* line) {
    return line->memory.heap_peak.has_value();
  });
  std::string out;
  size_t shown = 0;
  size_t hidden = 0;
  for (const ProcessLine* line : lines) {
    if (!line->memory.breakdown && heaps < 2) continue;
    if (shown++ >= kProcesses) {
      ++hidden;
      continue;
    }
    out += resident_text(*line);
    // Of one process alone, "live at the peak" has said it.
    if (heaps > 1) out += heap_text(*line);
  }
  if (hidden > 0) {
    out += fmt::format("\n{} with smaller resident memory: tidemark report --format json\n",
                       plural(hidden, "more process", "more processes"));
  }
  return out;
}

}  // namespace tidemark::analyzer
