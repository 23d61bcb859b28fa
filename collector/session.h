// Drains the arena: finds the rings of all processes, reads them in passes, merges and pairs what
// they hold, and gives back the slots of threads and processes that have ended. One thread, and one
// that empties rings during long passes.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.h"
#include "losses.h"
#include "merge.h"
#include "pairing.h"
#include "ring_emptier.h"

namespace tidemark::collector {

uint64_t monotonic_ns();

class Session {
 public:
  // All must outlive it.
  Session(Arena& arena, Pairing& pairing, Losses& losses);

  // Drains every ring once and delivers what may be delivered. Returns the bytes taken. After a
  // burst it takes as long as what has piled up: `watch` is called now and then.
  uint64_t pass(std::function<void()> watch = {});
  // Ends processes and frees slots whose owners are gone without a word. `root` is left alone: its
  // parent learns its end from the kernel.
  void check_liveness(int32_t root);
  // The process has ended: what its rings still hold is taken by the next pass.
  void end_root(int32_t pid, uint64_t time_ns, int32_t exit);
  // Goes on emptying rings, so that targets run on, but delivers nothing any more.
  void discard() { discarding_ = true; }

  // Nothing waits for a later pass.
  [[nodiscard]] bool is_drained() const;
  // Whether any recorded process other than those that have ended still lives.
  [[nodiscard]] uint32_t running_processes() const;
  // Losses that the injected side counted since the last call.
  void take_target_losses();

 private:
  struct Slot {
    Lane lane;
    std::unique_ptr<Producer> producer;
    uint64_t idle_since_ns = 0;
    // A name that a thread gets from another, or by prctl, is seen by looking at it.
    std::string name;
    bool name_trusted = false;
    uint64_t named_ns = 0;
    bool over = false;  // closed, or its owner is gone: free it once it is empty
  };
  void open_slot(uint32_t index, wire::RingHeader& header);
  void open_new_slots();
  // Between the events of a pass.
  void meanwhile();
  // On the emptier's thread.
  void empty_rings();
  void end_gone_processes();
  void free_finished_slots();
  bool is_ours(const RingIdentity& who);
  void look_at_name(Slot& slot, uint64_t now_ns);

  Arena& arena_;
  Pairing& pairing_;
  Losses& losses_;
  TickClock clock_;
  Merge merge_;
  std::map<uint32_t, Slot> slots_;
  std::map<uint64_t, bool> ours_;  // by process key
  std::vector<Lane*> lanes_;
  std::vector<int32_t> over_pids_;
  // Seen dead at a time; they end once nothing of theirs is left in any ring.
  std::map<ProcessState*, uint64_t> gone_;
  uint64_t target_losses_[wire::kLossSlots] = {};
  bool discarding_ = false;
  // slots_ changes, and rings are emptied, under it.
  mutable std::mutex rings_;
  size_t most_backlog_;               // bytes that may be out of the rings and not delivered
  std::atomic<size_t> collected_{0};  // of those: no longer aside
  std::function<void()> watch_;
  uint64_t pass_began_ns_ = 0;
  uint64_t looked_ns_ = 0;
  uint64_t opened_ns_ = 0;
  RingEmptier emptier_;  // last: its thread uses the rest
};

}  // namespace tidemark::collector
