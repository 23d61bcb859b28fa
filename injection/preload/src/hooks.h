// What is exported from libtidemark_preload.so, and nothing else (exports.map lists the names).
#pragma once

#define TIDEMARK_EXPORT extern "C" [[gnu::visibility("default")]]
