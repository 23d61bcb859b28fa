#include "environment.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "process.h"
#include "tidemark/stack/syscalls.h"
#include "tidemark/wire/layout.h"

namespace tidemark::preload {
namespace {

constexpr size_t kMostBytes = 4096;
constexpr size_t kMostAdded = 6;  // entries that a child's environment gets, with its end
constexpr char kPreload[] = "LD_PRELOAD";

// "NAME=value" of each of ours, empty when it was not set.
char g_arena[kMostBytes];
char g_cuda[kMostBytes];
char g_nvtx[kMostBytes];                 // only where it names our library
char g_preload[kMostBytes];              // LD_PRELOAD=<our library only>
size_t g_preload_path_bytes;             // of our library's path
char** g_program_environment = nullptr;  // as it was when we extended it
char** g_own_environment = nullptr;      // extended; nullptr: not
char g_sanitizer[kMostBytes];

const char* value_of(char* const* environment, const char* name) {
  const size_t bytes = std::strlen(name);
  for (char* const* entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, name, bytes) == 0 && (*entry)[bytes] == '=') return *entry + bytes + 1;
  }
  return nullptr;
}

void keep(char (&into)[kMostBytes], const char* name, const char* value) {
  const size_t name_bytes = std::strlen(name);
  const size_t value_bytes = value == nullptr ? 0 : std::strlen(value) + 1;  // with its end
  if (value == nullptr || name_bytes + 1 + value_bytes > sizeof into) return;
  std::memcpy(into, name, name_bytes);
  into[name_bytes] = '=';
  std::memcpy(into + name_bytes + 1, value, value_bytes);
}

// LD_PRELOAD without our library in it.
bool lacks_preload(const char* value) {
  return g_preload[0] != 0 &&
         (value == nullptr || std::strstr(value, g_preload + sizeof kPreload) == nullptr);
}

size_t count_of(char* const* environment) {
  size_t count = 0;
  while (environment != nullptr && environment[count] != nullptr) ++count;
  return count;
}

}  // namespace

ArenaAddress arena_address() { return parse_arena_address(std::getenv(wire::kArenaVariable)); }

ArenaAddress parse_arena_address(const char* value) {
  ArenaAddress address{};
  if (value == nullptr) return address;
  const char* colon = std::strrchr(value, ':');
  const auto bytes = colon == nullptr ? 0 : static_cast<size_t>(colon - value);
  if (bytes == 0 || bytes >= sizeof address.path) return address;
  address.nonce = std::strtoull(colon + 1, nullptr, 16);
  std::memcpy(address.path, value, bytes);
  return address;
}

bool under_valgrind() {
  const char* preload = std::getenv(kPreload);
  return preload != nullptr && std::strstr(preload, "/vgpreload_core") != nullptr;
}

void remember_environment() {
  keep(g_arena, wire::kArenaVariable, std::getenv(wire::kArenaVariable));
  keep(g_cuda, "CUDA_INJECTION64_PATH", std::getenv("CUDA_INJECTION64_PATH"));
  keep(g_sanitizer, "ASAN_OPTIONS", std::getenv("ASAN_OPTIONS"));
  // Ours is the first entry: the collector put it there.
  keep(g_preload, kPreload, std::getenv(kPreload));
  char* value = g_preload[0] != 0 ? g_preload + sizeof kPreload : g_preload;
  g_preload_path_bytes = std::strcspn(value, ": ");
  value[g_preload_path_bytes] = 0;
  const char* nvtx = std::getenv(wire::kNvtxVariable);
  if (nvtx != nullptr && std::strcmp(nvtx, value) == 0) keep(g_nvtx, wire::kNvtxVariable, nvtx);
}

void invent_environment(const char* arena, const char* library) {
  keep(g_arena, wire::kArenaVariable, arena);
  keep(g_preload, kPreload, library);
  g_preload_path_bytes = std::strlen(library);
}

bool is_remembered_arena(const char* arena) {
  const size_t name_bytes = std::strlen(wire::kArenaVariable) + 1;
  return g_arena[0] != 0 && std::strcmp(g_arena + name_bytes, arena) == 0;
}

void extend_own_environment() {
  char** before = environ;
  const size_t bytes = ChildEnvironment::room(before);
  void* room = sys::map_anonymous(bytes);
  if (room == nullptr) return;
  const ChildEnvironment extended(before, room);
  if (extended.get() == before) {
    sys::unmap(room, bytes);
    return;
  }
  g_program_environment = before;
  g_own_environment = const_cast<char**>(extended.get());
  __atomic_store_n(&environ, g_own_environment, __ATOMIC_RELEASE);
}

