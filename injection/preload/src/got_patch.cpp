#include "got_patch.h"

#include <sys/mman.h>

#include <cstring>

#include "tidemark/stack/syscalls.h"

namespace tidemark::preload {
namespace {

constexpr uint64_t kPage = 4096;
constexpr Elf64_Half kHiddenVersion = 0x8000;

struct Slot {
  uint64_t* at;
  const Elf64_Sym* symbol;
  bool jump;  // JUMP_SLOT: may be bound at its first call
};

// Whether the relocation binds an address to a symbol, as it stands.
bool slot_of(const LoadedImage& image, const Elf64_Rela& relocation, Slot* slot) {
  const auto type = ELF64_R_TYPE(relocation.r_info);
  const auto symbol = ELF64_R_SYM(relocation.r_info);
  if (symbol == 0 || relocation.r_addend != 0) return false;
  if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64) return false;
  const uint64_t address = image.bias + relocation.r_offset;
  if (address % sizeof(uint64_t) != 0 || address < image.start || address >= image.end)
    return false;
  slot->at = reinterpret_cast<uint64_t*>(address);
  slot->symbol = &image.symbols[symbol];
  slot->jump = type == R_X86_64_JUMP_SLOT;
  return true;
}

template <class Visit>
void each_slot(const LoadedImage& image, const Visit& visit) {
  Slot slot{};
  for (size_t i = 0; i < image.plt_count; ++i) {
    if (slot_of(image, image.plt[i], &slot)) visit(slot);
  }
  for (size_t i = 0; i < image.relocation_count; ++i) {
    if (slot_of(image, image.relocations[i], &slot)) visit(slot);
  }
}

const Binding* binding_of(const LoadedImage& image, const Slot& slot, const Binding* bindings,
                          size_t count) {
  const char* name = image.strings + slot.symbol->st_name;
  const uint32_t hash = gnu_hash(name);
  for (size_t i = 0; i < count; ++i) {
    if (bindings[i].hash == hash && std::strcmp(bindings[i].name, name) == 0) return &bindings[i];
  }
  return nullptr;
}

uint64_t load(const uint64_t* slot) { return __atomic_load_n(slot, __ATOMIC_RELAXED); }

// Other threads may be calling through it: one aligned store.
void store(uint64_t* slot, uint64_t value) { __atomic_store_n(slot, value, __ATOMIC_RELEASE); }

bool in_image(const LoadedImage& image, uint64_t address) {
  return address >= image.start && address < image.end;
}

// An entry of the module's own procedure linkage table, which looks the function up when called;
// also in a module that has such a function itself, which need not be the one that is found.
bool unbound(const LoadedImage& image, const Slot& slot, uint64_t value) {
  const bool own =
      slot.symbol->st_shndx != SHN_UNDEF && value == image.bias + slot.symbol->st_value;
  return slot.jump && in_image(image, value) && !own;
}

struct FamilyState {
  bool real = false;     // some slot is bound to the real function, or to our hook
  bool foreign = false;  // some slot is bound to another function of that name
};

// A slot that holds the address of a stub in another module (how a fixed-position program takes a
// function's address) leads through a slot that is looked at by itself: only what is called counts.
void inspect(const LoadedImage& image, const Binding* bindings, size_t count,
             FamilyState (&families)[static_cast<size_t>(Family::kCount)]) {
  for (size_t i = 0; i < image.plt_count; ++i) {
    Slot slot{};
    if (!slot_of(image, image.plt[i], &slot)) continue;
    const Binding* binding = binding_of(image, slot, bindings, count);
    if (binding == nullptr || binding->real == 0) continue;
    const uint64_t value = load(slot.at);
    FamilyState& family = families[static_cast<size_t>(binding->family)];
    if (value == binding->real || value == binding->hook) {
      family.real = true;
    } else if (!unbound(image, slot, value)) {
      family.foreign = true;
    }
  }
}

// Makes the relocated read-only data of a module writable while it lives.
class Unlocked {
 public:
  explicit Unlocked(const LoadedImage& image) : image_(image) {}
  ~Unlocked() {
    if (open_) protect(PROT_READ);
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  bool covers(const uint64_t* slot) const {
    const auto address = reinterpret_cast<uint64_t>(slot);
    return address >= image_.relro_start && address < image_.relro_end;
  }
  bool open() {
    if (!open_) open_ = protect(PROT_READ | PROT_WRITE);
    return open_;
  }

 private:
  bool protect(int protection) {
    return sys::protect(reinterpret_cast<void*>(image_.relro_start),
                        image_.relro_end - image_.relro_start, protection);
  }
  const LoadedImage& image_;
  bool open_ = false;
};

void read_segments(const dl_phdr_info& info, LoadedImage* image, const Elf64_Dyn** dynamic) {
  image->bias = info.dlpi_addr;
  image->start = ~uint64_t{0};
  for (uint16_t i = 0; i < info.dlpi_phnum; ++i) {
    const Elf64_Phdr& segment = info.dlpi_phdr[i];
    const uint64_t address = image->bias + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      if (address < image->start) image->start = address;
      if (address + segment.p_memsz > image->end) image->end = address + segment.p_memsz;
    } else if (segment.p_type == PT_DYNAMIC) {
      *dynamic = reinterpret_cast<const Elf64_Dyn*>(address);
    } else if (segment.p_type == PT_GNU_RELRO) {
      // As the loader rounds it: what shares its last page stays writable.
      image->relro_start = address & ~(kPage - 1);
      image->relro_end = (address + segment.p_memsz) & ~(kPage - 1);
    }
  }
}

}  // namespace

