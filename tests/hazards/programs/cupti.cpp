// Stands for libcupti.so: answers what ANSWER says, and shows that it was really asked.
#include <cstdlib>

extern "C" int cuptiSubscribe(void** subscriber, void* /*callback*/, void* user_data) {
  *subscriber = user_data;
  *static_cast<int*>(user_data) = 7;
  const char* answer = std::getenv("ANSWER");
  return answer == nullptr ? 0 : std::atoi(answer);
}
