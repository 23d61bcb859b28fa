// The hooks of a process that was attached to. Nothing was interposed when it started, so each
// module's bindings are redirected instead, and those of modules that are loaded later
// (got_patch.h). Not used where the library was preloaded.
//
// redirect_all() and restore_all() belong to attach and detach. redirect_new() may be called from
// any thread that holds no lock: it takes the loader's.
#pragma once

#include <cstdint>

namespace tidemark::preload {

struct BindingCounts {
  uint32_t modules = 0;
  uint32_t slots = 0;
  uint32_t foreign_modules = 0;
  uint32_t pending_modules = 0;
};

// Whether the dynamic linker itself binds the program to our hooks: then there is nothing to do.
bool bound_by_the_loader();

// Finds the real functions and makes the hooks call them; redirects nothing yet. False when there
// is no malloc to be found.
bool find_real_functions();
BindingCounts redirect_all();
void restore_all();
// Modules loaded since the last call.
void redirect_new();
// Something was loaded where we cannot look at once: the next dlsym does.
void expect_new_modules();

// The real function behind a hook, nullptr when unknown (or when nobody attached).
void* attached_real(const char* name);
// The hook for a function that dlsym found; otherwise what it found.
void* hook_of(const char* name, void* found);
bool is_hooked_name(const char* name);

// hooks_dl.cpp: entry points for the slots of dlopen and dlsym, which are not exported.
void set_real_dl_functions(void* real_dlopen, void* real_dlsym);
uint64_t dlopen_entry();
uint64_t dlsym_entry();

}  // namespace tidemark::preload
