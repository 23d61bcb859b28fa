// Errors as values. A message says what failed, where, and what the user can do about it; it is one
// line without a trailing full stop, so that a caller can put context before it.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace tidemark {

struct Error {
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace tidemark
