// Asks for CUPTI's subscription, as a profiler inside of a program does, and prints the answer.
#include <cstdio>

extern "C" int cuptiSubscribe(void** subscriber, void* callback, void* user_data);

int main() {
  void* subscriber = nullptr;
  int user_data = 0;
  const int result = cuptiSubscribe(&subscriber, nullptr, &user_data);
  std::printf("%d %d\n", result, user_data);
}
