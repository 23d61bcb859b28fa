// Faults planted on purpose: proof that a sanitizer run can fail. Only built with sanitizers, only
// run by the tests that expect the report.
#include <climits>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace {

int overflow_heap(size_t beyond) {
  const std::vector<int> numbers(4, 1);
  const int* data = numbers.data();
  return data[numbers.size() + beyond];
}

int overflow_integer(int by) { return INT_MAX - 1 + by; }

int race() {
  int shared = 0;
  std::thread other([&shared] {
    for (int i = 0; i < 100000; ++i) ++shared;
  });
  for (int i = 0; i < 100000; ++i) ++shared;
  other.join();
  return shared;
}

}  // namespace

int main(int argc, char** argv) {
  const char* fault = argc == 2 ? argv[1] : "";
  int result = 0;
  if (std::strcmp(fault, "heap") == 0) result = overflow_heap(static_cast<size_t>(argc - 2));
  if (std::strcmp(fault, "integer") == 0) result = overflow_integer(argc);
  if (std::strcmp(fault, "race") == 0) result = race();
  std::printf("no sanitizer stopped the fault: %d\n", result);
  return 0;
}
