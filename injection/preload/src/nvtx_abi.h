// What an NVTX tool and the NVTX inside a program agree on: a table of pointers to functions that
// the tool fills in, and the struct that describes an event. Since NVTX 2 it has only grown. The
// headers of NVTX are not needed to build this; tests/unit/nvtx_abi_test.cpp compares with them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidemark::preload::nvtx {

using ExportTable = const void* (*)(uint32_t id);
inline constexpr uint32_t kCallbacksTable = 1;

using AnyFunction = void (*)();
struct Callbacks {
  size_t struct_bytes;
  // `table`: an array of pointers to where NVTX keeps its functions; `count` of them.
  int (*get_module)(int module, AnyFunction*** table, unsigned* count);
};

enum Module : int { kCore = 1, kCore2 = 5 };
// Indices into the tables.
enum CoreFunction : unsigned {
  kMarkEx = 1,
  kMarkA = 2,
  kMarkW = 3,
  kRangeStartEx = 4,
  kRangeStartA = 5,
  kRangeStartW = 6,
  kRangeEnd = 7,
  kRangePushEx = 8,
  kRangePushA = 9,
  kRangePushW = 10,
  kRangePop = 11,
  kNameOsThreadA = 14,
  kNameOsThreadW = 15,
};
enum Core2Function : unsigned {
  kDomainMarkEx = 1,
  kDomainRangeStartEx = 2,
  kDomainRangeEnd = 3,
  kDomainRangePushEx = 4,
  kDomainRangePop = 5,
  kDomainRegisterStringA = 10,
  kDomainRegisterStringW = 11,
  kDomainCreateA = 12,
  kDomainCreateW = 13,
  kDomainDestroy = 14,
};

enum MessageType : int32_t { kNoMessage = 0, kAscii = 1, kUnicode = 2, kRegistered = 3 };

struct EventAttributes {
  uint16_t version;
  uint16_t size;
  uint32_t category;
  int32_t color_type;
  uint32_t color;
  int32_t payload_type;
  int32_t reserved_;
  uint64_t payload;
  int32_t message_type;
  union {
    const char* ascii;
    const wchar_t* unicode;
    const void* registered;
  } message;
};
static_assert(sizeof(EventAttributes) == 48);

// What a push or pop answers when depths are not told: the same as without any tool.
inline constexpr int kNoDepths = -2;

}  // namespace tidemark::preload::nvtx
