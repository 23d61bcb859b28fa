// What can be known of a process before it is touched, and whether it can be attached to. Reads
// /proc only. Parsing is separate so that it can be tested.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/trace/result.h"

namespace tidemark::collector {

struct MappedRange {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t offset = 0;
  uint64_t inode = 0;
  bool writable = false;
  bool executable = false;
  std::string path;  // "" for memory without a file; "[stack]" and the like as they stand
};
// The text of /proc/<pid>/maps; lines that are not understood are left out.
std::vector<MappedRange> parse_maps(std::string_view text);
std::vector<MappedRange> read_maps(int32_t pid);
// Null when nothing lies there.
const MappedRange* range_at(const std::vector<MappedRange>& maps, uint64_t address);

struct ProcessStatus {
  std::string name;
  char state = '?';
  int32_t thread_group = 0;
  int32_t tracer = 0;
  uint32_t user = 0;
  bool has_memory = false;    // kernel threads have none
  bool shadow_stack = false;  // return addresses are guarded by the processor
};
// The text of /proc/<pid>/status.
ProcessStatus parse_status(std::string_view text);

// A library as the process has it mapped.
struct MappedLibrary {
  std::string path;  // as the process knows it
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t inode = 0;
};
// By the start of its file name; `path` is empty when there is none.
MappedLibrary find_library(const std::vector<MappedRange>& maps, std::string_view file_name_start);

struct ProcessFacts {
  int32_t pid = 0;
  std::string name;
  std::string program;  // path
  std::string command;  // arguments separated by spaces
  std::vector<MappedRange> maps;
  MappedLibrary libc;
  MappedLibrary ours;  // libtidemark_preload.so, of an earlier recording
  bool has_cuda = false;
};
// Or ends just now: it may still be there for its parent to see.
bool has_ended(int32_t pid);
// Errors say what stands in the way, and what to do. `library` is what is to be loaded there.
[[nodiscard]] Result<ProcessFacts> examine_process(int32_t pid, const std::string& library);

// Why the system refused to let us trace `pid`. `scope` is the text of
// /proc/sys/kernel/yama/ptrace_scope, "" where there is none. Pure.
std::string explain_refusal(int32_t pid, int error, std::string_view scope);
std::string ptrace_scope();

}  // namespace tidemark::collector
