// Text that this program makes up itself, its tokens in one big mapping, and a thread that cuts
// batches out of it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "random.h"

namespace cpu_trainer {

inline constexpr size_t kVocabulary = 28;  // a–z, space, full stop

// Bytes appended one word at a time to a buffer that doubles by realloc.
class TextBuffer {
 public:
  TextBuffer() = default;
  TextBuffer(const TextBuffer&) = delete;
  TextBuffer& operator=(const TextBuffer&) = delete;
  ~TextBuffer();
  void append(std::string_view text);
  [[nodiscard]] std::string_view view() const { return {bytes_, size_}; }

 private:
  char* bytes_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Sentences of a small grammar, at least `bytes` of them.
void write_text(Random& random, size_t bytes, TextBuffer& text);

// The tokens of a text, in an anonymous mapping. Read by any thread.
class Dataset {
 public:
  explicit Dataset(std::string_view text);
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;
  ~Dataset();
  [[nodiscard]] const uint16_t* tokens() const { return tokens_; }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  uint16_t* tokens_;
  size_t size_;
};

struct Batch {
  std::vector<uint16_t> tokens;   // batch × sequence
  std::vector<uint16_t> targets;  // the token after each
};

// Makes batches on a thread of its own, a few ahead. next() hands one over: the caller frees it.
class DataLoader {
 public:
  DataLoader(const Dataset& dataset, size_t batch, size_t sequence, uint64_t seed);
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;
  ~DataLoader();
  std::unique_ptr<Batch> next();

 private:
  void produce();
  std::unique_ptr<Batch> cut_batch();

  const Dataset& dataset_;
  size_t batch_;
  size_t sequence_;
  Random random_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Batch>> ready_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace cpu_trainer
