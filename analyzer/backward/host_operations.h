// Operations that left nothing behind on the device: views and what works in place still make
// objects on the heap, with the lines of Python above them. Private to the analyzer. Pure.
#pragma once

#include <unordered_map>
#include <vector>

#include "operation_names.h"
#include "tidemark/trace/reader.h"

namespace tidemark::analyzer {

struct HostOperation {
  int64_t time_ns = 0;
  int32_t name = -1;  // into HostOperations::names()
  trace::StackId stack{};
};

class HostOperations {
 public:
  explicit HostOperations(const trace::Reader& reader);

  // Whether rows of the heap are there at all.
  [[nodiscard]] bool recorded() const { return recorded_; }
  // What a thread did from one moment to another, in order of time.
  struct Window {
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
    trace::ThreadId thread{};  // 0: any
    std::vector<HostOperation> operations;
  };
  // Fills windows of one process, which ascend and may overlap.
  [[nodiscard]] Result<void> read(trace::ProcessId process, std::vector<Window>& windows);
  [[nodiscard]] const OperationNames& names() const { return names_; }

 private:
  struct Known {
    int32_t name = -1;
    uint64_t python = 0;
  };
  const Known& known(trace::StackId stack);

  const trace::Reader& reader_;
  bool recorded_ = false;
  std::unordered_map<int64_t, Known> stacks_;
  OperationNames names_;
};

}  // namespace tidemark::analyzer
