// What the commands write: answers to standard output, everything else to standard error, and the
// exit statuses. Main thread only.
#pragma once

#include <string>
#include <string_view>

#include "tidemark/trace/result.h"

namespace tidemark::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;    // the machine's fault: a full disk, say
inline constexpr int kWrongUse = 2;  // the caller's: a wrong option, a file that is no trace

// Prints "tidemark: <message>" as one line; returns `status`.
int complain(std::string_view message, int status = kWrongUse);

// Standard output. When whoever read it has gone (`tidemark report x.db | head`), writing fails and
// that is the end of it: no message, and status() stays 0.
class Output {
 public:
  // False: stop writing.
  bool write(std::string_view text);
  // Flushes; the command's exit status, after a message when writing failed.
  [[nodiscard]] int finish();

 private:
  int error_ = 0;  // errno of the first failure
};

// Writes `text` to `path`, or to standard output when `path` is empty. `trace_path` is never
// overwritten. Returns the exit status.
int write_answer(const std::string& path, const std::string& trace_path, std::string_view text);

}  // namespace tidemark::cli
