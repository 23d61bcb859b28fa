// How the driver's count of each device's memory reads.
#include <fmt/format.h>

#include <algorithm>

#include "render_parts.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

std::string parts(const DeviceMemoryLine& line) {
  TextTable table({{"bytes", TextTable::Align::kRight}, {"held by"}});
  const auto part = [&table](uint64_t bytes, const char* what) {
    if (bytes > 0) table.add({format_bytes(bytes), what});
  };
  const uint64_t pool = std::min(line.pool_bytes, line.allocated_bytes);
  part(pool, "the framework's pool");
  part(line.allocated_bytes - pool, "other allocations");
  part(line.idle_bytes, "the driver's memory pools, handed to nobody");
  part(line.unexplained_bytes(),
       line.recorded_bytes
           ? "contexts, code and libraries: no allocation shows it"
           : "contexts, code, libraries and other processes: no allocation shows it");
  part(line.others_bytes(), "other processes");
  return table.text();
}

const char* migration_text(trace::MigrationKind kind) {
  switch (kind) {
    case trace::MigrationKind::kHtoD:
      return "copied to a device";
    case trace::MigrationKind::kDtoH:
      return "copied to the host";
    case trace::MigrationKind::kDtoD:
      return "copied between devices";
    case trace::MigrationKind::kCpuFault:
      return "faults of the host";
    case trace::MigrationKind::kGpuFault:
      return "faults of a device, which waited";
    case trace::MigrationKind::kThrashing:
      return "wanted by several by turns";
    case trace::MigrationKind::kThrottling:
      return "one of these kept waiting";
    case trace::MigrationKind::kRemoteMap:
      return "mapped where they lay";
  }
  return "?";
}

}  // namespace

std::string device_memory_text(const Report& report) {
  std::string out;
  for (const DeviceMemoryLine& line : report.device_memory) {
    const std::string device =
        line.device == trace::kNoDevice ? "" : fmt::format("device:{}, ", line.device);
    out += fmt::format("\nDevice memory as the driver counts it, {}{}: {} of {}, at {}\n", device,
                       printable(line.bus), format_bytes(line.used_bytes),
                       format_bytes(line.total_bytes), format_ns(line.at_ns));
    out += parts(line);
  }
  return out;
}

std::string driver_memory_text(const Report& report) {
  std::string out;
  for (const DriverPoolLine& line : report.driver_pools) {
    out += fmt::format(
        "\nThe driver's memory pool{} on device:{}: held {} at most, at {}, of which {} were in "
        "use; in use at most {}\n",
        line.pools == 1 ? "" : fmt::format("s ({})", line.pools), line.device,
        format_bytes(line.peak_held_bytes), format_ns(line.peak_held_ns),
        format_bytes(line.used_then_bytes), format_bytes(line.peak_used_bytes));
  }
  if (!report.migrations.empty()) {
    out += "\nPages of managed memory\n";
    TextTable table({{"what"},
                     {"times", TextTable::Align::kRight},
                     {"bytes", TextTable::Align::kRight},
                     {"faults", TextTable::Align::kRight},
                     {"took", TextTable::Align::kRight}});
    for (const MigrationLine& line : report.migrations) {
      table.add({migration_text(line.kind), format_count(line.count),
                 line.bytes == 0 ? "" : format_bytes(line.bytes),
                 line.faults == 0 ? "" : format_count(line.faults),
                 line.duration_ns == 0 ? "" : format_ns(line.duration_ns)});
    }
    out += table.text();
  }
  for (const ImportLine& line : report.imports) {
    out += fmt::format(
        "\nMemory of other processes, opened through IPC on device:{}: {}, {} at most at once; it "
        "is theirs, and in no sum here\n",
        line.device, plural(line.count, "block", "blocks"),
        format_bytes(static_cast<uint64_t>(line.peak_bytes)));
    if (line.of_unknown_size != 0) {
      out += fmt::format("  the driver did not tell the size of {}\n",
                         plural(line.of_unknown_size, "block", "blocks"));
    }
    if (line.never_closed != 0) {
      out += fmt::format("  {} never closed\n", plural(line.never_closed, "was", "were"));
    }
  }
  return out;
}

std::string power_text(const Report& report) {
  std::string out;
  for (const PowerLine& line : report.power) {
    out += fmt::format("\nPower of device:{}, {}: {} on average", line.device, printable(line.bus),
                       format_watts(line.mean_mw));
    if (line.peak) {
      out += fmt::format(", {} at most, at {}", format_watts(line.peak->mw),
                         format_ns(line.peak->at_ns));
    }
    out += fmt::format("\n  {} in {}", format_joules(line.energy_mj),
                       format_ns(line.end_ns - line.begin_ns));
    if (line.iteration_mj) {
      out += fmt::format(", {} an iteration", format_joules(*line.iteration_mj));
    }
    out += fmt::format("; the whole board's, {}\n",
                       line.counted ? "by its own counter" : "summed from looks at its power");
  }
  return out;
}

// The smallest card that holds it with its air, and those that do not.
std::string fits_text(const Report& report) {
  std::string out;
  for (const FitLine& fit : report.fits) {
    const uint64_t needed = fit.needed_bytes();
    std::string smaller;
    const FitLine::Size* smallest = nullptr;
    for (const FitLine::Size& size : fit.sizes) {
      if (size.usable_bytes >= needed) {
        smallest = &size;
        break;
      }
      smaller += fmt::format("{}{}", smaller.empty() ? "" : ", ", size.gigabytes);
    }
    out += fmt::format("\ndevice:{} needed {}{}: ", fit.device, format_bytes(needed),
                       fit.beside_bytes ? "" : " and what its context takes");
    if (smallest == nullptr) {
      out += fmt::format("more than a card of {} GB has\n", fit.sizes.back().gigabytes);
      continue;
    }
    out += fmt::format("fits a card of {} GB, of which {} stay free", smallest->gigabytes,
                       format_share(smallest->usable_bytes - needed, smallest->usable_bytes));
    if (!smaller.empty()) out += fmt::format("; not one of {} GB", smaller);
    out += "\n";
  }
  return out;
}

}  // namespace tidemark::analyzer
