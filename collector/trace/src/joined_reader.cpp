#include "joined_reader.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

#include "joined_part.h"

namespace tidemark::trace {
namespace {

namespace fs = std::filesystem;

std::string lower_case(std::string text) {  // as buses are told
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

int64_t number(const std::string& text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

class JoinedReader final : public Reader {
 public:
  JoinedReader(std::string path, std::vector<Part> parts, std::unique_ptr<Devices> devices);

  const std::string& path() const override { return path_; }
  std::string meta(std::string_view key) const override {
    const auto found =
        std::lower_bound(meta_.begin(), meta_.end(), key,
                         [](const auto& a, std::string_view b) { return a.first < b; });
    return found != meta_.end() && found->first == key ? found->second : "";
  }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return meta_;
  }
  const std::vector<Process>& processes() const override { return processes_; }
  const std::vector<Thread>& threads() const override { return threads_; }
  const std::vector<Loss>& losses() const override { return losses_; }
  bool finished() const override {
    return std::all_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.reader->finished(); });
  }
  int64_t end_ns() const override {
    int64_t end = 0;
    for (const Part& part : parts_) end = std::max(end, part.time(part.reader->end_ns()));
    return end;
  }
  const std::string& text(StringId id) const override {
    const auto own = static_cast<int64_t>(id) % kRows;
    const size_t at = part_of(static_cast<int64_t>(id));
    if (at < parts_.size()) return parts_[at].reader->text(StringId{own});
    static const std::string none;
    const bool ours = at == parts_.size() && own > 0 && static_cast<size_t>(own) <= cards_.size();
    return ours ? cards_[static_cast<size_t>(own) - 1] : none;
  }
  std::span<const Frame> frames(StackId id) const override {
    const size_t at = part_of(static_cast<int64_t>(id));
    if (at >= parts_.size()) return {};
    return parts_[at].reader->frames(StackId{static_cast<int64_t>(id) % kRows});
  }

  Result<void> allocations(const AllocationFilter& filter,
                           const Visit<Allocation>& visit) const override {
    for (Part& part : parts_) {
      AllocationFilter own = filter;
      own.begin_ns = part.own_time(filter.begin_ns);
      own.end_ns = part.own_time(filter.end_ns);
      if (filter.device && *filter.device >= 0) {
        const auto device = part.own_device(*filter.device);
        if (!device) continue;
        own.device = *device;
      }
      if (filter.alloc_stack) {
        const auto stack = static_cast<int64_t>(*filter.alloc_stack);
        if (stack != 0 && stack - stack % kRows != part.rows) continue;
        own.alloc_stack = StackId{stack % kRows};
      }
      auto read = part.reader->allocations(own, moving(part, visit));
      if (!read) return read;
    }
    return {};
  }
  Result<void> transfers(const Visit<Transfer>& visit) const override {
    return each([&](Part& part) { return part.reader->transfers(moving(part, visit)); });
  }
  Result<void> memsets(const Visit<Memset>& visit) const override {
    return each([&](Part& part) { return part.reader->memsets(moving(part, visit)); });
  }
  Result<void> kernels(const Visit<Kernel>& visit) const override {
    return each([&](Part& part) { return part.reader->kernels(moving(part, visit)); });
  }
  Result<void> markers(const Visit<Marker>& visit) const override {
    return each([&](Part& part) { return part.reader->markers(moving(part, visit)); });
  }
  Result<void> accesses(const AccessFilter& filter, const Visit<Access>& visit) const override {
    return each([&](Part& part) -> Result<void> {
      const auto own = [&](int64_t id) { return std::clamp<int64_t>(id - part.rows, 0, kRows); };
      AccessFilter of_part;
      of_part.first_kernel = own(filter.first_kernel);
      of_part.last_kernel = own(filter.last_kernel);
      of_part.first_allocation = AllocationId{own(static_cast<int64_t>(filter.first_allocation))};
      of_part.last_allocation = AllocationId{own(static_cast<int64_t>(filter.last_allocation))};
      if (of_part.last_kernel == 0 || of_part.last_allocation == AllocationId{} ||
          of_part.first_kernel == kRows || of_part.first_allocation == AllocationId{kRows}) {
        return {};
      }
      return part.reader->accesses(of_part, moving(part, visit));
    });
  }
  Result<std::vector<PoolReserved>> pool_reserved() const override {
    return all<PoolReserved>([](const Reader& reader) { return reader.pool_reserved(); });
  }
  Result<std::vector<OutOfMemory>> out_of_memory() const override {
    return all<OutOfMemory>([](const Reader& reader) { return reader.out_of_memory(); });
  }
  Result<std::vector<ProcessMemory>> process_memory() const override {
    return all<ProcessMemory>([](const Reader& reader) { return reader.process_memory(); });
  }
  Result<std::vector<Mapping>> mappings() const override {
    return all<Mapping>([](const Reader& reader) { return reader.mappings(); });
  }
  Result<std::vector<RecordingWindow>> windows() const override {
    auto rows = all<RecordingWindow>([](const Reader& reader) { return reader.windows(); });
    if (rows) {
      std::stable_sort(rows->begin(), rows->end(),
                       [](const auto& a, const auto& b) { return a.begin_ns < b.begin_ns; });
    }
    return rows;
  }
  Result<std::vector<DeviceMemory>> device_memory() const override;
  Result<std::vector<DevicePower>> device_power() const override;
  Result<std::vector<DriverPool>> driver_pools() const override {
    return all<DriverPool>([](const Reader& reader) { return reader.driver_pools(); });
  }
  Result<void> migrations(const Visit<Migration>& visit) const override {
    return each([&](Part& part) { return part.reader->migrations(moving(part, visit)); });
  }
  Result<std::vector<ImportedMemory>> imports() const override {
    return all<ImportedMemory>([](const Reader& reader) { return reader.imports(); });
  }
  // What was summed up while recording was summed up for each trace: `joined_without_sums` says so.
  Result<std::vector<HostTotal>> host_totals() const override { return std::vector<HostTotal>{}; }
  Result<std::vector<HostCurvePoint>> host_curve() const override {
    return std::vector<HostCurvePoint>{};
  }
  Result<void> query(const std::string& sql,
                     const std::function<void(std::span<const std::string>)>& header,
                     const std::function<bool(std::span<const Cell>)>& row) const override;

