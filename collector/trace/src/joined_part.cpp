#include "joined_part.h"

namespace tidemark::trace {
namespace {

template <class Row>  // Transfer, Memset, Kernel
Row work_in_whole(Part& part, Row row) {
  row.id += part.rows;
  row.process = part.id(row.process);
  row.device = part.device(row.device);
  row.start_ns = part.time(row.start_ns);
  row.end_ns = part.time(row.end_ns);
  row.stack = part.id(row.stack);
  return row;
}

}  // namespace

Allocation in_whole(Part& part, Allocation row) {
  row.id = part.id(row.id);
  row.process = part.id(row.process);
  row.thread = part.id(row.thread);
  row.device = part.device(row.device);
  row.alloc_ns = part.time(row.alloc_ns);
  row.free_ns = part.time(row.free_ns);
  row.alloc_stack = part.id(row.alloc_stack);
  row.free_stack = part.id(row.free_stack);
  row.api = part.id(row.api);
  row.source = part.id(row.source);
  return row;
}

Transfer in_whole(Part& part, const Transfer& of_part) {
  Transfer row = work_in_whole(part, of_part);
  row.src_allocation = part.id(row.src_allocation);
  row.dst_allocation = part.id(row.dst_allocation);
  return row;
}
Memset in_whole(Part& part, const Memset& of_part) {
  Memset row = work_in_whole(part, of_part);
  row.allocation = part.id(row.allocation);
  return row;
}
Kernel in_whole(Part& part, const Kernel& of_part) {
  Kernel row = work_in_whole(part, of_part);
  row.name = part.id(row.name);
  return row;
}
Access in_whole(Part& part, const Access& row) {
  return {row.kernel + part.rows, part.id(row.allocation)};
}
Marker in_whole(Part& part, Marker row) {
  row.id = part.id(row.id);
  row.process = part.id(row.process);
  row.thread = part.id(row.thread);
  row.domain = part.id(row.domain);
  row.name = part.id(row.name);
  row.start_ns = part.time(row.start_ns);
  row.end_ns = part.time(row.end_ns);
  return row;
}
PoolReserved in_whole(Part& part, PoolReserved row) {
  row.process = part.id(row.process);
  row.device = part.device(row.device);
  row.time_ns = part.time(row.time_ns);
  return row;
}
OutOfMemory in_whole(Part& part, OutOfMemory row) {
  row.process = part.id(row.process);
  row.thread = part.id(row.thread);
  row.device = part.device(row.device);
  row.time_ns = part.time(row.time_ns);
  row.stack = part.id(row.stack);
  return row;
}
ProcessMemory in_whole(Part& part, ProcessMemory row) {
  row.process = part.id(row.process);
  row.time_ns = part.time(row.time_ns);
  return row;
}
DeviceMemory in_whole(Part& part, DeviceMemory row) {
  row.process = part.id(row.process);
  row.time_ns = part.time(row.time_ns);
  return row;
}
DriverPool in_whole(Part& part, DriverPool row) {
  row.process = part.id(row.process);
  row.device = part.device(row.device);
  row.time_ns = part.time(row.time_ns);
  return row;
}
Migration in_whole(Part& part, Migration row) {
  row.id += part.rows;
  row.process = part.id(row.process);
  row.src_device = part.device(row.src_device);
  row.dst_device = part.device(row.dst_device);
  row.start_ns = part.time(row.start_ns);
  row.end_ns = part.time(row.end_ns);
  return row;
}
ImportedMemory in_whole(Part& part, ImportedMemory row) {
  row.id = part.id(row.id);
  row.process = part.id(row.process);
  row.thread = part.id(row.thread);
  row.device = part.device(row.device);
  row.open_ns = part.time(row.open_ns);
  row.close_ns = part.time(row.close_ns);
  row.stack = part.id(row.stack);
  row.api = part.id(row.api);
  return row;
}
Mapping in_whole(Part& part, Mapping row) {
  row.process = part.id(row.process);
  row.time_ns = part.time(row.time_ns);
  row.path = part.id(row.path);
  return row;
}
RecordingWindow in_whole(Part& part, RecordingWindow row) {
  row.id = part.id(row.id);
  row.process = part.id(row.process);
  row.begin_ns = part.time(row.begin_ns);
  row.end_ns = part.time(row.end_ns);
  return row;
}

}  // namespace tidemark::trace
