#include "bindings.h"

#include <link.h>

#include <atomic>
#include <cstring>

#include "got_patch.h"
#include "real.h"
#include "recorder.h"
#include "tidemark/stack/modules.h"

namespace tidemark::preload {
namespace {

constexpr Binding binding(Family family, const char* name) {
  return {name, family, 0, 0, 0, false};
}
constexpr Binding heap(const char* name) { return binding(Family::kHeap, name); }
constexpr Binding cxx(const char* name) { return binding(Family::kNew, name); }
constexpr Binding other(const char* name) { return binding(Family::kOther, name); }

Binding g_bindings[] = {
    heap("malloc"),
    heap("calloc"),
    heap("realloc"),
    heap("reallocarray"),
    heap("free"),
    heap("posix_memalign"),
    heap("aligned_alloc"),
    heap("memalign"),
    heap("valloc"),
    heap("pvalloc"),
    cxx("_Znwm"),
    cxx("_Znam"),
    cxx("_ZnwmRKSt9nothrow_t"),
    cxx("_ZnamRKSt9nothrow_t"),
    cxx("_ZnwmSt11align_val_t"),
    cxx("_ZnamSt11align_val_t"),
    cxx("_ZnwmSt11align_val_tRKSt9nothrow_t"),
    cxx("_ZnamSt11align_val_tRKSt9nothrow_t"),
    cxx("_ZdlPv"),
    cxx("_ZdaPv"),
    cxx("_ZdlPvm"),
    cxx("_ZdaPvm"),
    cxx("_ZdlPvRKSt9nothrow_t"),
    cxx("_ZdaPvRKSt9nothrow_t"),
    cxx("_ZdlPvSt11align_val_t"),
    cxx("_ZdaPvSt11align_val_t"),
    cxx("_ZdlPvmSt11align_val_t"),
    cxx("_ZdaPvmSt11align_val_t"),
    cxx("_ZdlPvSt11align_val_tRKSt9nothrow_t"),
    cxx("_ZdaPvSt11align_val_tRKSt9nothrow_t"),
    other("mmap"),
    other("mmap64"),
    other("munmap"),
    other("mremap"),
    other("execve"),
    other("execv"),
    other("execvp"),
    other("execvpe"),
    other("execl"),
    other("execlp"),
    other("execle"),
    other("fexecve"),
    other("execveat"),
    other("posix_spawn"),
    other("posix_spawnp"),
    other("dlclose"),
    other("pthread_setname_np"),
    other("_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE"),
    other("_ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE"),
    other("_ZN3c1027reportOutOfMemoryToProfilerElmmNS_6DeviceE"),
    other("_ZN3c1027reportOutOfMemoryToProfilerEmmmNS_6DeviceE"),
    other("_ZN3c1027reportOutOfMemoryToProfilerElllNS_6DeviceE"),
    other("dlopen"),
    other("dlsym"),
};
constexpr size_t kBindings = sizeof g_bindings / sizeof *g_bindings;

// Where hooks keep the real functions that must be the program's own, whoever that is: a block goes
// back to the allocator that it came from.
struct RealSlot {
  const char* name;
  void** slot;
};
template <class Function>
RealSlot real_slot(const char* name, Function& function) {
  return {name, reinterpret_cast<void**>(&function)};
}

const char* file_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}
bool starts_with(const char* text, const char* start) {
  return std::strncmp(text, start, std::strlen(start)) == 0;
}

// The loader's own allocations stay among themselves; the kernel's library has none; ours are ours.
bool left_alone(const dl_phdr_info& info) {
  const char* name = file_name(info.dlpi_name);
  return starts_with(name, "ld-linux") || starts_with(name, "ld-2.") ||
         starts_with(name, "linux-vdso") || starts_with(name, "libtidemark_");
}

// All that follows is only touched under the loader's lock, which dl_iterate_phdr holds.
constexpr size_t kMostKnown = 4096;
uint64_t g_known[kMostKnown];  // modules that were done with
size_t g_known_count = 0;
unsigned long long g_removed = 0;  // modules, by the loader's count
std::atomic<bool> g_redirecting{false};
std::atomic<bool> g_expected{false};

uint64_t key_of(const dl_phdr_info& info) {
  return reinterpret_cast<uint64_t>(info.dlpi_phdr) * 0x9e3779b97f4a7c15ULL ^ info.dlpi_addr;
}
bool known(uint64_t key) {
  for (size_t i = 0; i < g_known_count; ++i) {
    if (g_known[i] == key) return true;
  }
  return false;
}

// The first definition in the order of loading is the one that a module is bound to which looks in
// the usual scope.
int collect(dl_phdr_info* info, size_t /*bytes*/, void* /*unused*/) {
  LoadedImage image;
  if (left_alone(*info) || known(key_of(*info)) || !read_image(*info, &image)) return 0;
  for (Binding& binding : g_bindings) {
    const uint64_t found = find_definition(image, binding.name, binding.hash);
    if (found == 0) continue;
    if (binding.real == 0) __atomic_store_n(&binding.real, found, __ATOMIC_RELEASE);
    if (binding.real != found) binding.ambiguous = true;
  }
  return 0;
}

struct Pass {
  ProtectionMap protections;
  BindingCounts counts;
  bool begun = false;
  bool usable = false;
};

int redirect_one(dl_phdr_info* info, size_t /*bytes*/, void* data) {
  auto& pass = *static_cast<Pass*>(data);
  if (!pass.begun) {
    pass.begun = true;
    pass.usable = pass.protections.load();
    // An address may mean another module now.
    if (info->dlpi_subs != g_removed) g_known_count = 0;
    g_removed = info->dlpi_subs;
  }
  if (!pass.usable) return 1;
  const uint64_t key = key_of(*info);
  LoadedImage image;
  if (known(key) || left_alone(*info) || !read_image(*info, &image)) return 0;
  const Patched patched = redirect(image, g_bindings, kBindings, pass.protections);
  pass.counts.modules += patched.slots != 0 ? 1 : 0;
  pass.counts.slots += patched.slots;
  pass.counts.foreign_modules += patched.foreign ? 1 : 0;
  pass.counts.pending_modules += patched.pending ? 1 : 0;
  // A full table costs time, nothing else: redirecting twice is harmless.
  if (!patched.pending && g_known_count < kMostKnown) g_known[g_known_count++] = key;
  return 0;
}

BindingCounts pass_over_modules() {
  Pass pass;
  dl_iterate_phdr(collect, nullptr);
  dl_iterate_phdr(redirect_one, &pass);
  if (pass.counts.pending_modules != 0) expect_new_modules();
  return pass.counts;
}

int restore_one(dl_phdr_info* info, size_t /*bytes*/, void* /*unused*/) {
  LoadedImage image;
  if (!left_alone(*info) && read_image(*info, &image)) restore(image, g_bindings, kBindings);
  g_known_count = 0;
  return 0;
}

Binding* find_binding(const char* name) {
  for (Binding& binding : g_bindings) {
    if (std::strcmp(binding.name, name) == 0) return &binding;
  }
  return nullptr;
}

void set_hooks() {
  const auto here = reinterpret_cast<uint64_t>(&set_hooks);
  const stack::Module* own = stack::find_module(here, true);
  for (Binding& binding : g_bindings) {
    binding.hash = gnu_hash(binding.name);
    binding.hook = own == nullptr ? 0 : stack::find_symbol(*own, binding.name);
  }
  find_binding("dlopen")->hook = dlopen_entry();
  find_binding("dlsym")->hook = dlsym_entry();
}

// The first module of the program and its libraries that has a malloc: is it ours?
int find_first_malloc(dl_phdr_info* info, size_t /*bytes*/, void* data) {
  LoadedImage image;
  if (!read_image(*info, &image)) return 0;
  const uint64_t found = find_definition(image, "malloc", gnu_hash("malloc"));
  if (found == 0) return 0;
  *static_cast<bool*>(data) = starts_with(file_name(info->dlpi_name), "libtidemark_");
  return 1;
}

}  // namespace

