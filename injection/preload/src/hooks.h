// What is exported from libtidemark_preload.so, and nothing else (exports.map lists the names).
#pragma once

namespace tidemark::preload {
// hooks_malloc.cpp: counts as a loss when the program's malloc is not ours.
void look_for_other_allocators();
}  // namespace tidemark::preload

#define TIDEMARK_EXPORT extern "C" [[gnu::visibility("default")]]
