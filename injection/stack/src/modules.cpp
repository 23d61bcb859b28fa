#include "tidemark/stack/modules.h"

#include <elf.h>
#include <link.h>

#include <atomic>
#include <cstring>

#include "tidemark/stack/syscalls.h"

namespace tidemark::stack {
namespace {

struct Table {
  uint32_t count;
  uint32_t capacity;
  Module modules[1];  // really `capacity`, ascending by start
};

// Memory that is never given back: tables and paths. Only used under the refresh.
class Arena {
 public:
  void* take(size_t bytes) {
    bytes = (bytes + 15) & ~size_t{15};
    if (bytes > left_) {
      const size_t block = bytes > kBlock ? bytes : kBlock;
      next_ = static_cast<uint8_t*>(sys::map_anonymous(block));
      left_ = next_ == nullptr ? 0 : block;
      if (next_ == nullptr) return nullptr;
    }
    void* result = next_;
    next_ += bytes;
    left_ -= bytes;
    return result;
  }

 private:
  static constexpr size_t kBlock = size_t{256} * 1024;
  uint8_t* next_ = nullptr;
  size_t left_ = 0;
};

std::atomic<const Table*> g_table{nullptr};
std::atomic<int32_t> g_refreshing{0};  // tid of the refreshing thread
// The table is of the mappings as they were when so many unloads had happened. Until it has caught
// up, nothing in it is believed: a refresh that is still under way has not made it true yet.
std::atomic<uint32_t> g_unloads{1};
std::atomic<uint32_t> g_table_unloads{0};
bool stale() {
  return g_table_unloads.load(std::memory_order_acquire) !=
         g_unloads.load(std::memory_order_acquire);
}
constinit Arena g_arena;
const ModuleObserver* g_observer = nullptr;

// Addresses of generated code that no file backs: asking again would read the mappings at each of
// them. Direct mapped by page; a collision or a stale entry costs one refresh, or one frame.
constexpr size_t kUnknownPages = 256;
std::atomic<uint64_t> g_unknown_page[kUnknownPages];

struct Mapping {
  uint64_t start;
  uint64_t end;
  uint64_t offset;
  uint64_t inode;
  const char* path;
  uint32_t path_bytes;
  bool readable;
  bool executable;
};

char g_maps[16 * 1024];  // only used under the refresh

// Yields the lines of /proc/self/maps.
class MapsReader {
 public:
  explicit MapsReader(int fd) : fd_(fd) {}

  bool next(Mapping* mapping) {
    for (;;) {
      char* line = g_maps + begin_;
      auto* newline = static_cast<char*>(std::memchr(line, '\n', filled_ - begin_));
      if (newline != nullptr) {
        begin_ = static_cast<size_t>(newline - g_maps) + 1;
        *newline = 0;
        if (parse(line, newline, mapping)) return true;
        continue;
      }
      std::memmove(g_maps, line, filled_ - begin_);
      filled_ -= begin_;
      begin_ = 0;
      if (filled_ == sizeof g_maps) return false;  // a line longer than any path can be
      const long got = sys::read(fd_, g_maps + filled_, sizeof g_maps - filled_);
      if (got <= 0) return false;
      filled_ += static_cast<size_t>(got);
    }
  }

 private:
  static uint64_t hex(const char*& at) {
    uint64_t value = 0;
    for (;; ++at) {
      const char c = *at;
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<uint64_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = value * 16 + static_cast<uint64_t>(c - 'a' + 10);
      } else {
        return value;
      }
    }
  }

  // start-end perms offset dev inode   path
  static bool parse(const char* at, const char* end, Mapping* mapping) {
    mapping->start = hex(at);
    if (*at++ != '-') return false;
    mapping->end = hex(at);
    if (*at++ != ' ') return false;
    mapping->readable = *at == 'r';
    mapping->executable = at[0] != 0 && at[1] != 0 && at[2] == 'x';
    at += 5;
    mapping->offset = hex(at);
    while (*at == ' ') ++at;
    while (*at != ' ' && *at != 0) ++at;  // device
    mapping->inode = 0;
    while (*at == ' ') ++at;
    for (; *at >= '0' && *at <= '9'; ++at) {
      mapping->inode = mapping->inode * 10 + static_cast<uint64_t>(*at - '0');
    }
    while (*at == ' ') ++at;
    mapping->path = at;
    mapping->path_bytes = static_cast<uint32_t>(end - at);
    return *at == '/' || std::strcmp(at, "[vdso]") == 0;
  }

