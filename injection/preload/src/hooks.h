// What is exported from libtidemark_preload.so, and nothing else (exports.map lists the names).
// libtidemark_preload_device.so has neither hooks_malloc.cpp nor hooks_new.cpp.
#pragma once

namespace tidemark::preload {
// hooks_malloc.cpp: counts as a loss when the program's malloc is not ours.
void look_for_other_allocators();
// hooks_new.cpp: finds the program's own operators that are there at its start.
void resolve_new_and_delete();
}  // namespace tidemark::preload

#define TIDEMARK_EXPORT extern "C" [[gnu::visibility("default")]]