 private:
  [[nodiscard]] static size_t part_of(int64_t id) { return static_cast<size_t>(id / kRows); }
  template <class Row>
  static Visit<Row> moving(Part& part, const Visit<Row>& visit) {
    return [&part, &visit](std::span<const Row> batch) {
      std::vector<Row> rows;
      rows.reserve(batch.size());
      for (const Row& row : batch) rows.push_back(in_whole(part, row));
      visit(rows);
    };
  }
  template <class Ask>
  Result<void> each(const Ask& ask) const {
    for (Part& part : parts_) {
      if (auto read = ask(part); !read) return read;
    }
    return {};
  }
  template <class Row, class Ask>
  Result<std::vector<Row>> all(const Ask& ask) const {
    std::vector<Row> rows;
    for (Part& part : parts_) {
      const auto own = ask(*part.reader);
      if (!own) return tl::unexpected(own.error());
      for (const Row& row : *own) rows.push_back(in_whole(part, row));
    }
    return rows;
  }
  StringId card_of(const Part& part, StringId bus) const;
  void add_meta();
  void add_processes(const Part& part);
  void add_losses(const Part& part);

  std::string path_;
  mutable std::vector<Part> parts_;  // devices that no meta names are numbered when they are seen
  std::unique_ptr<Devices> devices_;
  mutable std::vector<std::string> cards_;  // texts of our own
  std::vector<std::pair<std::string, std::string>> meta_;
  std::vector<Process> processes_;
  std::vector<Thread> threads_;
  std::vector<Loss> losses_;
};

JoinedReader::JoinedReader(std::string path, std::vector<Part> parts,
                           std::unique_ptr<Devices> devices)
    : path_(std::move(path)), parts_(std::move(parts)), devices_(std::move(devices)) {
  for (const Part& part : parts_) {
    add_processes(part);
    add_losses(part);
  }
  add_meta();
}

void JoinedReader::add_processes(const Part& part) {
  for (Process process : part.reader->processes()) {
    process.id = part.id(process.id);
    process.parent = part.id(process.parent);
    process.start_ns = part.time(process.start_ns);
    process.end_ns = part.time(process.end_ns);
    processes_.push_back(std::move(process));
  }
  for (Thread thread : part.reader->threads()) {
    thread.id = part.id(thread.id);
    thread.process = part.id(thread.process);
    threads_.push_back(std::move(thread));
  }
}

void JoinedReader::add_losses(const Part& part) {
  for (const Loss& loss : part.reader->losses()) {
    const auto known = std::find_if(losses_.begin(), losses_.end(),
                                    [&](const Loss& other) { return other.name == loss.name; });
    if (known == losses_.end()) {
      losses_.push_back(loss);
      continue;
    }
    known->severity = std::max(known->severity, loss.severity);
    if (__builtin_add_overflow(known->count, loss.count, &known->count)) known->count = UINT64_MAX;
  }
}

// What holds for all is the first one's; cards are numbered through, and how the traces were put
// together is said in keys of our own.
void JoinedReader::add_meta() {
  constexpr std::string_view device_key = "cuda.device.";
  std::map<std::string, std::string> all;
  for (const auto& [key, value] : parts_.front().reader->all_meta()) {
    if (!key.starts_with(device_key)) all[key] = value;
  }
  std::set<std::string> hosts;
  std::string numbers;
  size_t without_sums = 0;
  for (Part& part : parts_) {
    hosts.insert(part.host);
    for (const auto& [key, value] : part.reader->all_meta()) {
      if (!key.starts_with(device_key)) continue;
      const size_t dot = key.find('.', device_key.size());
      if (dot == std::string::npos) continue;
      const auto own =
          static_cast<int16_t>(number(key.substr(device_key.size(), dot - device_key.size())));
      const int16_t device = part.device(own);
      const bool bus = key.ends_with(".pci_bus");
      all[std::string(device_key) + std::to_string(device) + key.substr(dot)] =
          bus ? part.host + "/" + value : value;
    }
    for (const auto& [own, device] : part.devices) {
      if (!numbers.empty()) numbers += ", ";
      numbers += std::to_string(device) + " = " + part.name + "'s " + std::to_string(own);
    }
    const std::string host_option = part.reader->meta("option_host");
    if (host_option == "aggregate" || !part.reader->meta("condensed_until_ns").empty())
      ++without_sums;
  }
  all["joined_traces"] = std::to_string(parts_.size());
  all["joined_hosts"] = std::to_string(hosts.size());
  all["joined_devices"] = numbers;
  if (without_sums > 0) all["joined_without_sums"] = std::to_string(without_sums);
  meta_.assign(all.begin(), all.end());
}

// The same bus number is another card on another host.
StringId JoinedReader::card_of(const Part& part, StringId bus) const {
  const std::string card = part.host + "/" + part.reader->text(bus);
  auto known = std::ranges::find(cards_, card);
  if (known == cards_.end()) known = cards_.insert(cards_.end(), card);
  return StringId{static_cast<int64_t>(parts_.size()) * kRows + (known - cards_.begin()) + 1};
}

Result<std::vector<DeviceMemory>> JoinedReader::device_memory() const {
  std::vector<DeviceMemory> rows;
  for (Part& part : parts_) {
    const auto own = part.reader->device_memory();
    if (!own) return tl::unexpected(own.error());
    for (const DeviceMemory& row : *own) {
      rows.push_back(in_whole(part, row));
      rows.back().bus = card_of(part, row.bus);
    }
  }
  return rows;
}

Result<std::vector<DevicePower>> JoinedReader::device_power() const {
  std::vector<DevicePower> rows;
  for (Part& part : parts_) {
    const auto own = part.reader->device_power();
    if (!own) return tl::unexpected(own.error());
    for (const DevicePower& row : *own) {
      rows.push_back(row);
      rows.back().time_ns = part.time(row.time_ns);
      rows.back().bus = card_of(part, row.bus);
    }
  }
  return rows;
}

Result<void> JoinedReader::query(const std::string& sql,
                                 const std::function<void(std::span<const std::string>)>& header,
                                 const std::function<bool(std::span<const Cell>)>& row) const {
  bool wanted = true;
  bool headed = false;
  for (const Part& part : parts_) {
    if (!wanted) break;
    auto asked = part.reader->query(
        sql,
        [&](std::span<const std::string> names) {
          if (headed) return;
          headed = true;
          std::vector<std::string> all = {"trace"};
          all.insert(all.end(), names.begin(), names.end());
          header(all);
        },
        [&](std::span<const Cell> cells) {
          std::vector<Cell> all = {{Cell::Type::kText, part.name}};
          all.insert(all.end(), cells.begin(), cells.end());
          wanted = row(all);
          return wanted;
        });
    if (!asked) return asked;
  }
  return {};
}

// Traces of one host by its monotonic clock, which all its processes share; hosts by their wall
// clocks, which are as far apart as they were set.
void align_clocks(std::vector<Part>& parts) {
  std::map<std::string, const Part*> first_of_host;
  for (Part& part : parts) {
    const int64_t unix_ns = number(part.reader->meta("start_unix_ns"));
    const auto [first, fresh] = first_of_host.try_emplace(part.host, &part);
    const Reader& of_first = *first->second->reader;
    const int64_t by_wall = unix_ns - number(of_first.meta("start_unix_ns"));
    const int64_t by_monotonic = number(part.reader->meta("start_monotonic_ns")) -
                                 number(of_first.meta("start_monotonic_ns"));
    constexpr int64_t same_boot_ns = 5'000'000'000;  // a wall clock that was set a little
    const bool same_boot = std::abs(by_wall - by_monotonic) < same_boot_ns;
    part.later_ns = fresh ? unix_ns : same_boot ? first->second->later_ns + by_monotonic : unix_ns;
  }
  const auto earliest =
      std::min_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
        return a.later_ns < b.later_ns;
      })->later_ns;
  for (Part& part : parts) part.later_ns -= earliest;
}

