#include "console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tidemark/analyzer/text.h"

namespace tidemark::cli {

int complain(std::string_view message, int status) {
  const std::string line = "tidemark: " + analyzer::printable(message) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
  return status;
}

bool Output::write(std::string_view text) {
  if (error_ != 0) return false;
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    error_ = errno != 0 ? errno : EIO;
  }
  return error_ == 0;
}

int Output::finish() {
  errno = 0;
  if (error_ == 0 && std::fflush(stdout) != 0) error_ = errno != 0 ? errno : EIO;
  if (error_ == 0) return kOk;
  if (error_ == EPIPE) {
    // Otherwise exit() would try once more.
    close(STDOUT_FILENO);
    return kOk;
  }
  return complain(fmt::format("cannot write to standard output: {}", std::strerror(error_)),
                  kFailed);
}

int write_answer(const std::string& path, const std::string& trace_path, std::string_view text) {
  if (path.empty()) {
    Output output;
    output.write(text);
    return output.finish();
  }
  std::error_code ignored;
  if (std::filesystem::equivalent(path, trace_path, ignored)) {
    return complain(fmt::format("{} is the trace itself; choose another file for -o", path));
  }
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  if (!file) {
    return complain(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  }
  file << text;
  file.close();
  if (!file) {
    return complain(fmt::format("cannot write {}: {}", path, std::strerror(errno)), kFailed);
  }
  return kOk;
}

}  // namespace tidemark::cli