  int fd_;
  size_t begin_ = 0;
  size_t filled_ = 0;
};

void read_notes(uint64_t address, uint64_t bytes, Module* module) {
  uint8_t notes[512];
  if (bytes > sizeof notes) bytes = sizeof notes;
  if (!sys::copy_memory(notes, address, bytes)) return;
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= bytes;) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes + at, sizeof note);
    const uint64_t name = at + sizeof note;
    const uint64_t description = name + ((uint64_t{note.n_namesz} + 3) & ~uint64_t{3});
    const uint64_t next = description + ((uint64_t{note.n_descsz} + 3) & ~uint64_t{3});
    if (next > bytes || next <= at) return;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
        std::memcmp(notes + name, "GNU", 4) == 0 && note.n_descsz <= sizeof module->build_id) {
      module->build_id_bytes = note.n_descsz;
      std::memcpy(module->build_id, notes + description, note.n_descsz);
      return;
    }
    at = next;
  }
}

// Fills what the ELF header at module->start says. False when there is no ELF file there.
bool read_headers(Module* module) {
  Elf64_Ehdr header;
  if (!sys::copy_memory(&header, module->start, sizeof header)) return false;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return false;
  }
  constexpr uint32_t kMaxHeaders = 64;
  Elf64_Phdr headers[kMaxHeaders];
  const uint32_t count = header.e_phnum < kMaxHeaders ? header.e_phnum : kMaxHeaders;
  if (!sys::copy_memory(headers, module->start + header.e_phoff, count * sizeof(Elf64_Phdr))) {
    return false;
  }
  bool biased = false;
  for (uint32_t i = 0; i < count && !biased; ++i) {
    if (headers[i].p_type != PT_LOAD) continue;
    module->bias = module->start - (headers[i].p_vaddr & ~uint64_t{4095});
    biased = true;
  }
  if (!biased) return false;
  for (uint32_t i = 0; i < count; ++i) {
    const Elf64_Phdr& segment = headers[i];
    const uint64_t address = module->bias + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      const uint64_t end = (address + segment.p_memsz + 4095) & ~uint64_t{4095};
      if (end > module->end) module->end = end;
    } else if (segment.p_type == PT_GNU_EH_FRAME) {
      module->eh_frame_hdr = address;
    } else if (segment.p_type == PT_DYNAMIC) {
      module->dynamic = address;
    } else if (segment.p_type == PT_NOTE && module->build_id_bytes == 0) {
      read_notes(address, segment.p_memsz, module);
    }
  }
  module->eh_frame_end = module->end;
  return true;
}

bool same_module(const Module& a, const Module& b) {
  return a.start == b.start && a.inode == b.inode && a.bias == b.bias &&
         a.path_bytes == b.path_bytes && std::memcmp(a.path, b.path, a.path_bytes) == 0 &&
         a.build_id_bytes == b.build_id_bytes &&
         std::memcmp(a.build_id, b.build_id, a.build_id_bytes) == 0;
}

