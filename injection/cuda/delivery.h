// The asynchronous half: hands CUPTI empty buffers and turns the full ones into wire records.
//
// What is published from here: Transfer, Memset, Kernel and Migration for every record of those
// kinds (a kernel inside a CUDA graph is one record of its own: GRAPH_TRACE stays off), and, of
// MEMORY2, what a memory pool held, and of allocations only the memory of modules (api "cuda
// module"). All other MEMORY2 records tell of calls that the
// API callbacks have published already, at once and with a stack: publishing both would count the
// memory twice. Telling the two apart by address would be wrong, since records come late and the
// address may have been freed and handed out again by then; a module's memory kind tells it for
// certain. What is neither is only counted, in meta "cuda.memory2.uncovered": it shows, on a real
// machine, an allocation that no callback covers.
//
// Any thread: CUPTI calls back on its own threads, on the flush thread, and on the program's.
#pragma once

#include <cupti.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "access.h"
#include "cupti_library.h"
#include "flat_table.h"
#include "pages.h"
#include "tidemark/wire/client.h"
#include "window.h"

namespace tidemark::cuda {

class Delivery {
 public:
  // `access` is told of the memory of modules; what `window` leaves out is only counted.
  Delivery(const wire::Client& client, const Cupti& cupti, AccessRecorder& access,
           const Window& window)
      : client_(client), cupti_(cupti), access_(access), window_(window) {}

  // After cuptiActivityEnableAllocationSource succeeded: records are long enough to have a source.
  void expect_sources() { sources_ = true; }

  uint8_t* request_buffer() { return pool_.take(); }
  void complete(uint8_t* buffer, size_t valid_bytes);

  // An API callback has published what this call did to memory.
  void cover(uint32_t correlation);
  // The texts of kernel names may go with their module.
  void forget_names();
  void publish_uncovered();

 private:
  void publish(const CUpti_Activity& record);
  void publish_memory(const CUpti_ActivityMemory3& record);
  void publish_migration(const CUpti_ActivityUnifiedMemoryCounter2& record);
  template <class Record>
  void publish_timed(const Record& record, bool timed);
  bool left_out(uint32_t correlation, wire::Loss counter);
  wire::NameId name_id(const char* name);
  bool covered(uint32_t correlation) const;

  // Correlation ids are taken by every call, so a set of the latest few memory calls is enough:
  // one slot for each remainder.
  static constexpr uint32_t kCovered = uint32_t{1} << 17;

  const wire::Client& client_;
  const Cupti& cupti_;
  AccessRecorder& access_;
  const Window& window_;
  bool sources_ = false;
  BufferPool pool_;
  SpinLock names_lock_;
  FlatTable<wire::NameId> names_;  // by address of the text: hashing it once is enough
  std::atomic<uint32_t> covered_[kCovered] = {};
  std::atomic<uint64_t> uncovered_records_{0};
  std::atomic<uint64_t> uncovered_bytes_{0};
};

}  // namespace tidemark::cuda
