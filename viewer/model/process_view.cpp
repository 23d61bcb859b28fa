#include "tidemark/viewer/process_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "reader_over.h"
#include "tidemark/analyzer/text.h"
#include "tidemark/viewer/format.h"

namespace tidemark::viewer {
namespace {

using trace::ProcessId;

class ProcessReader final : public ReaderOver {
 public:
  ProcessReader(std::unique_ptr<trace::Reader> whole, ProcessId process)
      : ReaderOver(*whole),
        owned_(std::move(whole)),
        process_(process),
        processes_(kept(whole_.processes(), [&](const auto& row) { return row.id == process_; })),
        threads_(kept(whole_.threads(), [&](const auto& row) { return mine(row); })) {}

  const std::vector<trace::Process>& processes() const override { return processes_; }
  const std::vector<trace::Thread>& threads() const override { return threads_; }

  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override {
    return whole_.allocations(filter, only_mine(visit));
  }
  Result<void> transfers(const Visit<trace::Transfer>& visit) const override {
    return whole_.transfers(only_mine(visit));
  }
  Result<void> memsets(const Visit<trace::Memset>& visit) const override {
    return whole_.memsets(only_mine(visit));
  }
  Result<void> kernels(const Visit<trace::Kernel>& visit) const override {
    return whole_.kernels(only_mine(visit));
  }
  Result<void> markers(const Visit<trace::Marker>& visit) const override {
    return whole_.markers(only_mine(visit));
  }
  // Rows name kernels alone: which of these are of this process is asked first.
  Result<void> accesses(const trace::AccessFilter& filter,
                        const Visit<trace::Access>& visit) const override {
    if (auto found = find_kernels(); !found) return found;
    std::vector<trace::Access> mine;
    return whole_.accesses(filter, [&](std::span<const trace::Access> batch) {
      mine.clear();
      std::copy_if(batch.begin(), batch.end(), std::back_inserter(mine),
                   [&](const trace::Access& row) { return is_mine(row.kernel); });
      if (!mine.empty()) visit(mine);
    });
  }
  Result<std::vector<trace::PoolReserved>> pool_reserved() const override {
    return only_mine(whole_.pool_reserved());
  }
  Result<std::vector<trace::OutOfMemory>> out_of_memory() const override {
    return only_mine(whole_.out_of_memory());
  }
  Result<std::vector<trace::ProcessMemory>> process_memory() const override {
    return only_mine(whole_.process_memory());
  }
  // Those of everybody stay: the device is shared.
  Result<std::vector<trace::DeviceMemory>> device_memory() const override {
    return only_mine(whole_.device_memory(), true);
  }
  Result<std::vector<trace::DriverPool>> driver_pools() const override {
    return only_mine(whole_.driver_pools());
  }
  Result<void> migrations(const Visit<trace::Migration>& visit) const override {
    return whole_.migrations(only_mine(visit));
  }
  Result<std::vector<trace::ImportedMemory>> imports() const override {
    return only_mine(whole_.imports());
  }
  Result<std::vector<trace::Mapping>> mappings() const override {
    return only_mine(whole_.mappings());
  }
  Result<std::vector<trace::HostTotal>> host_totals() const override {
    return only_mine(whole_.host_totals());
  }
  Result<std::vector<trace::HostCurvePoint>> host_curve() const override {
    return only_mine(whole_.host_curve());
  }
  Result<std::vector<trace::RecordingWindow>> windows() const override {
    return only_mine(whole_.windows(), true);
  }

 private:
  template <class Row>
  bool mine(const Row& row) const {
    return row.process == process_;
  }

  template <class Row, class Keep>
  static std::vector<Row> kept(const std::vector<Row>& rows, const Keep& keep) {
    std::vector<Row> result;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(result), keep);
    return result;
  }

  template <class Row>
  Visit<Row> only_mine(const Visit<Row>& visit) const {
    return [this, &visit, rows = std::vector<Row>()](std::span<const Row> batch) mutable {
      rows.clear();
      std::copy_if(batch.begin(), batch.end(), std::back_inserter(rows),
                   [this](const Row& row) { return mine(row); });
      if (!rows.empty()) visit(rows);
    };
  }

  template <class Row>
  Result<std::vector<Row>> only_mine(Result<std::vector<Row>> rows, bool everybodys = false) const {
    if (!rows) return rows;
    return kept(*rows, [&](const Row& row) {
      return mine(row) || (everybodys && row.process == ProcessId{});
    });
  }

  // Kernels of one process come in runs: few ranges for many ids.
  Result<void> find_kernels() const {
    if (kernels_known_) return {};
    kernel_runs_.clear();
    auto read = whole_.kernels([&](std::span<const trace::Kernel> batch) {
      for (const trace::Kernel& row : batch) {
        if (!mine(row)) continue;
        if (!kernel_runs_.empty() && kernel_runs_.back().second + 1 == row.id) {
          kernel_runs_.back().second = row.id;
        } else {
          kernel_runs_.emplace_back(row.id, row.id);
        }
      }
    });
    kernels_known_ = read.has_value();
    return read;
  }

  bool is_mine(int64_t kernel) const {
    const auto after = std::upper_bound(
        kernel_runs_.begin(), kernel_runs_.end(), kernel,
        [](int64_t id, const std::pair<int64_t, int64_t>& run) { return id < run.first; });
    return after != kernel_runs_.begin() && kernel <= std::prev(after)->second;
  }

  const std::unique_ptr<trace::Reader> owned_;
  const ProcessId process_;
  const std::vector<trace::Process> processes_;
  const std::vector<trace::Thread> threads_;
  mutable bool kernels_known_ = false;
  mutable std::vector<std::pair<int64_t, int64_t>> kernel_runs_;  // first and last id
};

}  // namespace

std::unique_ptr<trace::Reader> only_process(std::unique_ptr<trace::Reader> whole,
                                            ProcessId process) {
  if (process == ProcessId{}) return whole;
  return std::make_unique<ProcessReader>(std::move(whole), process);
}

std::string process_text(const trace::Process& process) {
  const std::string command = analyzer::printable(process.command);
  const std::string_view program = std::string_view(command).substr(0, command.find(' '));
  const std::string name = fmt::format("{} ({})", base_name(program), process.pid);
  return process.rank >= 0 ? fmt::format("rank {} {}", process.rank, name) : name;
}

}  // namespace tidemark::viewer
