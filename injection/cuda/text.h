// A text of bounded length on the stack: messages and facts without the target's heap or its
// locale. What does not fit is cut off; the text is always terminated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::cuda {

template <size_t kBytes>
class Text {
 public:
  Text() = default;
  explicit Text(const char* text) { *this << text; }

  Text& operator<<(const char* text) {
    while (text != nullptr && *text != '\0' && length_ + 1 < kBytes) bytes_[length_++] = *text++;
    bytes_[length_] = '\0';
    return *this;
  }
  Text& operator<<(uint64_t number) {
    char digits[21] = {};
    char* first = digits + sizeof digits - 1;
    do {
      *--first = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << static_cast<const char*>(first);
  }

  // The text up to and without its last '/': the folder of a path. Empty when there is none.
  void keep_folder() {
    while (length_ > 0 && bytes_[length_] != '/') --length_;
    bytes_[length_] = '\0';
  }
  void clear() {
    length_ = 0;
    bytes_[0] = '\0';
  }
  const char* c_str() const { return bytes_; }
  size_t size() const { return length_; }
  bool empty() const { return length_ == 0; }

 private:
  char bytes_[kBytes] = {};
  size_t length_ = 0;
};

using Path = Text<1024>;
using Message = Text<512>;

}  // namespace tidemark::cuda
