// Which pages of the address space have ever held memory that CUDA handed out: what decides, for
// each word of each kernel's arguments, whether it can be a pointer into such memory.
//
//   word ──▶ below 2^48? ──▶ bit of its 2 MiB page set? ──▶ keep it: the collector, which knows
//                                                           what lives, looks closer
//
// A page is never taken out again, so there is nothing to keep in step with frees, failed frees and
// other threads: reading is two loads, and a word that is thrown away cannot have been a pointer.
// What is kept too much (a pointer into memory that is gone, or beside a small block) costs eight
// bytes on the wire.
//
// add() and holds() from any thread; no lock. An address is told before the call that allocated it
// returns to the program, so every launch that is handed it sees its bit.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pages.h"

namespace tidemark::cuda {

class PageSet {
 public:
  static constexpr unsigned kPageBits = 21;     // of large device pages
  static constexpr unsigned kAddressBits = 48;  // of user space: the driver takes device addresses
                                                // from there, so that one pointer has one meaning

  // 16 MiB of addresses, of which 4 KiB for each 64 GiB in use cost memory. Before anything else.
  bool create() {
    bits_ = static_cast<std::atomic<uint64_t>*>(map_pages(kWords * sizeof(uint64_t)));
    return bits_ != nullptr;
  }
  bool created() const { return bits_ != nullptr; }

  // False: some of it lies where no address of this machine should.
  bool add(uint64_t address, uint64_t bytes) {
    if (bytes == 0 || bits_ == nullptr) return true;
    const uint64_t last = address + bytes - 1;
    if (last < address || last >> kAddressBits != 0) return false;
    const uint64_t last_page = last >> kPageBits;
    for (uint64_t page = address >> kPageBits; page <= last_page;) {
      const uint64_t first_bit = page % 64;
      const uint64_t left = last_page - page + 1;
      const uint64_t count = left < 64 - first_bit ? left : 64 - first_bit;
      const uint64_t mask = count == 64 ? ~uint64_t{0} : ((uint64_t{1} << count) - 1) << first_bit;
      std::atomic<uint64_t>& word = bits_[page / 64];
      if ((word.load(std::memory_order_relaxed) & mask) != mask) {
        word.fetch_or(mask, std::memory_order_relaxed);
      }
      page += count;
    }
    return true;
  }

  bool holds(uint64_t word) const {
    if (word >> kAddressBits != 0) return false;
    const uint64_t page = word >> kPageBits;
    return (bits_[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) != 0;
  }

 private:
  static constexpr size_t kWords = size_t{1} << (kAddressBits - kPageBits - 6);

  std::atomic<uint64_t>* bits_ = nullptr;
};

}  // namespace tidemark::cuda
