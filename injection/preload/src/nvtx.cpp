// The program's NVTX ranges and marks. NVTX, wherever it is compiled into, loads the library that
// NVTX_INJECTION64_PATH names at its first use and lets it fill in its functions: that is this one,
// loaded already. No CUDA is needed. Each call leaves an event at once.
//
// A registered string and a domain are, for the program, opaque: theirs are pointers to our copies
// of their names.
#include <atomic>
#include <cstring>

#include "hooks.h"
#include "nvtx_abi.h"
#include "process.h"
#include "recorder.h"
#include "tidemark/stack/syscalls.h"

namespace tidemark::preload {
namespace {

using wire::MarkerKind;
using wire::NameId;

constexpr size_t kMostNameBytes = 1024;  // of a name that has to be converted, or kept
constexpr size_t kNamesBytes = 64 * 1024;

// Copies of names, kept for good: handles to them may be used at any time. A full piece is followed
// by another.
struct NamesPiece {
  std::atomic<size_t> used;
  char bytes[kNamesBytes - sizeof(std::atomic<size_t>)];
};
std::atomic<NamesPiece*> g_names{nullptr};
std::atomic<uint64_t> g_ranges{0};
std::atomic<bool> g_told{false};

// nullptr: no memory.
const char* keep_name(const char* name) {
  const size_t bytes = strnlen(name, kMostNameBytes - 1) + 1;
  for (;;) {
    NamesPiece* piece = g_names.load(std::memory_order_acquire);
    if (piece != nullptr) {
      const size_t at = piece->used.fetch_add(bytes, std::memory_order_relaxed);
      if (at + bytes <= sizeof piece->bytes) {
        std::memcpy(piece->bytes + at, name, bytes - 1);  // the page is zero: so is its end
        return piece->bytes + at;
      }
    }
    void* fresh = sys::map_anonymous(sizeof(NamesPiece));
    if (fresh == nullptr) return nullptr;
    if (!g_names.compare_exchange_strong(piece, static_cast<NamesPiece*>(fresh))) {
      sys::unmap(fresh, sizeof(NamesPiece));
    }
  }
}

// wchar_t holds code points here. What is none, or does not fit, ends the text.
class Utf8 {
 public:
  explicit Utf8(const wchar_t* wide) {
    for (; wide != nullptr && *wide != 0 && used_ + 4 < sizeof text_; ++wide) {
      if (!add(static_cast<uint32_t>(*wide))) break;
    }
    text_[used_] = 0;
  }
  const char* get() const { return text_; }

