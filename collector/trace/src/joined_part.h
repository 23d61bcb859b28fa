// One of the traces that are read as a whole, and its rows as rows of the whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "tidemark/trace/reader.h"

namespace tidemark::trace {

// Devices of all hosts, numbered through: one card is one device, whatever each process calls it.
class Devices {
 public:
  int16_t number(const std::string& card) {
    constexpr size_t most = std::numeric_limits<int16_t>::max();
    const size_t next = std::min(numbers_.size(), most);
    return numbers_.try_emplace(card, static_cast<int16_t>(next)).first->second;
  }

 private:
  std::map<std::string, int16_t> numbers_;
};

// Ids of one trace lie below this; each has a range of its own.
constexpr int64_t kRows = int64_t{1} << 44;

// One trace, and what is added to each of its numbers so that all are told apart.
struct Part {
  std::unique_ptr<Reader> reader;
  std::string name;  // of the file
  std::string host;
  int64_t later_ns = 0;  // its beginning after that of the first
  int64_t rows = 0;
  int32_t processes = 0;
  int32_t threads = 0;
  std::map<int16_t, int16_t> devices;  // its own number of each, and the one here
  Devices* all_devices = nullptr;

  [[nodiscard]] std::string card(int16_t ordinal) const {
    const std::string bus = reader->meta("cuda.device." + std::to_string(ordinal) + ".pci_bus");
    return bus.empty() ? host + "/" + name + "#" + std::to_string(ordinal) : host + "/" + bus;
  }
  int16_t device(int16_t ordinal) {
    if (ordinal < 0) return ordinal;
    const auto [found, fresh] = devices.try_emplace(ordinal, int16_t{0});
    if (fresh) found->second = all_devices->number(card(ordinal));
    return found->second;
  }
  [[nodiscard]] std::optional<int16_t> own_device(int16_t device) const {
    for (const auto& [own, number] : devices) {
      if (number == device) return own;
    }
    return std::nullopt;
  }

  [[nodiscard]] int64_t time(int64_t time_ns) const { return shifted(time_ns, later_ns); }
  [[nodiscard]] int64_t own_time(int64_t time_ns) const { return shifted(time_ns, -later_ns); }
  [[nodiscard]] AllocationId id(AllocationId id) const { return moved(id, rows); }
  [[nodiscard]] StackId id(StackId id) const { return moved(id, rows); }
  [[nodiscard]] MarkerId id(MarkerId id) const { return moved(id, rows); }
  [[nodiscard]] WindowId id(WindowId id) const { return moved(id, rows); }
  [[nodiscard]] ImportId id(ImportId id) const { return moved(id, rows); }
  [[nodiscard]] StringId id(StringId id) const { return moved(id, rows); }
  [[nodiscard]] ProcessId id(ProcessId id) const { return moved(id, int64_t{processes}); }
  [[nodiscard]] ThreadId id(ThreadId id) const { return moved(id, int64_t{threads}); }

 private:
  static int64_t shifted(int64_t time_ns, int64_t by) {
    int64_t sum = 0;
    const bool open = time_ns == kNever || time_ns == std::numeric_limits<int64_t>::min();
    return open || __builtin_add_overflow(time_ns, by, &sum) ? time_ns : sum;
  }
  template <class Id>
  static Id moved(Id id, int64_t by) {  // wraps, should a hostile trace want that
    using Number = std::underlying_type_t<Id>;
    if (id == Id{}) return id;
    return static_cast<Id>(
        static_cast<Number>(static_cast<uint64_t>(id) + static_cast<uint64_t>(by)));
  }
};

// Each kind of row with its numbers moved.
Allocation in_whole(Part& part, Allocation row);
Transfer in_whole(Part& part, const Transfer& of_part);
Memset in_whole(Part& part, const Memset& of_part);
Kernel in_whole(Part& part, const Kernel& of_part);
Access in_whole(Part& part, const Access& row);
Marker in_whole(Part& part, Marker row);
PoolReserved in_whole(Part& part, PoolReserved row);
OutOfMemory in_whole(Part& part, OutOfMemory row);
ProcessMemory in_whole(Part& part, ProcessMemory row);
DeviceMemory in_whole(Part& part, DeviceMemory row);
DriverPool in_whole(Part& part, DriverPool row);
Migration in_whole(Part& part, Migration row);
ImportedMemory in_whole(Part& part, ImportedMemory row);
Mapping in_whole(Part& part, Mapping row);
RecordingWindow in_whole(Part& part, RecordingWindow row);

}  // namespace tidemark::trace
