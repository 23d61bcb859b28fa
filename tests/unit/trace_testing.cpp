#include "trace_testing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <tuple>

namespace tidemark::trace {

TestFolder::TestFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "tidemark-trace-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::abort();
  path_ = name;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
  std::filesystem::remove_all(path_, ignored);
}

namespace {

auto fields(const Allocation& r) {
  return std::tie(r.id, r.process, r.thread, r.layer, r.space, r.device, r.address, r.size,
                  r.alloc_ns, r.free_ns, r.alloc_stack, r.free_stack, r.api, r.source);
}
auto fields(const Transfer& r) {
  return std::tie(r.id, r.process, r.device, r.stream, r.kind, r.bytes, r.src_space, r.dst_space,
                  r.src_address, r.dst_address, r.start_ns, r.end_ns, r.correlation, r.stack,
                  r.src_allocation, r.dst_allocation);
}
auto fields(const Memset& r) {
  return std::tie(r.id, r.process, r.device, r.stream, r.address, r.bytes, r.start_ns, r.end_ns,
                  r.correlation, r.stack, r.allocation);
}
auto fields(const Kernel& r) {
  return std::tie(r.id, r.process, r.device, r.stream, r.name, r.start_ns, r.end_ns, r.correlation,
                  r.graph, r.stack);
}
auto fields(const Marker& r) {
  return std::tie(r.id, r.process, r.thread, r.domain, r.name, r.start_ns, r.end_ns);
}
auto fields(const PoolReserved& r) {
  return std::tie(r.process, r.device, r.time_ns, r.reserved_bytes);
}
auto fields(const OutOfMemory& r) {
  return std::tie(r.process, r.thread, r.device, r.layer, r.time_ns, r.requested_bytes,
                  r.allocated_bytes, r.reserved_bytes, r.stack);
}

}  // namespace

bool operator==(const Allocation& a, const Allocation& b) { return fields(a) == fields(b); }
bool operator==(const Transfer& a, const Transfer& b) { return fields(a) == fields(b); }
bool operator==(const Memset& a, const Memset& b) { return fields(a) == fields(b); }
bool operator==(const Kernel& a, const Kernel& b) { return fields(a) == fields(b); }
bool operator==(const Marker& a, const Marker& b) { return fields(a) == fields(b); }
bool operator==(const PoolReserved& a, const PoolReserved& b) { return fields(a) == fields(b); }
bool operator==(const OutOfMemory& a, const OutOfMemory& b) { return fields(a) == fields(b); }

void PrintTo(const Allocation& row, std::ostream* out) {
  *out << fmt::format("#{} {} {} size {} at {:#x}, {}..{} stacks {} {}",
                      static_cast<int64_t>(row.id), to_string(row.layer), to_string(row.space),
                      row.size, row.address, row.alloc_ns, row.free_ns,
                      static_cast<int64_t>(row.alloc_stack), static_cast<int64_t>(row.free_stack));
}

int64_t Recording::time() { return now_ += static_cast<int64_t>(below(5000)); }

StringId Recording::some_text(Writer& writer) {
  if (below(8) == 0) return StringId{};
  if (!texts.empty() && below(100) != 0) return static_cast<StringId>(1 + below(texts.size()));
  const std::string text = fmt::format("text '{}' \xc3\xa9", below(200));
  const StringId id = writer.intern(text);
  texts[id] = text;
  return id;
}

StackId Recording::some_stack(Writer& writer) {
  if (below(10) == 0) return StackId{};
  if (stacks.size() >= 1000 || (!stacks.empty() && below(10) != 0)) {
    return static_cast<StackId>(1 + below(stacks.size()));
  }
  const ProcessId process = some_process(writer);
  StackNodeId node{};
  AddressId named{};
  for (size_t depth = 1 + below(30); depth > 0; --depth) {
    const AddressId address = writer.add_address(process, random_(), now_);
    if (named == AddressId{} || below(4) == 0) named = address;
    node = writer.add_stack_node(node, address);
  }
  const StackId id = writer.add_stack(process, node);
  unnamed_.emplace_back(id, named);
  std::vector<Frame>& frames = stacks[id];
  for (size_t depth = 1 + below(40); depth > 0; --depth) {
    frames.push_back({static_cast<FrameKind>(below(2)), fmt::format("f{}", below(50)),
                      below(3) == 0 ? "" : fmt::format("/src/{}.cpp", below(20)),
                      static_cast<int32_t>(below(400)), fmt::format("/lib/{}.so", below(5)),
                      below(4) == 0});
  }
  return id;
}

