#include "proc_memory.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace tidemark::collector {
namespace {

using trace::MappingKind;

constexpr std::string_view kRings = "/memfd:tidemark";
constexpr std::string_view kOurLibraries = "/libtidemark_";
// glibc's HEAP_MAX_SIZE.
constexpr uint64_t kArenaBytes = uint64_t{64} << 20;
// A guard is one page by default; pthread_attr_setguardsize may want more, Java and Go do.
constexpr uint64_t kLargestGuardBytes = uint64_t{64} << 10;

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

std::string_view next_word(std::string_view& line) {
  const size_t begin = std::min(line.find_first_not_of(" \t"), line.size());
  line.remove_prefix(begin);
  const size_t end = std::min(line.find_first_of(" \t"), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

template <class Number>
bool parse(std::string_view word, Number& value, int base = 10) {
  const auto [at, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  return error == std::errc{} && at == word.data() + word.size();
}

// "     12 kB" as bytes.
std::optional<int64_t> kilobytes(std::string_view text) {
  int64_t value = 0;
  if (!parse(next_word(text), value) || value < 0 || value > INT64_MAX / 1024) return std::nullopt;
  return value * 1024;
}

// "7f12…-7f13… rw-p 00000000 00:00 0   path"; false for the lines of values below it.
bool parse_head(std::string_view line, SmapsEntry& entry) {
  const std::string_view range = next_word(line);
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos || !parse(range.substr(0, dash), entry.start, 16) ||
      !parse(range.substr(dash + 1), entry.end, 16) || entry.end < entry.start) {
    return false;
  }
  const std::string_view permissions = next_word(line);
  if (permissions.size() != sizeof entry.permissions) return false;
  std::memcpy(entry.permissions, permissions.data(), sizeof entry.permissions);
  if (!parse(next_word(line), entry.offset, 16)) return false;
  next_word(line);  // the device
  next_word(line);  // the inode
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  entry.path = line;
  return true;
}

void parse_value(std::string_view line, SmapsEntry& entry) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view key = line.substr(0, colon);
  std::string_view value = line.substr(colon + 1);
  if (key == "VmFlags") {
    while (!value.empty()) entry.no_reserve |= next_word(value) == "nr";
    return;
  }
  const struct {
    std::string_view key;
    uint64_t& bytes;
  } fields[] = {{"Rss", entry.rss_bytes},
                {"Pss", entry.pss_bytes},
                {"Swap", entry.swap_bytes},
                {"AnonHugePages", entry.anonymous_huge_bytes}};
  for (const auto& field : fields) {
    if (key != field.key) continue;
    if (const auto bytes = kilobytes(value)) field.bytes = static_cast<uint64_t>(*bytes);
    return;
  }
}

bool is_open(const SmapsEntry& entry) { return entry.permissions[1] == 'w'; }
bool is_closed(const SmapsEntry& entry) {
  return std::memcmp(entry.permissions, "---", 3) == 0 && entry.path.empty();
}

bool is_arena(const SmapsEntry& entry, const SmapsEntry* next) {
  if (entry.start % kArenaBytes != 0 || entry.end - entry.start > kArenaBytes) return false;
  const uint64_t limit = entry.start + kArenaBytes;
  return entry.end == limit ||
         (next != nullptr && is_closed(*next) && next->start == entry.end && next->end >= limit);
}

bool has_guard_below(const SmapsEntry& entry, const SmapsEntry* before) {
  return before != nullptr && is_closed(*before) && before->end == entry.start &&
         before->end - before->start <= kLargestGuardBytes;
}

bool follows_data(const SmapsEntry& entry, const SmapsEntry* before) {
  return before != nullptr && before->end == entry.start && before->path.starts_with('/') &&
         is_open(*before) && before->permissions[3] == 'p' && before->offset != 0;
}

MappingKind kind_of_unnamed(const SmapsEntry& entry, const SmapsEntry* before,
                            const SmapsEntry* next) {
  if (!is_open(entry)) return MappingKind::kAnonymous;
  if (is_arena(entry, next)) return MappingKind::kArena;
  if (has_guard_below(entry, before)) return MappingKind::kStack;
  if (follows_data(entry, before)) return MappingKind::kStatic;
  return entry.no_reserve ? MappingKind::kTidemark : MappingKind::kAnonymous;
}

MappingKind kind_of(const SmapsEntry& entry, const SmapsEntry* before, const SmapsEntry* next) {
  const std::string_view path = entry.path;
  if (path.empty()) return kind_of_unnamed(entry, before, next);
  if (path.starts_with(kRings)) return MappingKind::kTidemark;
  if (path.find(kOurLibraries) != std::string_view::npos) return MappingKind::kTidemark;
  if (path == "[heap]") return MappingKind::kHeap;
  if (path.starts_with("[stack")) return MappingKind::kStack;
  if (path.starts_with("[anon:") || path.starts_with("//anon")) return MappingKind::kAnonymous;
  if (path.starts_with("[anon_shmem:")) return MappingKind::kShared;
  if (path.starts_with('[')) return MappingKind::kKernel;
  for (const std::string_view shared : {"/dev/shm/", "/memfd:", "/SYSV", "/dev/zero"}) {
    if (path.starts_with(shared)) return MappingKind::kShared;
  }
  if (path.starts_with("/dev/") || path.starts_with("anon_inode:")) return MappingKind::kDevice;
  return MappingKind::kFile;
}

}  // namespace

std::optional<ProcUsage> parse_proc_usage(std::string_view stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::string_view rest = stat.substr(name_end + 1);
  // Numbered as in proc(5): the state is field 3.
  std::array<std::string_view, 25> fields{};
  for (size_t field = 3; field < fields.size(); ++field) {
    fields[field] = next_word(rest);
    while (!fields[field].empty() && fields[field].back() == '\n') fields[field].remove_suffix(1);
  }
  ProcUsage usage;
  if (fields[3].size() != 1 || !parse(fields[10], usage.minor_faults) ||
      !parse(fields[12], usage.major_faults) || !parse(fields[22], usage.start_time) ||
      !parse(fields[24], usage.rss_pages)) {
    return std::nullopt;
  }
  usage.state = fields[3][0];
  return usage;
}

ProcStatus parse_proc_status(std::string_view status) {
  ProcStatus result;
  const struct {
    std::string_view key;
    int64_t& bytes;
  } fields[] = {{"VmHWM", result.peak_rss_bytes}, {"RssAnon", result.anonymous_bytes},
                {"RssFile", result.file_bytes},   {"RssShmem", result.shared_bytes},
                {"VmSwap", result.swap_bytes},    {"HugetlbPages", result.huge_page_bytes}};
  while (!status.empty()) {
    const std::string_view line = next_line(status);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    for (const auto& field : fields) {
      if (line.substr(0, colon) != field.key) continue;
      field.bytes = kilobytes(line.substr(colon + 1)).value_or(trace::kNotMeasured);
    }
  }
  return result;
}

std::vector<SmapsEntry> parse_smaps(std::string_view smaps) {
  std::vector<SmapsEntry> entries;
  while (!smaps.empty()) {
    const std::string_view line = next_line(smaps);
    SmapsEntry entry;
    if (parse_head(line, entry)) {
      entries.push_back(std::move(entry));
    } else if (!entries.empty()) {
      parse_value(line, entries.back());
    }
  }
  return entries;
}

std::vector<MappedPiece> pieces_of(const std::vector<SmapsEntry>& entries) {
  std::vector<MappedPiece> pieces;
  for (size_t i = 0; i < entries.size(); ++i) {
    const SmapsEntry& entry = entries[i];
    const SmapsEntry* before = i > 0 ? &entries[i - 1] : nullptr;
    const SmapsEntry* next = i + 1 < entries.size() ? &entries[i + 1] : nullptr;
    if (is_closed(entry) && entry.rss_bytes == 0 && entry.swap_bytes == 0) continue;
    const MappingKind kind = kind_of(entry, before, next);
    std::string path = entry.path.starts_with('/') ? entry.path : std::string();
    if (!pieces.empty() && !path.empty() && pieces.back().end == entry.start &&
        pieces.back().path == path) {
      MappedPiece& last = pieces.back();
      last.end = entry.end;
      last.rss_bytes += entry.rss_bytes;
      last.pss_bytes += entry.pss_bytes;
      last.swap_bytes += entry.swap_bytes;
      last.huge_bytes += entry.anonymous_huge_bytes;
      continue;
    }
    pieces.push_back({entry.start, entry.end, kind, std::move(path), entry.rss_bytes,
                      entry.pss_bytes, entry.swap_bytes, entry.anonymous_huge_bytes});
  }
  return pieces;
}

bool maps_our_rings(std::string_view maps) { return maps.find(kRings) != std::string_view::npos; }

}  // namespace tidemark::collector
