#include "tidemark/viewer/environment.h"

#include <cstdlib>

namespace tidemark::viewer {

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables
  return value == nullptr ? "" : value;
}

}  // namespace tidemark::viewer
