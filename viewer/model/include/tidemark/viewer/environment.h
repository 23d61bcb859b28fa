// The environment of the process, as what asks for it is given it: tests give another.
#pragma once

#include <functional>
#include <string>

namespace tidemark::viewer {

using Environment = std::function<std::string(const char*)>;  // "": not set

// The process's own. Nobody in the viewer sets variables.
std::string environment_variable(const char* name);

}  // namespace tidemark::viewer
