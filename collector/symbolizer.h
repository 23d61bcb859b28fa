// Gives every address of the recorded stacks its frames, when recording has ended: groups the
// addresses of all processes by file and names each file's addresses once, in parallel. What it
// costs depends on how much code was seen, not on how many stacks.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "losses.h"
#include "process_state.h"
#include "python_code.h"
#include "tidemark/trace/writer.h"

namespace tidemark::collector {

void symbolize(const std::vector<std::unique_ptr<ProcessState>>& processes,
               const PythonCodes& python_codes, trace::Writer& writer, Losses& losses,
               const std::function<void(uint64_t done, uint64_t total)>& progress);

}  // namespace tidemark::collector
