// Decides whether bytes that came from a target are a record that the rest of the collector may
// read. Pure. Nothing else in the collector checks sizes again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tidemark/wire/records.h"

namespace tidemark::collector {

enum class Check : uint8_t {
  kValid,
  kUnknownType,  // a plausible length, so the next record can be found; skip this one
  kGarbage,      // no next record can be found
};

// `available` bytes are readable at `bytes`, which is aligned to 8.
Check check_record(const std::byte* bytes, size_t available);

// How a record travels on: see merge.h.
enum class RecordClass : uint8_t { kSkip, kDefinition, kEvent, kActivity };
constexpr RecordClass classify(wire::RecordType type) {
  using wire::RecordType;
  switch (type) {
    case RecordType::kProcessStart:
    case RecordType::kProcessExit:
    case RecordType::kThreadName:
    case RecordType::kModule:
    case RecordType::kModuleUnload:
    case RecordType::kStack:
    case RecordType::kName:
    case RecordType::kMeta:
    case RecordType::kPythonCode:
      return RecordClass::kDefinition;
    case RecordType::kHeapAlloc:
    case RecordType::kHeapFree:
    case RecordType::kAlloc:
    case RecordType::kFree:
    case RecordType::kUnmap:
    case RecordType::kUndo:
    case RecordType::kDeviceAlloc:
    case RecordType::kLaunch:
    case RecordType::kTouch:
    case RecordType::kGraphNode:
    case RecordType::kDeviceMap:
    case RecordType::kDeviceUnmap:
    case RecordType::kOutOfMemory:
    case RecordType::kImport:
    case RecordType::kImportEnd:
    case RecordType::kMarker:
    case RecordType::kMarkerEnd:
      return RecordClass::kEvent;
    case RecordType::kTransfer:
    case RecordType::kMemset:
    case RecordType::kKernel:
    case RecordType::kDriverPool:
    case RecordType::kMigration:
      return RecordClass::kActivity;
    case RecordType::kPad:
      break;
  }
  return RecordClass::kSkip;
}

// Valid after check_record() said so.
template <class Record>
const Record& record_as(const wire::Header& header) {
  return *reinterpret_cast<const Record*>(&header);
}
// The text or array behind the fixed part of a record.
template <class Record>
const char* tail_of(const Record& record) {
  return reinterpret_cast<const char*>(&record) + sizeof(Record);
}

}  // namespace tidemark::collector
