#include "elf_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace tidemark::collector {

std::unique_ptr<ElfFile> ElfFile::open(const std::string& path) {
  elf_version(EV_CURRENT);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return nullptr;
  struct stat info {};
  Elf* elf = nullptr;
  if (fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode)) {
    elf = elf_begin(descriptor, ELF_C_READ_MMAP, nullptr);
  }
  if (elf == nullptr || elf_kind(elf) != ELF_K_ELF) {
    if (elf != nullptr) elf_end(elf);
    close(descriptor);
    return nullptr;
  }
  return std::unique_ptr<ElfFile>(new ElfFile(path, descriptor, elf));
}

std::unique_ptr<ElfFile> ElfFile::vdso() {
  elf_version(EV_CURRENT);
  // The kernel hands the address out as a number.
  auto* image = reinterpret_cast<char*>(getauxval(AT_SYSINFO_EHDR));
  if (image == nullptr) return nullptr;
  Elf64_Ehdr header{};
  std::memcpy(&header, image, sizeof header);
  const size_t size = header.e_shoff + size_t{header.e_shnum} * header.e_shentsize;
  Elf* elf = elf_memory(image, size);
  if (elf == nullptr) return nullptr;
  return std::unique_ptr<ElfFile>(new ElfFile("[vdso]", -1, elf));
}

ElfFile::~ElfFile() {
  elf_end(elf_);
  if (descriptor_ >= 0) close(descriptor_);
}

Elf_Scn* ElfFile::section(const char* name) const {
  size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0) return nullptr;
  for (Elf_Scn* it = elf_nextscn(elf_, nullptr); it != nullptr; it = elf_nextscn(elf_, it)) {
    GElf_Shdr header;
    if (gelf_getshdr(it, &header) == nullptr) continue;
    const char* found = elf_strptr(elf_, names, header.sh_name);
    if (found != nullptr && std::strcmp(found, name) == 0) return it;
  }
  return nullptr;
}

bool ElfFile::has_section(const char* name) const {
  Elf_Scn* found = section(name);
  GElf_Shdr header;
  return found != nullptr && gelf_getshdr(found, &header) != nullptr &&
         header.sh_type != SHT_NOBITS;
}

std::string ElfFile::build_id() const {
  for (Elf_Scn* it = elf_nextscn(elf_, nullptr); it != nullptr; it = elf_nextscn(elf_, it)) {
    GElf_Shdr header;
    if (gelf_getshdr(it, &header) == nullptr || header.sh_type != SHT_NOTE) continue;
    Elf_Data* data = elf_getdata(it, nullptr);
    if (data == nullptr) continue;
    GElf_Nhdr note;
    size_t name = 0;
    size_t content = 0;
    for (size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &content)) > 0;) {
      const char* bytes = static_cast<const char*>(data->d_buf);
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
          std::memcmp(bytes + name, "GNU", 4) == 0) {
        return {bytes + content, note.n_descsz};
      }
    }
  }
  return "";
}

std::unique_ptr<ElfFile> ElfFile::find_debug_file() const {
  const std::string id = build_id();
  const auto matches = [&](const std::unique_ptr<ElfFile>& file) {
    return file != nullptr && (id.empty() || file->build_id() == id);
  };
  if (id.size() > 1) {
    std::string path = "/usr/lib/debug/.build-id/";
    for (size_t i = 0; i < id.size(); ++i) {
      path += fmt::format("{:02x}{}", static_cast<unsigned char>(id[i]), i == 0 ? "/" : "");
    }
    auto file = open(path + ".debug");
    if (matches(file)) return file;
  }
  Elf_Scn* link = section(".gnu_debuglink");
  Elf_Data* data = link != nullptr ? elf_rawdata(link, nullptr) : nullptr;
  if (data == nullptr || data->d_buf == nullptr || data->d_size == 0) return nullptr;
  const char* text = static_cast<const char*>(data->d_buf);
  const std::string name(text, strnlen(text, data->d_size));
  // It names a file, not a path.
  if (name.empty() || name.find('/') != std::string::npos) return nullptr;
  const std::string folder = path_.substr(0, path_.rfind('/') + 1);
  for (const std::string& candidate :
       {fmt::format("{}{}", folder, name), fmt::format("{}.debug/{}", folder, name),
        fmt::format("/usr/lib/debug{}{}", folder, name)}) {
    if (candidate == path_) continue;
    auto file = open(candidate);
    if (matches(file)) return file;
  }
  return nullptr;
}

}  // namespace tidemark::collector
