// A Reader that hands on all that another says: the base of those that change a part of it.
#pragma once

#include "tidemark/trace/reader.h"

namespace tidemark::viewer {

class ReaderOver : public trace::Reader {
 public:
  // The whole reader must outlive this one.
  explicit ReaderOver(const trace::Reader& whole) : whole_(whole) {}

  const std::string& path() const override { return whole_.path(); }
  std::string meta(std::string_view key) const override { return whole_.meta(key); }
  const std::vector<std::pair<std::string, std::string>>& all_meta() const override {
    return whole_.all_meta();
  }
  const std::vector<trace::Process>& processes() const override { return whole_.processes(); }
  const std::vector<trace::Thread>& threads() const override { return whole_.threads(); }
  const std::vector<trace::Loss>& losses() const override { return whole_.losses(); }
  bool finished() const override { return whole_.finished(); }
  int64_t end_ns() const override { return whole_.end_ns(); }
  const std::string& text(trace::StringId id) const override { return whole_.text(id); }
  std::span<const trace::Frame> frames(trace::StackId id) const override {
    return whole_.frames(id);
  }
  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override {
    return whole_.allocations(filter, visit);
  }
  Result<void> transfers(const Visit<trace::Transfer>& visit) const override {
    return whole_.transfers(visit);
  }
  Result<void> memsets(const Visit<trace::Memset>& visit) const override {
    return whole_.memsets(visit);
  }
  Result<void> kernels(const Visit<trace::Kernel>& visit) const override {
    return whole_.kernels(visit);
  }
  Result<void> accesses(const trace::AccessFilter& filter,
                        const Visit<trace::Access>& visit) const override {
    return whole_.accesses(filter, visit);
  }
  Result<void> markers(const Visit<trace::Marker>& visit) const override {
    return whole_.markers(visit);
  }
  Result<std::vector<trace::PoolReserved>> pool_reserved() const override {
    return whole_.pool_reserved();
  }
  Result<std::vector<trace::OutOfMemory>> out_of_memory() const override {
    return whole_.out_of_memory();
  }
  Result<std::vector<trace::ProcessMemory>> process_memory() const override {
    return whole_.process_memory();
  }
  Result<std::vector<trace::DeviceMemory>> device_memory() const override {
    return whole_.device_memory();
  }
  Result<std::vector<trace::DevicePower>> device_power() const override {
    return whole_.device_power();
  }
  Result<std::vector<trace::DriverPool>> driver_pools() const override {
    return whole_.driver_pools();
  }
  Result<void> migrations(const Visit<trace::Migration>& visit) const override {
    return whole_.migrations(visit);
  }
  Result<std::vector<trace::ImportedMemory>> imports() const override { return whole_.imports(); }
  Result<std::vector<trace::Mapping>> mappings() const override { return whole_.mappings(); }
  Result<std::vector<trace::HostTotal>> host_totals() const override {
    return whole_.host_totals();
  }
  Result<std::vector<trace::HostCurvePoint>> host_curve() const override {
    return whole_.host_curve();
  }
  Result<void> query(const std::string& sql,
                     const std::function<void(std::span<const std::string>)>& header,
                     const std::function<bool(std::span<const trace::Cell>)>& row) const override {
    return whole_.query(sql, header, row);
  }
  Result<std::vector<trace::RecordingWindow>> windows() const override { return whole_.windows(); }

 protected:
  const trace::Reader& whole_;
};

}  // namespace tidemark::viewer
