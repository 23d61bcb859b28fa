// A trace in memory: fill the public members, then hand it to the analyzer. Keeps the Reader's
// promises (filters, order of id, batches) by the most obvious code. Single-threaded.
#pragma once

#include <map>

#include "tidemark/trace/reader.h"

namespace tidemark::tests {

class FakeReader final : public trace::Reader {
 public:
  std::vector<trace::Allocation> allocation_rows;
  std::vector<trace::Transfer> transfer_rows;
  std::vector<trace::Memset> memset_rows;
  std::vector<trace::Kernel> kernel_rows;
  std::vector<trace::Access> access_rows;  // filters of them are not kept
  std::vector<trace::Marker> marker_rows;
  std::vector<trace::PoolReserved> reserved_rows;
  std::vector<trace::OutOfMemory> out_of_memory_rows;
  std::vector<trace::RecordingWindow> window_rows;
  std::vector<trace::DeviceMemory> device_memory_rows;
  std::vector<trace::DevicePower> device_power_rows;
  std::vector<trace::DriverPool> driver_pool_rows;
  std::vector<trace::Migration> migration_rows;
  std::vector<trace::ImportedMemory> import_rows;
  std::vector<trace::ProcessMemory> memory_rows;
  std::vector<trace::Mapping> mapping_rows;
  std::vector<trace::HostTotal> total_rows;
  std::vector<trace::HostCurvePoint> curve_rows;
  std::vector<trace::Process> process_rows;
  std::vector<trace::Thread> thread_rows;
  std::vector<trace::Loss> loss_rows;
  std::vector<std::pair<std::string, std::string>> meta_rows;
  std::map<trace::StackId, std::vector<trace::Frame>> stacks;
  std::vector<std::string> strings = {""};
  bool is_finished = true;
  int64_t end = 0;
  std::string error;  // not empty: every reading function fails with it
  size_t batch_rows = 7;

  trace::StringId intern(std::string text) {
    for (size_t i = 0; i < strings.size(); ++i) {
      if (strings[i] == text) return static_cast<trace::StringId>(i);
    }
    strings.push_back(std::move(text));
    return static_cast<trace::StringId>(strings.size() - 1);
  }

  const std::string& path() const override { return path_; }
  std::string meta(std::string_view key) const override {
    for (const auto& [name, value] : meta_rows) {
      if (name == key) return value;
    }
    return "";
  }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return meta_rows;
  }
  const std::vector<trace::Process>& processes() const override { return process_rows; }
  const std::vector<trace::Thread>& threads() const override { return thread_rows; }
  const std::vector<trace::Loss>& losses() const override { return loss_rows; }
  bool finished() const override { return is_finished; }
  int64_t end_ns() const override { return end; }
  const std::string& text(trace::StringId id) const override {
    const auto index = static_cast<size_t>(id);
    return index < strings.size() ? strings[index] : strings[0];
  }
  std::span<const trace::Frame> frames(trace::StackId id) const override {
    const auto found = stacks.find(id);
    if (found == stacks.end()) return {};
    return found->second;
  }

  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override {
    std::vector<trace::Allocation> rows;
    for (const trace::Allocation& row : allocation_rows) {
      if (filter.layer && *filter.layer != row.layer) continue;
      if (filter.space && *filter.space != row.space) continue;
      if (filter.device && *filter.device != row.device) continue;
      if (row.alloc_ns >= filter.end_ns || row.free_ns <= filter.begin_ns) continue;
      rows.push_back(row);
    }
    return deliver(rows, visit);
  }
  Result<void> transfers(const Visit<trace::Transfer>& visit) const override {
    return deliver(transfer_rows, visit);
  }
  Result<void> memsets(const Visit<trace::Memset>& visit) const override {
    return deliver(memset_rows, visit);
  }
  Result<void> kernels(const Visit<trace::Kernel>& visit) const override {
    return deliver(kernel_rows, visit);
  }
  Result<void> accesses(const trace::AccessFilter&,
                        const Visit<trace::Access>& visit) const override {
    return deliver(access_rows, visit);
  }
  Result<void> markers(const Visit<trace::Marker>& visit) const override {
    return deliver(marker_rows, visit);
  }
  Result<std::vector<trace::PoolReserved>> pool_reserved() const override {
    if (!error.empty()) return fail(error);
    return reserved_rows;
  }
  Result<std::vector<trace::OutOfMemory>> out_of_memory() const override {
    if (!error.empty()) return fail(error);
    return out_of_memory_rows;
  }
  Result<std::vector<trace::ProcessMemory>> process_memory() const override {
    if (!error.empty()) return fail(error);
    return memory_rows;
  }
  Result<std::vector<trace::RecordingWindow>> windows() const override {
    if (!error.empty()) return fail(error);
    return window_rows;
  }
  Result<std::vector<trace::DeviceMemory>> device_memory() const override {
    if (!error.empty()) return fail(error);
    return device_memory_rows;
  }
  Result<std::vector<trace::DevicePower>> device_power() const override {
    if (!error.empty()) return fail(error);
    return device_power_rows;
  }
  Result<std::vector<trace::DriverPool>> driver_pools() const override {
    if (!error.empty()) return fail(error);
    return driver_pool_rows;
  }
  Result<void> migrations(const Visit<trace::Migration>& visit) const override {
    if (!error.empty()) return fail(error);
    visit(migration_rows);
    return {};
  }
  Result<std::vector<trace::ImportedMemory>> imports() const override {
    if (!error.empty()) return fail(error);
    return import_rows;
  }
  Result<std::vector<trace::Mapping>> mappings() const override {
    if (!error.empty()) return fail(error);
    return mapping_rows;
  }
  Result<std::vector<trace::HostTotal>> host_totals() const override {
    if (!error.empty()) return fail(error);
    return total_rows;
  }
  Result<std::vector<trace::HostCurvePoint>> host_curve() const override {
    if (!error.empty()) return fail(error);
    return curve_rows;
  }
  Result<void> query(
      const std::string& /*sql*/,
      const std::function<void(std::span<const std::string>)>& /*header*/,
      const std::function<bool(std::span<const trace::Cell>)>& /*row*/) const override {
    return fail("a FakeReader knows no SQL");
  }

 private:
  template <class Row>
  Result<void> deliver(const std::vector<Row>& rows, const Visit<Row>& visit) const {
    if (!error.empty()) return fail(error);
    for (size_t at = 0; at < rows.size(); at += batch_rows) {
      const size_t count = std::min(batch_rows, rows.size() - at);
      visit(std::span<const Row>(rows).subspan(at, count));
    }
    return {};
  }

  std::string path_ = "fake.db";
};

}  // namespace tidemark::tests