const Module* find_in(const Table* table, uint64_t address) {
  if (table == nullptr) return nullptr;
  uint32_t low = 0;
  uint32_t high = table->count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (table->modules[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == table->count || address < table->modules[low].start) return nullptr;
  return &table->modules[low];
}

Table* new_table(uint32_t capacity) {
  auto* table =
      static_cast<Table*>(g_arena.take(sizeof(Table) + (size_t{capacity} - 1) * sizeof(Module)));
  if (table != nullptr) {
    table->count = 0;
    table->capacity = capacity;
  }
  return table;
}

// Reuses the path of an unchanged module, so that refreshing costs no memory for paths.
void keep_path(const Table* before, Module* module) {
  const Module* known = find_in(before, module->start);
  if (known != nullptr && known->path_bytes == module->path_bytes &&
      std::memcmp(known->path, module->path, module->path_bytes) == 0) {
    module->path = known->path;
    return;
  }
  auto* copy = static_cast<char*>(g_arena.take(module->path_bytes + 1));
  if (copy == nullptr) {
    module->path = "";
    module->path_bytes = 0;
    return;
  }
  std::memcpy(copy, module->path, module->path_bytes);
  copy[module->path_bytes] = 0;
  module->path = copy;
}

uint32_t trimmed_path_bytes(const Mapping& mapping) {
  constexpr char kDeleted[] = " (deleted)";
  constexpr uint32_t kDeletedBytes = sizeof kDeleted - 1;
  uint32_t bytes = mapping.path_bytes;
  if (bytes > kDeletedBytes &&
      std::memcmp(mapping.path + bytes - kDeletedBytes, kDeleted, kDeletedBytes) == 0) {
    bytes -= kDeletedBytes;
  }
  return bytes < kMaxPathBytes ? bytes : kMaxPathBytes;
}

const Table* read_table(const Table* before) {
  const long fd = sys::open_read_only("/proc/self/maps");
  if (fd < 0) return before;
  Table* table = new_table(before == nullptr ? 128 : before->count + 64);
  MapsReader reader(static_cast<int>(fd));
  Mapping mapping;
  // A module begins where its file is mapped from offset 0; its other segments lie within `end`.
  // It counts once executable code of it is seen: a program may map an ELF file as plain data.
  Module candidate{};
  while (table != nullptr && reader.next(&mapping)) {
    if (mapping.offset == 0 && mapping.readable && mapping.start >= candidate.end) {
      candidate = {};
      candidate.start = mapping.start;
      candidate.end = mapping.end;
      candidate.inode = mapping.inode;
    }
    if (!mapping.executable || candidate.start == 0 || mapping.inode != candidate.inode ||
        candidate.path_bytes != 0) {
      continue;
    }
    if (table->count == table->capacity) {
      Table* larger = new_table(table->capacity * 2);
      if (larger == nullptr) break;
      std::memcpy(larger->modules, table->modules, table->count * sizeof(Module));
      larger->count = table->count;
      table = larger;
    }
    candidate.path = mapping.path;
    candidate.path_bytes = trimmed_path_bytes(mapping);
    if (!read_headers(&candidate)) {
      candidate = {};
      continue;
    }
    keep_path(before, &candidate);
    table->modules[table->count++] = candidate;
  }
  sys::close(static_cast<int>(fd));
  return table == nullptr ? before : table;
}

void tell_differences(const Table* before, const Table* after,
                      void (*tell)(const Module& module, bool loaded)) {
  for (uint32_t i = 0; before != nullptr && i < before->count; ++i) {
    const Module* now = find_in(after, before->modules[i].start);
    if (now == nullptr || !same_module(*now, before->modules[i])) {
      tell(before->modules[i], false);
    }
  }
  for (uint32_t i = 0; i < after->count; ++i) {
    const Module* then = find_in(before, after->modules[i].start);
    if (then == nullptr || !same_module(*then, after->modules[i])) {
      tell(after->modules[i], true);
    }
  }
}

}  // namespace

void refresh_modules() {
  if (sys::quiet()) return;  // no mapping can be read any more
  const int32_t me = sys::tid();
  int32_t holder = 0;
  constexpr int kMostWaits = 2000;  // of a millisecond: its holder may have left it by longjmp
  for (int waits = 0; !g_refreshing.compare_exchange_weak(holder, me, std::memory_order_acquire);) {
    // A signal handler that interrupted this very refresh.
    if (holder == me || ++waits > kMostWaits) return;
    if (holder != 0) sys::futex_wait(&g_refreshing, static_cast<uint32_t>(holder), 1);
    holder = 0;
  }
  const uint32_t unloads = g_unloads.load(std::memory_order_acquire);
  const Table* before = g_table.load(std::memory_order_relaxed);
  const Table* after = read_table(before);
  if (after != before) {
    const ModuleObserver* observer = g_observer;
    if (observer != nullptr) tell_differences(before, after, observer->announce);
    g_table.store(after, std::memory_order_release);
    if (observer != nullptr) tell_differences(before, after, observer->examine);
  }
  g_table_unloads.store(unloads, std::memory_order_release);
  g_refreshing.store(0, std::memory_order_release);
  sys::futex_wake(&g_refreshing, 64);
}

