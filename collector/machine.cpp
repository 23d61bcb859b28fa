#include "machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proc.h"

namespace tidemark::collector {

std::string field_of(const std::string& text, const std::string& key) {
  size_t line = 0;
  while (line < text.size()) {
    const size_t end = std::min(text.find('\n', line), text.size());
    const size_t colon = text.find(':', line);
    if (colon < end) {
      const size_t last = text.find_last_not_of(" \t", colon - 1);
      if (text.compare(line, last + 1 - line, key) == 0) {
        const size_t first = text.find_first_not_of(" \t", colon + 1);
        return first < end ? text.substr(first, end - first) : "";
      }
    }
    line = end + 1;
  }
  return "";
}

Facts machine_facts() {
  Facts facts;
  utsname name{};
  if (uname(&name) == 0) {
    facts.emplace_back("hostname", name.nodename);
    facts.emplace_back("kernel", fmt::format("{} {}", name.sysname, name.release));
    facts.emplace_back("machine", name.machine);
  }
  const std::string model = field_of(read_small_file("/proc/cpuinfo"), "model name");
  if (!model.empty()) facts.emplace_back("cpu_model", model);
  facts.emplace_back("cpu_cores", fmt::to_string(sysconf(_SC_NPROCESSORS_ONLN)));
  facts.emplace_back("ram_bytes", fmt::to_string(static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                                                 static_cast<uint64_t>(sysconf(_SC_PAGESIZE))));
  return facts;
}

Facts option_facts(const RecordOptions& options) {
  std::string command;
  for (const std::string& argument : options.command) {
    if (!command.empty()) command += ' ';
    command += argument;
  }
  constexpr const char* kHosts[] = {"full", "aggregate", "off"};
  constexpr const char* kDevices[] = {"auto", "memory", "off"};
  constexpr const char* kStacks[] = {"all", "native", "none"};
  const std::string most =
      options.max_bytes > 0 ? std::to_string(options.max_bytes) : std::string("none");
  return {
      {"tidemark_version", TIDEMARK_VERSION},
      {"command", command},
      {"clock", "CLOCK_MONOTONIC"},
      {"option_host", kHosts[static_cast<size_t>(options.host)]},
      {"option_max_size_bytes", most},
      {"option_device", kDevices[static_cast<size_t>(options.device)]},
      {"option_stacks", kStacks[static_cast<size_t>(options.stacks)]},
      {"option_free_stacks", options.free_stacks ? "on" : "off"},
      {"option_on_full", options.on_full == RecordOptions::OnFull::kWait ? "wait" : "drop"},
      {"option_window", options.window_text.empty() ? "whole" : options.window_text},
      {"option_pools", options.pools == RecordOptions::Pools::kExpose ? "expose" : "as-they-are"}};
}

}  // namespace tidemark::collector
