#include <exception>

#include "commands.h"
#include "console.h"

int main(int argc, char** argv) {
  try {
    return tidemark::cli::run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::exception& error) {
    // Out of memory, mostly.
    return tidemark::cli::complain(error.what(), tidemark::cli::kFailed);
  }
}