const Module* find_module(uint64_t address, bool refresh) {
  const bool old = stale();  // before the table: what is read then is at least as new
  const Module* module = find_in(g_table.load(std::memory_order_acquire), address);
  if (!refresh || (module != nullptr && !old)) return module;
  const uint64_t page = address / 4096;
  std::atomic<uint64_t>& unknown = g_unknown_page[page % kUnknownPages];
  if (!old && unknown.load(std::memory_order_relaxed) == page) return nullptr;
  refresh_modules();
  module = find_in(g_table.load(std::memory_order_acquire), address);
  if (module == nullptr) unknown.store(page, std::memory_order_relaxed);
  return module;
}

const Module* find_module_by_name(const char* name) {
  const size_t bytes = std::strlen(name);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Table* table = g_table.load(std::memory_order_acquire);
    for (uint32_t i = 0; table != nullptr && i < table->count; ++i) {
      const char* slash = std::strrchr(table->modules[i].path, '/');
      const char* file = slash == nullptr ? table->modules[i].path : slash + 1;
      if (std::strncmp(file, name, bytes) == 0 && (file[bytes] == 0 || file[bytes] == '.')) {
        return &table->modules[i];
      }
    }
    if (attempt == 0) refresh_modules();
  }
  return nullptr;
}

uint64_t find_symbol(const Module& module, const char* name) {
  return find_symbol_range(module, name).start;
}

SymbolRange find_symbol_range(const Module& module, const char* name) {
  if (module.dynamic == 0) return {};
  uint64_t hash_table = 0;
  uint64_t symbols = 0;
  uint64_t strings = 0;
  // The loader has relocated these addresses in place, except where the segment is read-only.
  const auto absolute = [&](uint64_t value) {
    return value < module.bias ? value + module.bias : value;
  };
  for (const auto* entry = reinterpret_cast<const Elf64_Dyn*>(module.dynamic);
       entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_GNU_HASH) hash_table = absolute(entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) symbols = absolute(entry->d_un.d_ptr);
    if (entry->d_tag == DT_STRTAB) strings = absolute(entry->d_un.d_ptr);
  }
  if (hash_table == 0 || symbols == 0 || strings == 0) return {};

  uint32_t hash = 5381;
  for (const char* c = name; *c != 0; ++c) hash = hash * 33 + static_cast<uint8_t>(*c);
  const auto* words = reinterpret_cast<const uint32_t*>(hash_table);
  const uint32_t bucket_count = words[0];
  const uint32_t first_symbol = words[1];
  const uint32_t bloom_words = words[2];
  const uint32_t* buckets = words + 4 + size_t{bloom_words} * 2;
  const uint32_t* chain = buckets + bucket_count;
  if (bucket_count == 0) return {};
  uint32_t index = buckets[hash % bucket_count];
  if (index < first_symbol) return {};
  for (;; ++index) {
    const uint32_t candidate = chain[index - first_symbol];
    if ((candidate | 1) == (hash | 1)) {
      const auto& symbol = reinterpret_cast<const Elf64_Sym*>(symbols)[index];
      const char* text = reinterpret_cast<const char*>(strings) + symbol.st_name;
      if (symbol.st_shndx != SHN_UNDEF && std::strcmp(text, name) == 0) {
        const uint64_t start = module.bias + symbol.st_value;
        return {start, start + symbol.st_size};
      }
    }
    if ((candidate & 1) != 0) return {};
  }
}

void invalidate_modules() {
  g_unloads.fetch_add(1, std::memory_order_release);
  for (auto& page : g_unknown_page) page.store(0, std::memory_order_relaxed);
}

void abandon_refresh() {
  int32_t me = sys::tid();
  g_refreshing.compare_exchange_strong(me, 0);
}

void reset_modules_after_fork() { g_refreshing.store(0, std::memory_order_relaxed); }

void observe_modules(const ModuleObserver* observer) { g_observer = observer; }

void announce_modules() {
  const Table* table = g_table.load(std::memory_order_acquire);
  for (uint32_t i = 0; g_observer != nullptr && table != nullptr && i < table->count; ++i) {
    g_observer->announce(table->modules[i], true);
    g_observer->examine(table->modules[i], true);
  }
}

}  // namespace tidemark::stack
