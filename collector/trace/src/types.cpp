#include "tidemark/trace/types.h"

#include <iterator>

#include "tidemark/trace/device_memory.h"

namespace tidemark::trace {

const char* to_string(Layer layer) {
  switch (layer) {
    case Layer::kOs:
      return "os";
    case Layer::kHeap:
      return "heap";
    case Layer::kDriver:
      return "driver";
    case Layer::kPool:
      return "pool";
  }
  return "?";
}

const char* to_string(Space space) {
  switch (space) {
    case Space::kHost:
      return "host";
    case Space::kPinned:
      return "pinned";
    case Space::kManaged:
      return "managed";
    case Space::kDevice:
      return "device";
  }
  return "?";
}

const char* to_string(TransferKind kind) {
  switch (kind) {
    case TransferKind::kHtoD:
      return "HtoD";
    case TransferKind::kDtoH:
      return "DtoH";
    case TransferKind::kDtoD:
      return "DtoD";
    case TransferKind::kPtoP:
      return "PtoP";
    case TransferKind::kHtoH:
      return "HtoH";
  }
  return "?";
}

const char* to_string(FrameKind kind) {
  switch (kind) {
    case FrameKind::kNative:
      return "native";
    case FrameKind::kPython:
      return "python";
  }
  return "?";
}

const char* to_string(MappingKind kind) {
  constexpr const char* kNames[] = {"file",   "heap",   "arena",  "stack",  "anonymous",
                                    "static", "shared", "device", "kernel", "tidemark"};
  const auto index = static_cast<size_t>(kind);
  return index < std::size(kNames) ? kNames[index] : "?";
}

const char* to_string(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kDataLoss:
      return "data_loss";
    case Severity::kError:
      return "error";
  }
  return "?";
}

const char* to_string(MigrationKind kind) {
  constexpr const char* kNames[] = {"HtoD",      "DtoH",      "DtoD",       "cpu_fault",
                                    "gpu_fault", "thrashing", "throttling", "remote_map"};
  const auto at = static_cast<size_t>(kind);
  return at < std::size(kNames) ? kNames[at] : "unknown";
}

}  // namespace tidemark::trace
