// In the place of hooks_malloc.cpp and hooks_new.cpp where the heap is not recorded.
#include "hooks.h"

namespace tidemark::preload {

void look_for_other_allocators() {}
void resolve_new_and_delete() {}

}  // namespace tidemark::preload