ProcessId Recording::some_process(Writer& writer) {
  if (!processes.empty() && (processes.size() >= 5 || below(100) != 0)) {
    return processes[below(processes.size())].id;
  }
  Process process;
  process.pid = static_cast<int32_t>(1000 + below(5000));
  process.parent = processes.empty() ? ProcessId{} : processes.back().id;
  process.command = "train --quote \"'\" ";
  process.start_ns = time();
  process.rank = static_cast<int32_t>(below(4)) - 1;
  process.id = writer.add_process(process);
  if (below(2) == 0) {
    process.end_ns = time();
    process.exit = static_cast<int32_t>(below(200));
    writer.end_process(process.id, process.end_ns, process.exit);
  }
  processes.push_back(process);
  Thread thread{{}, process.id, process.pid + 1, "worker"};
  thread.id = writer.add_thread(thread.process, thread.tid, "old name");
  writer.rename_thread(thread.id, thread.name);
  threads.push_back(thread);
  return process.id;
}

void Recording::free_or_revive(Writer& writer) {
  if (!freed_.empty() && below(30) == 0) {
    const size_t at = below(freed_.size());
    Allocation& row = allocations[freed_[at]];
    writer.revive_allocation(row.id, row.layer);
    row.free_ns = kNever;
    row.free_stack = StackId{};
    live_.push_back(freed_[at]);
    freed_[at] = freed_.back();
    freed_.pop_back();
    return;
  }
  // Mostly the young die, as in real programs; some die old.
  const size_t reach = below(20) == 0 ? live_.size() : std::min<size_t>(live_.size(), 50);
  const size_t at = live_.size() - 1 - below(reach);
  Allocation& row = allocations[live_[at]];
  row.free_ns = time();
  row.free_stack = some_stack(writer);
  writer.end_allocation(row.id, row.layer, row.free_ns, row.free_stack);
  freed_.push_back(live_[at]);
  live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(at));
}

void Recording::add_allocations(Writer& writer, size_t events, bool host_only) {
  for (size_t i = 0; i < events; ++i) {
    if (!live_.empty() && below(100) < 48) {
      free_or_revive(writer);
      continue;
    }
    Allocation row;
    row.process = some_process(writer);
    row.thread = threads[below(threads.size())].id;
    row.layer = static_cast<Layer>(host_only ? below(2) : below(4));
    row.space = host_only ? Space::kHost : static_cast<Space>(below(4));
    row.device = static_cast<int16_t>(static_cast<int>(below(4)) - 1);
    row.address = below(16) == 0 ? random_() : 0x7f0000000000 + below(1 << 20) * 16;
    row.size = below(16) == 0 ? random_() >> 1 : below(4096);
    row.alloc_ns = time();
    row.alloc_stack = some_stack(writer);
    row.api = some_text(writer);
    row.source = some_text(writer);
    row.id = writer.add_allocation(row);
    live_.push_back(allocations.size());
    allocations.push_back(row);
  }
}

