// How an out-of-memory event reads: the first thing in a report.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr size_t kOutOfMemoryLines = 5;
constexpr size_t kLiveStacks = 5;

std::string asked(const trace::OutOfMemory& event) {
  std::string out = fmt::format("  at {}: {} asked for", format_ns(event.time_ns),
                                format_bytes(event.requested_bytes));
  if (event.layer == trace::Layer::kDriver) out += " of the driver";
  if (event.device != trace::kNoDevice) out += fmt::format(" on device:{}", event.device);
  if (event.reserved_bytes > 0) {
    out += fmt::format("; the pool held {}, of which {} were in use",
                       format_bytes(event.reserved_bytes), format_bytes(event.allocated_bytes));
  }
  return out + '\n';
}

// What there was: of the pool in pieces, of the device as the driver says.
std::string room(const OutOfMemoryLine& line) {
  const trace::OutOfMemory& event = line.event;
  std::string out;
  if (line.largest_hole_bytes && event.reserved_bytes > event.allocated_bytes) {
    const uint64_t unused = event.reserved_bytes - event.allocated_bytes;
    out += fmt::format("    the pool's {} not in use lie in pieces of at most {}",
                       format_bytes(unused), format_bytes(*line.largest_hole_bytes));
    if (unused >= event.requested_bytes) out += ": in one piece they would have been enough";
    out += '\n';
  }
  if (line.device_free_bytes) {
    out += fmt::format("    the driver had {} free on the device",
                       format_bytes(*line.device_free_bytes));
    if (line.device_total_bytes) {
      out += fmt::format(", which has {}", format_bytes(*line.device_total_bytes));
    }
    out += '\n';
  }
  return out;
}

std::string live(const OutOfMemoryLine& line) {
  if (line.live.top.empty()) return "";
  return fmt::format("  live {} then: {} in {}\n",
                     line.live_layer == trace::Layer::kPool ? "in the pool" : "on the device",
                     format_bytes(line.live.bytes), plural(line.live.count, "block", "blocks")) +
         shares(line.live, kLiveStacks);
}

}  // namespace

std::string out_of_memory_text(const Report& report) {
  if (report.out_of_memory.empty()) return "";
  std::string out =
      fmt::format("\nOUT OF MEMORY: {}\n", plural(report.out_of_memory.size(), "time", "times"));
  const size_t shown = std::min(report.out_of_memory.size(), kOutOfMemoryLines);
  for (size_t i = 0; i < shown; ++i) {
    const OutOfMemoryLine& line = report.out_of_memory[i];
    out += asked(line.event) + room(line);
    if (!line.stack.lines.empty()) out += stack_lines(line.stack);
    out += live(line);
  }
  if (shown < report.out_of_memory.size()) {
    out += fmt::format("  … {} more: tidemark sql FILE 'select * from out_of_memory'\n",
                       report.out_of_memory.size() - shown);
  }
  return out;
}

}  // namespace tidemark::analyzer