bool bound_by_the_loader() {
  bool ours = false;
  dl_iterate_phdr(find_first_malloc, &ours);
  return ours;
}

bool find_real_functions() {
  set_hooks();
  // Looked up anew: what an earlier recording found may have been unloaded since.
  for (Binding& binding : g_bindings) binding.real = 0;
  g_known_count = 0;
  dl_iterate_phdr(collect, nullptr);
  const RealSlot slots[] = {
      real_slot("malloc", g_real.malloc),
      real_slot("calloc", g_real.calloc),
      real_slot("realloc", g_real.realloc),
      real_slot("reallocarray", g_real.reallocarray),
      real_slot("free", g_real.free),
      real_slot("posix_memalign", g_real.posix_memalign),
      real_slot("aligned_alloc", g_real.aligned_alloc),
      real_slot("memalign", g_real.memalign),
      real_slot("valloc", g_real.valloc),
      real_slot("pvalloc", g_real.pvalloc),
      real_slot("mmap", g_real.mmap),
      real_slot("mmap64", g_real.mmap64),
      real_slot("munmap", g_real.munmap),
      real_slot("mremap", g_real.mremap),
  };
  for (const RealSlot& real : slots) {
    const Binding* binding = find_binding(real.name);
    if (binding->real == 0) return false;
    *real.slot = reinterpret_cast<void*>(binding->real);
  }
  set_real_dl_functions(reinterpret_cast<void*>(find_binding("dlopen")->real),
                        reinterpret_cast<void*>(find_binding("dlsym")->real));
  return true;
}

BindingCounts redirect_all() {
  g_redirecting.store(true, std::memory_order_release);
  pass_over_modules();
  // Once more: another thread may have bound a slot for itself just when we had redirected it.
  g_known_count = 0;
  return pass_over_modules();
}

void restore_all() {
  g_redirecting.store(false, std::memory_order_release);
  dl_iterate_phdr(restore_one, nullptr);
}

void redirect_new() {
  if (!g_redirecting.load(std::memory_order_acquire)) return;
  g_expected.store(false, std::memory_order_relaxed);
  Pause pause;
  pass_over_modules();
}

void expect_new_modules() { g_expected.store(true, std::memory_order_relaxed); }
bool new_modules_expected() { return g_expected.load(std::memory_order_relaxed); }

void* attached_real(const char* name) {
  if (!g_redirecting.load(std::memory_order_acquire)) return nullptr;
  const Binding* binding = find_binding(name);
  return binding == nullptr
             ? nullptr
             : reinterpret_cast<void*>(__atomic_load_n(&binding->real, __ATOMIC_ACQUIRE));
}

bool is_hooked_name(const char* name) { return find_binding(name) != nullptr; }

void* hook_of(const char* name, void* found) {
  const Binding* binding = find_binding(name);
  const bool ours = binding != nullptr && binding->hook != 0 && found != nullptr &&
                    binding->real == reinterpret_cast<uint64_t>(found);
  return ours ? reinterpret_cast<void*>(binding->hook) : found;
}

}  // namespace tidemark::preload
