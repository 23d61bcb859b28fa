// A recursion of 40,000 frames with allocations on the way down, at the bottom and on the way up:
// deeper than any recorder keeps, and the innermost frames are the ones that matter.
#include <cstdio>

#include "opaque.h"

namespace {

constexpr int kDepth = 40000;
constexpr int kEvery = 100;

NOINLINE int descend(int depth) {
  void* block = depth % kEvery == 0 ? g_malloc(1001) : nullptr;
  const int below = depth == 0 ? 0 : descend(depth - 1);
  if (block != nullptr) {
    g_free(block);
    pairs(1, 2002);
  }
  return below + 1;
}

}  // namespace

int main() {
  std::printf("%d frames\n", descend(kDepth));
  return 0;
}
