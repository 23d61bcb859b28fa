// The call stacks of another process's stopped threads, by libdw. Reads the process's mappings
// once, before any thread is stopped, since that takes a while. One system thread, which is also
// the one that stops the threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tidemark/trace/result.h"

struct Dwfl;

namespace tidemark::collector {

class RemoteStack {
 public:
  [[nodiscard]] static Result<std::unique_ptr<RemoteStack>> open(int32_t pid);
  ~RemoteStack();
  RemoteStack(const RemoteStack&) = delete;
  RemoteStack& operator=(const RemoteStack&) = delete;

  struct Frames {
    std::vector<uint64_t>
        addresses;          // of the instructions that are being executed, innermost first
    bool complete = false;  // to the thread's first function
  };
  [[nodiscard]] Frames frames(int32_t tid) const;

 private:
  explicit RemoteStack(Dwfl* dwfl) : dwfl_(dwfl) {}
  Dwfl* dwfl_;
};

}  // namespace tidemark::collector
