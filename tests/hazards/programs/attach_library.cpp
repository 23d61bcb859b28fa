// Loaded by attach_target after it was attached to.
#include <cstdlib>

extern "C" void make_blocks(int count, size_t bytes, void** blocks);
extern "C" void make_blocks(int count, size_t bytes, void** blocks) {
  for (int i = 0; i < count; ++i) blocks[i] = std::malloc(bytes);
}