 private:
  bool add(uint32_t point) {
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    const auto rest = [&](unsigned shift) {
      text_[used_++] = static_cast<char>(0x80 | (point >> shift & 0x3f));
    };
    if (point < 0x80) {
      text_[used_++] = static_cast<char>(point);
    } else if (point < 0x800) {
      text_[used_++] = static_cast<char>(0xc0 | point >> 6);
      rest(0);
    } else if (point < 0x10000) {
      text_[used_++] = static_cast<char>(0xe0 | point >> 12);
      rest(6);
      rest(0);
    } else {
      text_[used_++] = static_cast<char>(0xf0 | point >> 18);
      rest(12);
      rest(6);
      rest(0);
    }
    return true;
  }
  char text_[kMostNameBytes];
  size_t used_ = 0;
};

NameId name_of(const char* text) { return text == nullptr || *text == 0 ? 0 : intern(text); }
NameId name_of(const wchar_t* text) { return name_of(Utf8(text).get()); }
NameId domain_of(const void* domain) { return name_of(static_cast<const char*>(domain)); }

NameId name_of(const nvtx::EventAttributes* event) {
  // Older ones are shorter, and have no message.
  if (event == nullptr || event->size < sizeof *event) return 0;
  switch (event->message_type) {
    case nvtx::kAscii:
      return name_of(event->message.ascii);
    case nvtx::kUnicode:
      return name_of(event->message.unicode);
    case nvtx::kRegistered:
      return name_of(static_cast<const char*>(event->message.registered));
    default:
      return 0;
  }
}

void publish_begin(MarkerKind kind, uint64_t range, NameId name, NameId domain, uint64_t time_ns) {
  wire::Marker record{};
  record.header = {wire::RecordType::kMarker, static_cast<uint16_t>(kind), sizeof record, time_ns};
  record.range = range;
  record.name = name;
  record.domain = domain;
  publish(&record);
}
void publish_end(MarkerKind kind, uint64_t range, NameId domain) {
  wire::MarkerEnd record{};
  record.header = {wire::RecordType::kMarkerEnd, static_cast<uint16_t>(kind), sizeof record,
                   now_ns()};
  record.range = range;
  record.domain = domain;
  publish(&record);
}

// Stamped before names are looked up, and after an end: our own work lies outside of ranges that
// surround it as little as it can.
template <class Message>
void mark(const void* domain, Message message) {
  if (!recording()) return;
  const uint64_t time_ns = now_ns();
  publish_begin(MarkerKind::kMark, 0, name_of(message), domain_of(domain), time_ns);
}
template <class Message>
int push(const void* domain, Message message) {
  if (!recording()) return nvtx::kNoDepths;
  const uint64_t time_ns = now_ns();
  publish_begin(MarkerKind::kPushed, 0, name_of(message), domain_of(domain), time_ns);
  return nvtx::kNoDepths;
}
int pop(const void* domain) {
  if (recording()) publish_end(MarkerKind::kPushed, 0, domain_of(domain));
  return nvtx::kNoDepths;
}
template <class Message>
uint64_t start_range(const void* domain, Message message) {
  if (!recording()) return 0;
  const uint64_t time_ns = now_ns();
  const uint64_t range = g_ranges.fetch_add(1, std::memory_order_relaxed) + 1;
  publish_begin(MarkerKind::kStarted, range, name_of(message), domain_of(domain), time_ns);
  return range;
}
void end_range(uint64_t range) {
  if (range != 0 && recording()) publish_end(MarkerKind::kStarted, range, 0);
}
void name_thread(uint32_t tid, const char* name) {
  if (name == nullptr || !recording()) return;
  const auto named = static_cast<int32_t>(tid);
  publish_thread_name(name, named == sys::tid() ? 0 : named);
}

using Event = const nvtx::EventAttributes*;
using Handle = const void*;

struct Entry {
  unsigned index;
  nvtx::AnyFunction function;
};
template <class Function>
nvtx::AnyFunction any(Function* function) {
  return reinterpret_cast<nvtx::AnyFunction>(function);
}

void fill(nvtx::AnyFunction** table, unsigned count, const Entry* entries, size_t entry_count) {
  for (size_t i = 0; i < entry_count; ++i) {
    const Entry& entry = entries[i];
    if (entry.index < count && table[entry.index] != nullptr) {
      *table[entry.index] = entry.function;
    }
  }
}

void attach_core(nvtx::AnyFunction** table, unsigned count) {
  const Entry entries[] = {
      {nvtx::kMarkEx, any(+[](Event event) { mark(nullptr, event); })},
      {nvtx::kMarkA, any(+[](const char* text) { mark(nullptr, text); })},
      {nvtx::kMarkW, any(+[](const wchar_t* text) { mark(nullptr, text); })},
      {nvtx::kRangeStartEx, any(+[](Event event) { return start_range(nullptr, event); })},
      {nvtx::kRangeStartA, any(+[](const char* text) { return start_range(nullptr, text); })},
      {nvtx::kRangeStartW, any(+[](const wchar_t* text) { return start_range(nullptr, text); })},
      {nvtx::kRangeEnd, any(+[](uint64_t range) { end_range(range); })},
      {nvtx::kRangePushEx, any(+[](Event event) { return push(nullptr, event); })},
      {nvtx::kRangePushA, any(+[](const char* text) { return push(nullptr, text); })},
      {nvtx::kRangePushW, any(+[](const wchar_t* text) { return push(nullptr, text); })},
      {nvtx::kRangePop, any(+[] { return pop(nullptr); })},
      {nvtx::kNameOsThreadA, any(+[](uint32_t tid, const char* name) { name_thread(tid, name); })},
      {nvtx::kNameOsThreadW,
       any(+[](uint32_t tid, const wchar_t* name) { name_thread(tid, Utf8(name).get()); })},
  };
  fill(table, count, entries, sizeof entries / sizeof *entries);
}

Handle keep(const char* name) { return name == nullptr ? nullptr : keep_name(name); }

void attach_core2(nvtx::AnyFunction** table, unsigned count) {
  const Entry entries[] = {
      {nvtx::kDomainMarkEx, any(+[](Handle domain, Event event) { mark(domain, event); })},
      {nvtx::kDomainRangeStartEx,
       any(+[](Handle domain, Event event) { return start_range(domain, event); })},
      {nvtx::kDomainRangeEnd, any(+[](Handle, uint64_t range) { end_range(range); })},
      {nvtx::kDomainRangePushEx,
       any(+[](Handle domain, Event event) { return push(domain, event); })},
      {nvtx::kDomainRangePop, any(+[](Handle domain) { return pop(domain); })},
      {nvtx::kDomainRegisterStringA, any(+[](Handle, const char* text) { return keep(text); })},
      {nvtx::kDomainRegisterStringW,
       any(+[](Handle, const wchar_t* text) { return keep(Utf8(text).get()); })},
      {nvtx::kDomainCreateA, any(+[](const char* name) { return keep(name); })},
      {nvtx::kDomainCreateW, any(+[](const wchar_t* name) { return keep(Utf8(name).get()); })},
      {nvtx::kDomainDestroy, any(+[](Handle) {})},
  };
  fill(table, count, entries, sizeof entries / sizeof *entries);
}

// Each program and library that NVTX was compiled into asks for itself. False: there is nothing to
// be filled in.
bool attach(nvtx::ExportTable get_table) {
  const auto* callbacks =
      get_table == nullptr ? nullptr
                           : static_cast<const nvtx::Callbacks*>(get_table(nvtx::kCallbacksTable));
  if (callbacks == nullptr || callbacks->struct_bytes < sizeof *callbacks) return false;
  nvtx::AnyFunction** table = nullptr;
  unsigned count = 0;
  bool any_table = false;
  if (callbacks->get_module(nvtx::kCore, &table, &count) != 0 && table != nullptr) {
    attach_core(table, count);
    any_table = true;
  }
  if (callbacks->get_module(nvtx::kCore2, &table, &count) != 0 && table != nullptr) {
    attach_core2(table, count);
    any_table = true;
  }
  if (any_table && !g_told.exchange(true)) publish_meta("nvtx.ranges", "recorded");
  return any_table;
}

}  // namespace
}  // namespace tidemark::preload

// 1: the functions are filled in. 0: NVTX makes all of its functions do nothing.
// NOLINTNEXTLINE(readability-identifier-naming): NVTX chose it
TIDEMARK_EXPORT int InitializeInjectionNvtx2(const void* (*get_table)(uint32_t)) {
  using namespace tidemark::preload;
  return recording() && attach(get_table) ? 1 : 0;
}
