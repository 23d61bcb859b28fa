// From CUPTI's activity records to the wire's: pure functions, unit-tested with the real structs.
//
// Which struct a record has is the *library's* version, not the header's (cupti.h and NVIDIA's
// release notes). NVIDIA only ever appends fields or uses up padding, so each function takes the
// oldest struct of the supported range; that is a prefix of all later ones, and this build reads
// CUPTI 12.0 to 13.x (tests/unit/cuda_activity.cpp checks the prefixes field by field):
//
//   kind               taken as       newer layouts with the same prefix
//   CONCURRENT_KERNEL  Kernel9 (12.0)  Kernel10 (13.0: isDeviceLaunched)
//   MEMCPY             Memcpy5 (11.6)  Memcpy6 (12.8: isDeviceLaunched, copyCount)
//   MEMCPY2            MemcpyPtoP4 (11.6)
//   MEMSET             Memset4 (11.6)
//   MEMORY2            Memory3 (11.6)  Memory4 (12.6: source)
//   MEMORY_POOL        MemoryPool2 (11.6)  MemoryPool3 (13.0: whether of managed memory)
//   UNIFIED_MEMORY_COUNTER  Counter2   Counter3 (13.0: processors)
#pragma once

#include <cupti.h>

#include <cstdint>

#include "tidemark/wire/records.h"

namespace tidemark::cuda {

inline constexpr uint32_t kOldestCupti = 19;  // cuptiGetVersion() of CUDA 12.0

// kTimeless: CUPTI could not take both times (no device memory left for it, or a forced flush of
// what still runs). Such a record has no place on a timeline: it is counted as a loss instead.
enum class Outcome : uint8_t { kConverted, kTimeless };

Outcome to_transfer(const CUpti_ActivityMemcpy5& record, wire::Transfer& out);
Outcome to_transfer(const CUpti_ActivityMemcpyPtoP4& record, wire::Transfer& out);
Outcome to_memset(const CUpti_ActivityMemset4& record, wire::Memset& out);
// Without the name: interning is not pure.
Outcome to_kernel(const CUpti_ActivityKernel9& record, wire::Kernel& out);

// Code and globals of a module, which the driver places without any API call that we could see.
bool is_module_memory(const CUpti_ActivityMemory3& record);
void to_module_alloc(const CUpti_ActivityMemory3& record, wire::DeviceAlloc& out);
void to_module_free(const CUpti_ActivityMemory3& record, wire::Free& out);
// False: the memory is of no pool. The device is the record's.
bool to_driver_pool(const CUpti_ActivityMemory3& record, wire::DriverPool& out);
// After the pool was created, trimmed or destroyed. False: it is another process's.
bool to_driver_pool(const CUpti_ActivityMemoryPool2& record, wire::DriverPool& out);
// False: a counter of another kind.
bool to_migration(const CUpti_ActivityUnifiedMemoryCounter2& record, wire::Migration& out);
// The library whose request it was; only where cuptiActivityEnableAllocationSource succeeded
// (CUPTI 12.6 and later), since the field lies behind the older struct.
const char* memory_source(const CUpti_ActivityMemory3& record);

}  // namespace tidemark::cuda
