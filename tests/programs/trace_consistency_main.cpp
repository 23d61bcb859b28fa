// trace_consistency TRACE: what trace_consistency.h says, as JSON on standard output. Exit status
// 0: consistent, 1: not, 2: no trace.
#include <cstdio>

#include "trace_consistency.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: trace_consistency TRACE\n", stderr);
    return 2;
  }
  const auto reader = tidemark::trace::Reader::open(argv[1]);
  if (!reader) {
    std::fprintf(stderr, "%s\n", reader.error().message.c_str());
    return 2;
  }
  const auto answer = tidemark::testing::check_consistency(**reader);
  if (!answer) {
    std::fprintf(stderr, "%s\n", answer.error().message.c_str());
    return 2;
  }
  std::printf("%s\n",
              answer->dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return (*answer)["problems"] == 0 ? 0 : 1;
}