void Recording::add_other(Writer& writer) {
  const ProcessId process = some_process(writer);
  const auto device = static_cast<int16_t>(static_cast<int>(below(4)) - 1);
  const int64_t start = time();
  const int64_t end = start + static_cast<int64_t>(below(100000));
  const auto stream = static_cast<uint32_t>(below(9));
  const auto correlation = static_cast<uint32_t>(random_());
  switch (below(13)) {
    case 0: {
      Transfer row{0,
                   process,
                   device,
                   stream,
                   static_cast<TransferKind>(below(5)),
                   random_() >> 2,
                   static_cast<Space>(below(4)),
                   static_cast<Space>(below(4)),
                   below(2) * 4096,
                   random_() >> 1,
                   start,
                   end,
                   correlation,
                   some_stack(writer),
                   static_cast<AllocationId>(below(3)),
                   static_cast<AllocationId>(below(1000))};
      writer.add_transfer(row);
      row.id = static_cast<int64_t>(transfers.size()) + 1;
      return transfers.push_back(row);
    }
    case 1: {
      Memset row{0,
                 process,
                 device,
                 stream,
                 random_() >> 1,
                 below(1 << 30),
                 start,
                 end,
                 correlation,
                 some_stack(writer),
                 static_cast<AllocationId>(below(3))};
      writer.add_memset(row);
      row.id = static_cast<int64_t>(memsets.size()) + 1;
      return memsets.push_back(row);
    }
    case 2: {
      Kernel row{0,
                 process,
                 device,
                 stream,
                 some_text(writer),
                 start,
                 end,
                 correlation,
                 static_cast<uint32_t>(below(3)),
                 some_stack(writer)};
      row.id = static_cast<int64_t>(kernels.size()) + 1;
      EXPECT_EQ(writer.add_kernel(row), row.id);
      std::vector<AllocationId> handed(below(5));
      for (AllocationId& id : handed) id = static_cast<AllocationId>(1 + below(1000));
      writer.add_accesses(row.id, handed);
      for (const AllocationId id : handed) accesses.push_back({row.id, id});
      return kernels.push_back(row);
    }
    case 3: {
      Marker row{MarkerId{},        process, threads.back().id,           some_text(writer),
                 some_text(writer), start,   below(4) == 0 ? kNever : end};
      if (below(2) == 0) {
        row.id = writer.add_marker(row);
      } else {
        // Ended later.
        Marker open = row;
        open.end_ns = kNever;
        row.id = writer.add_marker(open);
        if (row.end_ns != kNever) writer.end_marker(row.id, row.end_ns);
      }
      return markers.push_back(row);
    }
    case 4: {
      pool.push_back({process, device, start, below(1 << 30)});
      return writer.add_pool_reserved(pool.back());
    }
    case 5: {
      oom.push_back({process, threads.back().id, device, static_cast<Layer>(below(4)), start,
                     below(1 << 30), below(1 << 30), below(1 << 30), some_stack(writer)});
      return writer.add_out_of_memory(oom.back());
    }
    case 6: {
      memory.push_back({process, start, static_cast<int64_t>(below(1 << 30)), kNotMeasured, 5,
                        kNotMeasured, 6, 7, kNotMeasured, 8, 9, 10});
      return writer.add_process_memory(memory.back());
    }
    case 7: {
      const Mapping mapping{process,
                            start,
                            below(1 << 30),
                            below(1 << 30),
                            static_cast<MappingKind>(below(10)),
                            some_text(writer),
                            below(1 << 30),
                            1,
                            2,
                            3};
      mappings.push_back(mapping);
      return writer.add_mappings({&mapping, 1});
    }
    case 8: {
      totals.assign(1 + below(3), {process, Layer::kHeap, some_stack(writer), some_text(writer), 9,
                                   below(1 << 30) + 100, 8, 100, 3, 4, 5, 6, 7, 8});
      curve.assign(below(4), {process, Layer::kOs, start, below(1 << 30), 7});
      return writer.replace_host_totals(totals, curve);
    }
    case 10: {
      RecordingWindow row{WindowId{}, process, start, below(2) == 0 ? kNever : end};
      RecordingWindow open = row;
      open.end_ns = kNever;
      row.id = writer.add_window(open);
      if (row.end_ns != kNever) writer.end_window(row.id, row.end_ns);
      return windows.push_back(row);
    }
    case 9: {
      power.push_back({some_text(writer), start, static_cast<int64_t>(below(1 << 20)),
                       static_cast<int64_t>(below(5)) - 1});
      writer.add_device_power(power.back());
      device_memory.push_back({process, some_text(writer), start, below(1 << 30), below(3)});
      return writer.add_device_memory(device_memory.back());
    }
    case 11: {
      pools.push_back({process, device, below(1 << 30), start, below(1 << 30), below(1 << 30)});
      writer.add_driver_pool(pools.back());
      Migration moved{static_cast<int64_t>(migrations.size()) + 1,
                      process,
                      static_cast<MigrationKind>(below(8)),
                      device,
                      kNoDevice,
                      below(1 << 30),
                      below(1 << 20),
                      static_cast<uint32_t>(below(3)),
                      start,
                      end};
      migrations.push_back(moved);
      writer.add_migration(moved);
      ImportedMemory import{ImportId{},
                            process,
                            threads.back().id,
                            device,
                            below(1 << 30),
                            below(3),
                            start,
                            below(2) == 0 ? kNever : end,
                            some_stack(writer),
                            some_text(writer)};
      ImportedMemory open = import;
      open.close_ns = kNever;
      import.id = writer.add_import(open);
      if (import.close_ns != kNever) writer.end_import(import.id, import.close_ns);
      return imports.push_back(import);
    }
    default: {
      const std::string name = fmt::format("loss_{}", below(3));
      const uint64_t added = below(5);
      losses[name] += added;
      return writer.loss(name, Severity::kDataLoss, added);
    }
  }
}

void Recording::add_random(Writer& writer, size_t events) {
  for (size_t i = 0; i < events; ++i) {
    if (below(5) == 0) {
      add_other(writer);
    } else {
      add_allocations(writer, 1, false);
    }
    if (below(3000) == 0) {
      ASSERT_TRUE(writer.flush());
    }
  }
}