// The traces of one job hold each rank once.
Result<void> check_ranks(const std::string& folder, const std::vector<Part>& parts) {
  std::map<int32_t, const Part*> holders;
  for (const Part& part : parts) {
    bool any = false;
    for (const Process& process : part.reader->processes()) {
      if (process.rank < 0) continue;
      any = true;
      const auto [holder, fresh] = holders.try_emplace(process.rank, &part);
      if (holder->second == &part) continue;
      return fail(folder + ": " + holder->second->name + " and " + part.name + " both hold rank " +
                  std::to_string(process.rank) +
                  ": of two jobs? Put the traces of each into a folder of its own");
    }
    if (!any) {
      return fail(folder + ": " + part.name +
                  " holds no rank of a distributed job (RANK was not set): name that trace instead "
                  "of its folder, or move it away");
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Reader>> open_folder(const std::string& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".db") files.push_back(entry.path());
  }
  if (error) return fail(folder + ": cannot be listed: " + error.message());
  if (files.empty()) return fail(folder + " is a folder without a trace (*.db): name the file");
  std::sort(files.begin(), files.end());
  if (files.size() == 1) return Reader::open(files.front().string());
  auto devices = std::make_unique<Devices>();
  std::vector<Part> parts;
  int32_t processes = 0;
  int32_t threads = 0;
  for (const fs::path& file : files) {
    auto reader = Reader::open(file.string());
    if (!reader) return tl::unexpected(reader.error());
    Part part;
    part.name = file.stem().string();
    part.host = lower_case((*reader)->meta("hostname"));
    part.rows = static_cast<int64_t>(parts.size()) * kRows;
    part.processes = processes;
    part.threads = threads;
    part.all_devices = devices.get();
    for (const Process& process : (*reader)->processes()) {
      processes =
          std::max(processes, part.processes + std::max(static_cast<int32_t>(process.id), 0));
    }
    for (const Thread& thread : (*reader)->threads()) {
      threads = std::max(threads, part.threads + std::max(static_cast<int32_t>(thread.id), 0));
    }
    part.reader = std::move(*reader);
    parts.push_back(std::move(part));
  }
  if (auto sound = check_ranks(folder, parts); !sound) return tl::unexpected(sound.error());
  align_clocks(parts);
  return std::make_unique<JoinedReader>(folder, std::move(parts), std::move(devices));
}

}  // namespace tidemark::trace
