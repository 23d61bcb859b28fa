// Facts about this machine and recording for the trace's `meta`. Keys have no dot: those with one
// come from targets.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tidemark/collector/recorder.h"

namespace tidemark::collector {

using Facts = std::vector<std::pair<std::string, std::string>>;
Facts machine_facts();
Facts option_facts(const RecordOptions& options);
// The value of `key` in /proc/cpuinfo and the like ("model name\t: Xeon").
std::string field_of(const std::string& text, const std::string& key);

}  // namespace tidemark::collector