void Recording::name_stacks(Writer& writer) {
  for (const auto& [id, address] : unnamed_) {
    std::vector<FrameId> frames;
    for (const Frame& frame : stacks[id]) frames.push_back(writer.add_frame(frame));
    writer.name_address(address, frames, false);
  }
  unnamed_.clear();
}

void Recording::expect_equal(const Reader& reader) const {
  const auto rows_of = [](auto visit) {
    auto rows = visit();
    return rows;
  };
  const auto collect = [&](auto member, auto row) {
    std::vector<decltype(row)> rows;
    const auto result = (reader.*member)([&](std::span<const decltype(row)> batch) {
      rows.insert(rows.end(), batch.begin(), batch.end());
    });
    EXPECT_TRUE(result) << result.error().message;
    return rows;
  };
  EXPECT_TRUE(rows_of([&] { return all_allocations(reader); }) == allocations);
  EXPECT_TRUE(collect(&Reader::transfers, Transfer{}) == transfers);
  EXPECT_TRUE(collect(&Reader::memsets, Memset{}) == memsets);
  EXPECT_TRUE(collect(&Reader::kernels, Kernel{}) == kernels);
  std::vector<Access> handed;
  EXPECT_TRUE(reader.accesses({}, [&](std::span<const Access> batch) {
    handed.insert(handed.end(), batch.begin(), batch.end());
  }));
  EXPECT_TRUE(handed == accesses);
  EXPECT_TRUE(collect(&Reader::markers, Marker{}) == markers);
  EXPECT_TRUE(reader.pool_reserved().value() == pool);
  EXPECT_TRUE(reader.out_of_memory().value() == oom);
  EXPECT_TRUE(reader.windows().value() == windows);
  EXPECT_TRUE(reader.device_memory().value() == device_memory);
  EXPECT_TRUE(reader.device_power().value() == power);
  EXPECT_TRUE(reader.driver_pools().value() == pools);
  EXPECT_TRUE(collect(&Reader::migrations, Migration{}) == migrations);
  EXPECT_TRUE(reader.imports().value() == imports);
  EXPECT_TRUE(reader.process_memory().value() == memory);
  EXPECT_TRUE(reader.mappings().value() == mappings);
  EXPECT_TRUE(reader.host_totals().value() == totals);
  EXPECT_TRUE(reader.host_curve().value() == curve);
  for (const auto& [id, text] : texts) EXPECT_EQ(reader.text(id), text);
  for (const auto& [id, frames] : stacks) {
    const auto read = reader.frames(id);
    EXPECT_EQ(std::vector<Frame>(read.begin(), read.end()), frames);
  }
  ASSERT_EQ(reader.processes().size(), processes.size());
  for (size_t i = 0; i < processes.size(); ++i) {
    const Process& a = reader.processes()[i];
    const Process& b = processes[i];
    EXPECT_TRUE(std::tie(a.id, a.pid, a.parent, a.command, a.start_ns, a.end_ns, a.exit, a.rank) ==
                std::tie(b.id, b.pid, b.parent, b.command, b.start_ns, b.end_ns, b.exit, b.rank));
  }
  ASSERT_EQ(reader.threads().size(), threads.size());
  for (size_t i = 0; i < threads.size(); ++i) {
    const Thread& a = reader.threads()[i];
    const Thread& b = threads[i];
    EXPECT_TRUE(std::tie(a.id, a.process, a.tid, a.name) ==
                std::tie(b.id, b.process, b.tid, b.name));
  }
  std::map<std::string, uint64_t> read_losses;
  for (const Loss& loss : reader.losses()) read_losses[loss.name] = loss.count;
  EXPECT_EQ(read_losses, losses);
}

std::vector<Allocation> all_allocations(const Reader& reader, const AllocationFilter& filter) {
  std::vector<Allocation> rows;
  const auto result = reader.allocations(filter, [&](std::span<const Allocation> batch) {
    rows.insert(rows.end(), batch.begin(), batch.end());
  });
  EXPECT_TRUE(result) << result.error().message;
  return rows;
}

std::vector<std::string> ask(const Reader& reader, const std::string& sql) {
  std::vector<std::string> rows;
  const auto result = reader.query(
      sql, [](std::span<const std::string>) {},
      [&](std::span<const Cell> cells) {
        std::string row;
        for (const Cell& cell : cells) row += (row.empty() ? "" : "|") + cell.text;
        rows.push_back(row);
        return true;
      });
  if (!result) return {"error: " + result.error().message};
  return rows;
}

CommandOutput run_command(const std::string& command) {
  CommandOutput output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  char buffer[4096];
  for (size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    output.text.append(buffer, got);
  }
  output.status = WEXITSTATUS(pclose(pipe));
  return output;
}

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace tidemark::trace
