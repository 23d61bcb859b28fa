// What the trace's tests share: a folder of their own, random rows, a whole random recording that
// is kept in memory beside the one that is written, and ways to read everything back.
#pragma once

#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tidemark/trace/reader.h"
#include "tidemark/trace/writer.h"

namespace tidemark::trace {

// A fresh folder, removed at the end.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

bool operator==(const Allocation& a, const Allocation& b);
bool operator==(const Transfer& a, const Transfer& b);
bool operator==(const Memset& a, const Memset& b);
bool operator==(const Kernel& a, const Kernel& b);
bool operator==(const Marker& a, const Marker& b);
bool operator==(const PoolReserved& a, const PoolReserved& b);
bool operator==(const OutOfMemory& a, const OutOfMemory& b);
void PrintTo(const Allocation& row, std::ostream* out);

// Writes random rows of all kinds and remembers what a reader must give.
class Recording {
 public:
  explicit Recording(uint64_t seed) : random_(seed) {}

  void add_random(Writer& writer, size_t events);  // flushes now and then
  void add_allocations(Writer& writer, size_t events, bool host_only);
  void name_stacks(Writer& writer);  // their frames, which the rows above do without
  void expect_equal(const Reader& reader) const;

  std::vector<Allocation> allocations;
  std::vector<Transfer> transfers;
  std::vector<Memset> memsets;
  std::vector<Kernel> kernels;
  std::vector<Access> accesses;
  std::vector<Marker> markers;
  std::vector<PoolReserved> pool;
  std::vector<OutOfMemory> oom;
  std::vector<RecordingWindow> windows;
  std::vector<DeviceMemory> device_memory;
  std::vector<DevicePower> power;
  std::vector<DriverPool> pools;
  std::vector<Migration> migrations;
  std::vector<ImportedMemory> imports;
  std::vector<ProcessMemory> memory;
  std::vector<Mapping> mappings;
  std::vector<HostTotal> totals;
  std::vector<HostCurvePoint> curve;
  std::vector<Process> processes;
  std::vector<Thread> threads;
  std::map<std::string, uint64_t> losses;
  std::map<StackId, std::vector<Frame>> stacks;
  std::map<StringId, std::string> texts;

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  int64_t time();
  StackId some_stack(Writer& writer);
  StringId some_text(Writer& writer);
  ProcessId some_process(Writer& writer);
  void add_other(Writer& writer);
  void free_or_revive(Writer& writer);

  std::mt19937_64 random_;
  // One address of each stack, which is named with all of its frames.
  std::vector<std::pair<StackId, AddressId>> unnamed_;
  std::vector<size_t> live_, freed_;
  int64_t now_ = 0;
};

std::vector<Allocation> all_allocations(const Reader& reader, const AllocationFilter& filter = {});
// Rows joined by '|', as sqlite3 prints them.
std::vector<std::string> ask(const Reader& reader, const std::string& sql);

struct CommandOutput {
  int status = 0;
  std::string text;  // stdout and stderr
};
CommandOutput run_command(const std::string& command);

std::string read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);

}  // namespace tidemark::trace
