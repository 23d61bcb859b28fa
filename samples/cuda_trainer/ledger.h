// The program's own count of what it asks of CUDA, to hold a recording against.
//
// One thread, in the order of the calls: an allocation counts when its call has returned, a free
// when it is asked for. Sizes are as requested, bytes; a pitched allocation is pitch × height.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace cuda_trainer {

enum class Space : uint8_t { kDevice, kPinned, kManaged };
const char* space_name(Space space);

class Ledger {
 public:
  void call(const std::string& api) { ++calls_[api]; }
  void allocation(const std::string& api, Space space, const void* address, uint64_t bytes);
  // Throws std::logic_error for an address that is not live: the ledger itself must be right.
  void free(const std::string& api, const void* address);
  // spaces as the trace names them: host (pageable), pinned, managed, device.
  void copy(const std::string& kind, const std::string& source_space,
            const std::string& target_space, uint64_t bytes);
  void memset(uint64_t bytes);

  // A kernel launched between begin_capture() and end_capture() is a node and has not run.
  // `pointers`: what it is handed, each within a live allocation.
  void kernel(const std::string& name, const std::vector<const void*>& pointers);
  void begin_capture() { capturing_ = true; }
  uint64_t end_capture();  // number of kernel nodes
  void graph_launch();     // runs every node that was captured

  void loss(double value) { losses_.push_back(value); }
  void device_name(const std::string& name) { device_name_ = name; }

  // Return whether the whole file was written.
  [[nodiscard]] bool write(const std::string& path) const;
  // Which kernel was handed which allocation: of each launch in the order of the calls the kernel's
  // name and the numbers of its allocations, counting from 0 in the order of the calls; and the
  // same for the nodes of the graph.
  [[nodiscard]] bool write_accesses(const std::string& path) const;

 private:
  struct Launch {
    std::string name;
    std::set<uint64_t> allocations;
  };
  struct Sum {
    uint64_t count = 0;
    uint64_t bytes = 0;
  };
  struct Live {
    Space space;
    uint64_t bytes;
    std::string api;
    uint64_t number;  // of the allocation
  };
  [[nodiscard]] uint64_t allocation_at(const void* pointer) const;
  [[nodiscard]] std::string json() const;

  std::map<std::string, uint64_t> calls_;
  std::map<std::string, Sum> allocations_;
  std::map<std::string, Sum> frees_;  // by the name of the call that allocated
  std::map<const void*, Live> live_;
  std::map<Space, uint64_t> live_bytes_;
  std::map<Space, uint64_t> peak_bytes_;
  std::map<std::tuple<std::string, std::string, std::string>, Sum> copies_;
  Sum memsets_;
  std::map<std::string, uint64_t> kernels_;
  std::map<std::string, uint64_t> graph_nodes_;
  uint64_t graph_launches_ = 0;
  bool capturing_ = false;
  uint64_t allocation_count_ = 0;
  std::vector<Launch> launches_;
  std::vector<Launch> node_launches_;
  std::vector<double> losses_;
  std::string device_name_;
};

}  // namespace cuda_trainer
