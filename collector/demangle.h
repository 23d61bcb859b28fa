#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <string>

namespace tidemark::collector {

// The C++ name of a mangled one; anything else as it is. Names come from targets and files: a
// length limit keeps the demangler's recursion within bounds.
inline std::string demangle(const std::string& name) {
  if (name.size() < 3 || name.size() > 16384 || name[0] != '_' || name[1] != 'Z') return name;
  int status = 0;
  char* plain = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  if (status != 0 || plain == nullptr) return name;
  std::string text(plain);
  std::free(plain);
  return text;
}

}  // namespace tidemark::collector