void restore_own_environment() {
  if (g_own_environment == nullptr) return;
  if (environ == g_own_environment) {
    __atomic_store_n(&environ, g_program_environment, __ATOMIC_RELEASE);
  } else if (environ != nullptr) {
    // The program has changed its environment since: libc made an array of its own with our entries
    // in it.
    char** to = environ;
    for (char** from = environ; *from != nullptr; ++from) {
      const char* program_preload = value_of(g_program_environment, kPreload);
      if (*from == g_arena) continue;
      if (std::strncmp(*from, g_preload, std::strlen(g_preload)) == 0) {
        if (program_preload == nullptr) continue;
        *to++ = const_cast<char*>(program_preload) - sizeof kPreload;
        continue;
      }
      *to++ = *from;
    }
    *to = nullptr;
  }
  // The array stays: another thread may be reading it.
  g_own_environment = nullptr;
}

size_t ChildEnvironment::room(char* const* environment) {
  const char* preload = value_of(environment, kPreload);
  return (count_of(environment) + kMostAdded) * sizeof(char*) + sizeof kPreload +
         g_preload_path_bytes + 2 + (preload == nullptr ? 0 : std::strlen(preload));
}

ChildEnvironment::ChildEnvironment(char* const* environment, void* room) : result_(environment) {
  const char* preload = value_of(environment, kPreload);
  const bool arena = g_arena[0] != 0 && value_of(environment, wire::kArenaVariable) == nullptr;
  const bool cuda = g_cuda[0] != 0 && value_of(environment, "CUDA_INJECTION64_PATH") == nullptr;
  const bool nvtx = g_nvtx[0] != 0 && value_of(environment, wire::kNvtxVariable) == nullptr;
  const bool sanitizer = g_sanitizer[0] != 0 && value_of(environment, "ASAN_OPTIONS") == nullptr;
  const bool library = lacks_preload(preload);
  if (!recording() || g_preload[0] == 0) return;
  const bool loadable = sys::accessible(g_preload + sizeof kPreload, false);
  const ArenaAddress address = parse_arena_address(g_arena + std::strlen(wire::kArenaVariable) + 1);
  if (!loadable || !sys::accessible(address.path, true)) {
    counted_ = true;
    count_loss(wire::Loss::kProcessesNotRecorded);
  }
  if (!loadable) {
    without_library(environment, preload, room);
    return;
  }
  if (!arena && !cuda && !nvtx && !sanitizer && !library) return;

  auto** entries = static_cast<char**>(room);
  const size_t count = count_of(environment);
  char* text = reinterpret_cast<char*>(entries + count + kMostAdded);
  size_t used = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool replaced =
        library && preload != nullptr && environment[i] + sizeof kPreload == preload;
    if (!replaced) entries[used++] = environment[i];
  }
  if (arena) entries[used++] = g_arena;
  if (cuda) entries[used++] = g_cuda;
  if (nvtx) entries[used++] = g_nvtx;
  if (sanitizer) entries[used++] = g_sanitizer;
  if (library) {
    entries[used++] = text;
    const auto append = [&text](const char* part) {
      const size_t bytes = std::strlen(part);
      std::memcpy(text, part, bytes + 1);
      text += bytes;
    };
    append(g_preload);
    if (preload != nullptr && preload[0] != 0) {
      append(":");
      append(preload);
    }
  }
  entries[used] = nullptr;
  result_ = entries;
}

// LD_PRELOAD with our path cut out of it, wherever in it.
void ChildEnvironment::without_library(char* const* environment, const char* preload, void* room) {
  const char* ours = g_preload + sizeof kPreload;
  const char* found = preload == nullptr ? nullptr : std::strstr(preload, ours);
  if (found == nullptr) return;
  auto** entries = static_cast<char**>(room);
  const size_t count = count_of(environment);
  char* text = reinterpret_cast<char*>(entries + count + kMostAdded);
  const char* rest = found + g_preload_path_bytes;
  rest += *rest == ':' || *rest == ' ' ? 1 : 0;
  const auto before = static_cast<size_t>(found - preload);
  char* at = text;
  const auto append = [&at](const char* part, size_t bytes) {
    std::memcpy(at, part, bytes);
    at += bytes;
  };
  append(kPreload, sizeof kPreload - 1);
  append("=", 1);
  append(preload, before);
  append(rest, std::strlen(rest) + 1);
  size_t used = 0;
  for (size_t i = 0; i < count; ++i) {
    if (environment[i] + sizeof kPreload != preload) {
      entries[used++] = environment[i];
    } else if (before != 0 || *rest != 0) {
      entries[used++] = text;
    }
  }
  entries[used] = nullptr;
  result_ = entries;
}

void ChildEnvironment::not_started() const {
  if (counted_) count_loss(wire::Loss::kProcessesNotRecorded, ~uint64_t{0});
}

}  // namespace tidemark::preload
