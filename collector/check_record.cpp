#include "check_record.h"

#include <algorithm>

namespace tidemark::collector {
namespace {

using wire::Header;
using wire::RecordType;

// Lengths come as 32 bits; their sum cannot overflow 64.
bool tail_fits(const Header& header, size_t fixed_bytes, uint64_t tail_bytes) {
  return tail_bytes <= wire::kMaxRecordBytes &&
         header.bytes == fixed_bytes + wire::padded(tail_bytes);
}

bool known_layer(wire::Layer layer) { return layer <= wire::Layer::kPool; }
bool known_space(wire::Space space) { return space <= wire::Space::kDevice; }

bool known_marker(uint16_t detail) {
  return detail <= static_cast<uint16_t>(wire::MarkerKind::kStarted);
}

template <class Record>
const Record* exactly(const Header& header) {
  return header.bytes == sizeof(Record) ? &record_as<Record>(header) : nullptr;
}
template <class Record>
const Record* at_least(const Header& header) {
  return header.bytes >= sizeof(Record) ? &record_as<Record>(header) : nullptr;
}

bool mapping_holds(const Header& header) {
  const auto* record = exactly<wire::Alloc>(header);
  return record && record->layer == wire::Layer::kOs && known_space(record->space) &&
         record->address + record->size >= record->address;
}

bool heap_alloc_holds(const Header& header) {
  const auto* record = exactly<wire::HeapAlloc>(header);
  return record && record->address + record->size >= record->address;
}

bool free_holds(const Header& header) {
  const auto* record = exactly<wire::Free>(header);
  return record && (record->layer == wire::Layer::kDriver || record->layer == wire::Layer::kPool);
}

bool unmap_holds(const Header& header) {
  const auto* record = exactly<wire::Unmap>(header);
  return record && record->address + record->size >= record->address;
}

bool device_alloc_holds(const Header& header) {
  const auto* record = exactly<wire::DeviceAlloc>(header);
  return record && (record->layer == wire::Layer::kDriver || record->layer == wire::Layer::kPool) &&
         known_space(record->space);
}

bool transfer_holds(const Header& header) {
  const auto* record = exactly<wire::Transfer>(header);
  return record && record->kind <= wire::TransferKind::kHtoH && known_space(record->src_space) &&
         known_space(record->dst_space);
}

bool module_holds(const Header& header) {
  const auto* record = at_least<wire::Module>(header);
  return record && record->start <= record->end && record->build_id_bytes <= 64 &&
         tail_fits(header, sizeof *record, uint64_t{record->path_bytes} + record->build_id_bytes);
}

bool stack_holds(const Header& header) {
  const auto* record = at_least<wire::Stack>(header);
  return record && record->id != 0 && record->frame_count != 0 &&
         tail_fits(header, sizeof *record, uint64_t{record->frame_count} * sizeof(uint64_t));
}

bool python_code_holds(const Header& header) {
  const auto* record = at_least<wire::PythonCode>(header);
  return record && record->key != 0 && record->key >> wire::kPythonKeyBits == 0 &&
         tail_fits(header, sizeof *record,
                   uint64_t{record->file_bytes} + record->function_bytes + record->lines_bytes);
}

bool touch_holds(const Header& header) {
  const auto* record = at_least<wire::Touch>(header);
  return record && record->word_count != 0 &&
         tail_fits(header, sizeof *record, uint64_t{record->word_count} * sizeof(uint64_t));
}

bool device_map_holds(const Header& header) {
  const auto* record = exactly<wire::DeviceMap>(header);
  return record && record->address + record->size >= record->address;
}

bool content_holds(const Header& header) {
  switch (header.type) {
    case RecordType::kProcessStart: {
      const auto* record = at_least<wire::ProcessStart>(header);
      return record && record->process_key != 0 &&
             tail_fits(header, sizeof *record, record->command_bytes);
    }
    case RecordType::kProcessExit:
    case RecordType::kUndo:
      return header.bytes == sizeof(Header);
    case RecordType::kThreadName: {
      const auto* record = at_least<wire::Text>(header);
      return record && tail_fits(header, sizeof *record, record->text_bytes);
    }
    case RecordType::kModule:
    case RecordType::kModuleUnload:
      return module_holds(header);
    case RecordType::kStack:
      return stack_holds(header);
    case RecordType::kName: {
      const auto* record = at_least<wire::Name>(header);
      return record && record->id != 0 && tail_fits(header, sizeof *record, record->text_bytes);
    }
    case RecordType::kHeapAlloc:
      return heap_alloc_holds(header);
    case RecordType::kHeapFree:
      return exactly<wire::HeapFree>(header) != nullptr;
    case RecordType::kAlloc:
      return mapping_holds(header);
    case RecordType::kFree:
      return free_holds(header);
    case RecordType::kUnmap:
      return unmap_holds(header);
    case RecordType::kDeviceAlloc:
      return device_alloc_holds(header);
    case RecordType::kLaunch:
      return exactly<wire::Launch>(header) != nullptr;
    case RecordType::kTransfer:
      return transfer_holds(header);
    case RecordType::kMemset:
      return exactly<wire::Memset>(header) != nullptr;
    case RecordType::kKernel:
      return exactly<wire::Kernel>(header) != nullptr;
    case RecordType::kMarker:
      return exactly<wire::Marker>(header) && known_marker(header.detail);
    case RecordType::kMarkerEnd:
      return exactly<wire::MarkerEnd>(header) && known_marker(header.detail) &&
             header.detail != static_cast<uint16_t>(wire::MarkerKind::kMark);
    case RecordType::kMeta: {
      const auto* record = at_least<wire::Meta>(header);
      return record &&
             tail_fits(header, sizeof *record, uint64_t{record->key_bytes} + record->value_bytes);
    }
    case RecordType::kOutOfMemory: {
      const auto* record = exactly<wire::OutOfMemory>(header);
      return record && known_layer(record->layer);
    }
    case RecordType::kPythonCode:
      return python_code_holds(header);
    case RecordType::kTouch:
      return touch_holds(header);
    case RecordType::kGraphNode:
      return exactly<wire::GraphNode>(header) != nullptr;
    case RecordType::kDeviceMap:
    case RecordType::kDeviceUnmap:
      return device_map_holds(header);
    case RecordType::kDriverPool:
      return exactly<wire::DriverPool>(header) != nullptr;
    case RecordType::kMigration: {
      const auto* record = exactly<wire::Migration>(header);
      return record && record->kind <= wire::MigrationKind::kRemoteMap &&
             record->end_ns >= header.time_ns;
    }
    case RecordType::kImport: {
      const auto* record = exactly<wire::Import>(header);
      return record && record->address + record->size >= record->address;
    }
    case RecordType::kImportEnd:
      return exactly<wire::ImportEnd>(header) != nullptr;
    case RecordType::kPad:
      return true;
  }
  return false;
}

}  // namespace

Check check_record(const std::byte* bytes, size_t available) {
  // At the very end of a ring only half a header may fit: a Pad of 8 bytes has no time.
  if (available < 8) return Check::kGarbage;
  const auto& header = *reinterpret_cast<const Header*>(bytes);
  if (header.bytes % 8 != 0 || header.bytes > available || header.bytes < 8) {
    return Check::kGarbage;
  }
  if (header.type == RecordType::kPad) return Check::kValid;
  if (header.bytes < sizeof(Header) || header.bytes > wire::kMaxRecordBytes) {
    return Check::kGarbage;
  }
  if (header.type > RecordType::kImportEnd) return Check::kUnknownType;
  return content_holds(header) ? Check::kValid : Check::kGarbage;
}

}  // namespace tidemark::collector
