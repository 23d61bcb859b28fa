// One ELF file, mapped, with the debug file that belongs to it. Owns descriptor and handle. Files
// are named by targets: only regular files are opened, and what is in them is left to libelf to
// doubt. No network.
#pragma once

#include <gelf.h>
#include <libelf.h>

#include <memory>
#include <string>

namespace tidemark::collector {

class ElfFile {
 public:
  // Null when it is not there or not ELF.
  static std::unique_ptr<ElfFile> open(const std::string& path);
  // The kernel's own library, from this process's memory.
  static std::unique_ptr<ElfFile> vdso();
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  [[nodiscard]] Elf* elf() const { return elf_; }
  [[nodiscard]] std::string build_id() const;  // raw bytes, "" none
  [[nodiscard]] bool has_section(const char* name) const;
  // By build id under /usr/lib/debug, else by .gnu_debuglink. Null when there is none that matches.
  [[nodiscard]] std::unique_ptr<ElfFile> find_debug_file() const;

 private:
  ElfFile(std::string path, int descriptor, Elf* elf)
      : path_(std::move(path)), descriptor_(descriptor), elf_(elf) {}
  [[nodiscard]] Elf_Scn* section(const char* name) const;
  std::string path_;
  int descriptor_;
  Elf* elf_;
};

}  // namespace tidemark::collector
