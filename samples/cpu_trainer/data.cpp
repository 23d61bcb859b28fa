#include "data.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

namespace cpu_trainer {
namespace {

constexpr size_t kFirstCapacity = 1 << 16;
constexpr size_t kBatchesAhead = 4;

constexpr std::array<std::string_view, 8> kSubjects = {"the tide", "a gull",      "the old keeper",
                                                       "one wave", "the harbour", "a boat",
                                                       "the moon", "salt"};
constexpr std::array<std::string_view, 8> kVerbs = {"leaves", "carries", "remembers", "follows",
                                                    "meets",  "covers",  "watches",   "marks"};
constexpr std::array<std::string_view, 8> kObjects = {"the stone",      "a line",       "the shore",
                                                      "its own shadow", "the rope",     "an anchor",
                                                      "the sand",       "every morning"};

uint16_t token_of(char character) {
  if (character == ' ') return 26;
  if (character == '.') return 27;
  return static_cast<uint16_t>(character - 'a');
}

}  // namespace

TextBuffer::~TextBuffer() { std::free(bytes_); }

void TextBuffer::append(std::string_view text) {
  if (size_ + text.size() > capacity_) {
    const size_t wanted = std::max({kFirstCapacity, 2 * capacity_, size_ + text.size()});
    char* grown = static_cast<char*>(std::realloc(bytes_, wanted));
    if (grown == nullptr) throw std::bad_alloc();
    bytes_ = grown;
    capacity_ = wanted;
  }
  std::memcpy(bytes_ + size_, text.data(), text.size());
  size_ += text.size();
}

void write_text(Random& random, size_t bytes, TextBuffer& text) {
  while (text.view().size() < bytes) {
    text.append(kSubjects[random.below(kSubjects.size())]);
    text.append(" ");
    text.append(kVerbs[random.below(kVerbs.size())]);
    text.append(" ");
    text.append(kObjects[random.below(kObjects.size())]);
    text.append(". ");
  }
}

Dataset::Dataset(std::string_view text) : size_(text.size()) {
  void* mapping = mmap(nullptr, size_ * sizeof(uint16_t), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "cannot map the data set");
  }
  tokens_ = static_cast<uint16_t*>(mapping);
  std::transform(text.begin(), text.end(), tokens_, token_of);
}

Dataset::~Dataset() { munmap(tokens_, size_ * sizeof(uint16_t)); }

DataLoader::DataLoader(const Dataset& dataset, size_t batch, size_t sequence, uint64_t seed)
    : dataset_(dataset), batch_(batch), sequence_(sequence), random_(seed), thread_([this] {
        produce();
      }) {}

DataLoader::~DataLoader() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<Batch> DataLoader::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty(); });
  std::unique_ptr<Batch> batch = std::move(ready_.front());
  ready_.pop_front();
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void DataLoader::produce() {
  pthread_setname_np(pthread_self(), "data_loader");
  while (true) {
    std::unique_ptr<Batch> batch = cut_batch();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || ready_.size() < kBatchesAhead; });
    if (stopping_) return;
    ready_.push_back(std::move(batch));
    lock.unlock();
    changed_.notify_all();
  }
}

std::unique_ptr<Batch> DataLoader::cut_batch() {
  auto batch = std::make_unique<Batch>();
  batch->tokens.reserve(batch_ * sequence_);
  batch->targets.reserve(batch_ * sequence_);
  for (size_t i = 0; i < batch_; ++i) {
    const uint16_t* start = dataset_.tokens() + random_.below(dataset_.size() - sequence_);
    batch->tokens.insert(batch->tokens.end(), start, start + sequence_);
    batch->targets.insert(batch->targets.end(), start + 1, start + sequence_ + 1);
  }
  return batch;
}

}  // namespace cpu_trainer
