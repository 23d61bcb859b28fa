// The live mappings of one process as disjoint intervals. Pure.
//
// A mapping may be unmapped or replaced in part; its row in the trace then ends and each remaining
// piece begins as a row of its own, with the same stack:
//
//     before        [-------- row 1 --------]
//     cut                  [///]
//     after         [row 2]     [-- row 3 --]      removed: row 1    pieces: 2, 3
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "tidemark/trace/types.h"

namespace tidemark::collector {

struct Mapping {
  uint64_t start = 0;
  uint64_t end = 0;
  trace::AllocationId row{};
  trace::ThreadId thread{};
  trace::StackId stack{};
  int64_t since_ns = 0;  // of a piece: when the cut was
};

class OsMap {
 public:
  // Takes [start, end) out. The mappings that it touched, whole as they were, go to `removed`; what
  // is left of them goes to `pieces`, not yet in the map: insert() each once it has its row.
  void cut(uint64_t start, uint64_t end, std::vector<Mapping>& removed,
           std::vector<Mapping>& pieces);
  // [start, end) must be free.
  void insert(const Mapping& mapping) { by_start_.insert_or_assign(mapping.start, mapping); }
  [[nodiscard]] size_t size() const { return by_start_.size(); }

 private:
  std::map<uint64_t, Mapping> by_start_;
};

}  // namespace tidemark::collector
