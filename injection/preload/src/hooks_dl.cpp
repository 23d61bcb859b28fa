// dlopen and dlsym in a process that was attached to: modules that come later are redirected too.
//
// What dlopen finds may depend on who calls it (the caller's search path), and so may dlsym: there
// the real function is jumped to with the program's own return address, and the new modules are
// looked for at the next dlsym, before the program can get at anything in them.
#include <dlfcn.h>

#include <cstring>

#include "bindings.h"
#include "process.h"

namespace tidemark::preload {

bool new_modules_expected();  // bindings.cpp

}  // namespace tidemark::preload

using namespace tidemark::preload;  // the file is its hooks

extern "C" {

[[gnu::visibility("hidden")]] void* (*tidemark_real_dlopen)(const char*, int) = nullptr;
[[gnu::visibility("hidden")]] void* (*tidemark_real_dlsym)(void*, const char*) = nullptr;

// Whether the answer is the same for every caller.
[[gnu::visibility("hidden"), gnu::used]] bool tidemark_dlopen_is_plain(const char* file) {
  if (!recording()) return false;
  const bool plain =
      file == nullptr || (std::strchr(file, '/') != nullptr && std::strchr(file, '$') == nullptr);
  if (!plain) expect_new_modules();
  return plain;
}

[[gnu::visibility("hidden"), gnu::used]] void* tidemark_dlopen_plain(const char* file, int mode) {
  void* handle = tidemark_real_dlopen(file, mode);
  if (handle != nullptr && file != nullptr) redirect_new();
  return handle;
}

// The answer, or nullptr: ask the real one.
[[gnu::visibility("hidden"), gnu::used]] void* tidemark_before_dlsym(void* handle,
                                                                     const char* name) {
  if (!recording()) return nullptr;
  if (new_modules_expected()) redirect_new();
  if (handle == RTLD_NEXT || name == nullptr || !is_hooked_name(name)) return nullptr;
  return hook_of(name, tidemark_real_dlsym(handle, name));
}

[[gnu::naked, gnu::visibility("hidden")]] void tidemark_dlopen_entry() {
  asm("pushq %rdi\n"
      ".cfi_adjust_cfa_offset 8\n"
      "pushq %rsi\n"
      ".cfi_adjust_cfa_offset 8\n"
      "subq $8, %rsp\n"
      ".cfi_adjust_cfa_offset 8\n"
      "call tidemark_dlopen_is_plain\n"
      "addq $8, %rsp\n"
      ".cfi_adjust_cfa_offset -8\n"
      "popq %rsi\n"
      ".cfi_adjust_cfa_offset -8\n"
      "popq %rdi\n"
      ".cfi_adjust_cfa_offset -8\n"
      "testb %al, %al\n"
      "jnz tidemark_dlopen_plain\n"
      "jmp *tidemark_real_dlopen(%rip)");
}

[[gnu::naked, gnu::visibility("hidden")]] void tidemark_dlsym_entry() {
  asm("pushq %rdi\n"
      ".cfi_adjust_cfa_offset 8\n"
      "pushq %rsi\n"
      ".cfi_adjust_cfa_offset 8\n"
      "subq $8, %rsp\n"
      ".cfi_adjust_cfa_offset 8\n"
      "call tidemark_before_dlsym\n"
      "addq $8, %rsp\n"
      ".cfi_adjust_cfa_offset -8\n"
      "popq %rsi\n"
      ".cfi_adjust_cfa_offset -8\n"
      "popq %rdi\n"
      ".cfi_adjust_cfa_offset -8\n"
      "testq %rax, %rax\n"
      "jnz 1f\n"
      "jmp *tidemark_real_dlsym(%rip)\n"
      "1: ret");
}

}  // extern "C"

namespace tidemark::preload {

void set_real_dl_functions(void* real_dlopen, void* real_dlsym) {
  tidemark_real_dlopen = reinterpret_cast<void* (*)(const char*, int)>(real_dlopen);
  tidemark_real_dlsym = reinterpret_cast<void* (*)(void*, const char*)>(real_dlsym);
}
uint64_t dlopen_entry() { return reinterpret_cast<uint64_t>(&tidemark_dlopen_entry); }
uint64_t dlsym_entry() { return reinterpret_cast<uint64_t>(&tidemark_dlsym_entry); }

}  // namespace tidemark::preload