bool read_image(const dl_phdr_info& info, LoadedImage* image) {
  const Elf64_Dyn* entry = nullptr;
  read_segments(info, image, &entry);
  if (entry == nullptr) return false;
  // The loader has relocated these addresses in place, except where the segment is read-only.
  const auto absolute = [&](uint64_t value) {
    return value < image->start ? value + image->bias : value;
  };
  bool plt_has_addends = true;
  size_t plt_bytes = 0;
  size_t relocation_bytes = 0;
  for (; entry->d_tag != DT_NULL; ++entry) {
    const uint64_t address = absolute(entry->d_un.d_ptr);
    switch (entry->d_tag) {
      case DT_SYMTAB:
        image->symbols = reinterpret_cast<const Elf64_Sym*>(address);
        break;
      case DT_STRTAB:
        image->strings = reinterpret_cast<const char*>(address);
        break;
      case DT_VERSYM:
        image->versions = reinterpret_cast<const Elf64_Half*>(address);
        break;
      case DT_GNU_HASH:
        image->hash = reinterpret_cast<const uint32_t*>(address);
        break;
      case DT_JMPREL:
        image->plt = reinterpret_cast<const Elf64_Rela*>(address);
        break;
      case DT_PLTRELSZ:
        plt_bytes = entry->d_un.d_val;
        break;
      case DT_PLTREL:
        plt_has_addends = entry->d_un.d_val == DT_RELA;
        break;
      case DT_RELA:
        image->relocations = reinterpret_cast<const Elf64_Rela*>(address);
        break;
      case DT_RELASZ:
        relocation_bytes = entry->d_un.d_val;
        break;
      default:
        break;
    }
  }
  if (image->symbols == nullptr || image->strings == nullptr) return false;
  if (image->plt != nullptr && plt_has_addends) image->plt_count = plt_bytes / sizeof(Elf64_Rela);
  if (image->relocations != nullptr) {
    image->relocation_count = relocation_bytes / sizeof(Elf64_Rela);
  }
  return true;
}

uint32_t gnu_hash(const char* name) {
  uint32_t hash = 5381;
  for (; *name != 0; ++name) hash = hash * 33 + static_cast<uint8_t>(*name);
  return hash;
}

uint64_t find_definition(const LoadedImage& image, const char* name, uint32_t hash) {
  if (image.hash == nullptr) return 0;
  const uint32_t bucket_count = image.hash[0];
  const uint32_t first_symbol = image.hash[1];
  const uint32_t bloom_words = image.hash[2];
  if (bucket_count == 0 || bloom_words == 0) return 0;
  const auto* bloom = reinterpret_cast<const uint64_t*>(image.hash + 4);
  const uint64_t word = bloom[hash / 64 % bloom_words];
  const uint32_t second = hash >> image.hash[3];
  if ((word >> (hash % 64) & word >> (second % 64) & 1) == 0) return 0;
  const uint32_t* buckets = image.hash + 4 + size_t{bloom_words} * 2;
  const uint32_t* chain = buckets + bucket_count;
  uint32_t index = buckets[hash % bucket_count];
  if (index < first_symbol) return 0;
  for (;; ++index) {
    const uint32_t candidate = chain[index - first_symbol];
    const Elf64_Sym& symbol = image.symbols[index];
    const bool usable =
        symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 &&
        ELF64_ST_TYPE(symbol.st_info) == STT_FUNC &&
        (image.versions == nullptr || (image.versions[index] & kHiddenVersion) == 0);
    if ((candidate | 1) == (hash | 1) && usable &&
        std::strcmp(image.strings + symbol.st_name, name) == 0) {
      return image.bias + symbol.st_value;
    }
    if ((candidate & 1) != 0) return 0;
  }
}

Patched redirect(const LoadedImage& image, const Binding* bindings, size_t count,
                 const ProtectionMap& protections) {
  Patched result;
  if (image.relro_end > image.relro_start && protections.writable(image.relro_start)) {
    result.pending = true;
    return result;
  }
  FamilyState families[static_cast<size_t>(Family::kCount)];
  inspect(image, bindings, count, families);
  result.foreign = families[static_cast<size_t>(Family::kHeap)].foreign;
  Unlocked unlocked(image);
  each_slot(image, [&](const Slot& slot) {
    const uint64_t value = load(slot.at);
    // First the cheap question: most slots hold none of the functions.
    const bool lazy = unbound(image, slot, value);
    bool known = lazy;
    for (size_t i = 0; i < count && !known && value != 0; ++i) {
      known = bindings[i].real == value || bindings[i].hook == value;
    }
    if (!known) return;
    const Binding* binding = binding_of(image, slot, bindings, count);
    if (binding == nullptr || binding->real == 0 || binding->hook == 0) return;
    if (value == binding->hook) {  // left so by a recording that was killed
      ++result.slots;
      return;
    }
    const FamilyState& family = families[static_cast<size_t>(binding->family)];
    if (binding->family != Family::kOther && family.foreign) return;
    if (lazy ? binding->ambiguous && !family.real : value != binding->real) return;
    const bool writable = unlocked.covers(slot.at)
                              ? unlocked.open()
                              : protections.writable(reinterpret_cast<uint64_t>(slot.at));
    if (!writable) return;
    store(slot.at, binding->hook);
    ++result.slots;
  });
  return result;
}

uint32_t restore(const LoadedImage& image, const Binding* bindings, size_t count) {
  uint32_t slots = 0;
  Unlocked unlocked(image);
  each_slot(image, [&](const Slot& slot) {
    const uint64_t value = load(slot.at);
    for (size_t i = 0; i < count; ++i) {
      if (bindings[i].hook == 0 || bindings[i].hook != value || bindings[i].real == 0) continue;
      if (unlocked.covers(slot.at) && !unlocked.open()) return;
      store(slot.at, bindings[i].real);
      ++slots;
      return;
    }
  });
  return slots;
}

}  // namespace tidemark::preload
