#include "delivery.h"

#include "activity.h"

namespace tidemark::cuda {

void Delivery::complete(uint8_t* buffer, size_t valid_bytes) {
  if (buffer == nullptr) return;
  CUpti_Activity* record = nullptr;
  if (valid_bytes > 0) {
    CUptiResult result = CUPTI_SUCCESS;
    while ((result = cupti_.get_next_record(buffer, valid_bytes, &record)) == CUPTI_SUCCESS) {
      publish(*record);
    }
    // What this CUPTI cannot step over, it cannot have written: the rest of the buffer is lost.
    if (result != CUPTI_ERROR_MAX_LIMIT_REACHED) {
      client_.count_loss(wire::Loss::kCuptiUnknownRecords, 1);
    }
  }
  size_t dropped = 0;
  if (cupti_.get_num_dropped_records != nullptr &&
      cupti_.get_num_dropped_records(nullptr, 0, &dropped) == CUPTI_SUCCESS && dropped > 0) {
    client_.count_loss(wire::Loss::kCuptiRecordsDropped, dropped);
  }
  pool_.give_back(buffer);
}

void Delivery::publish(const CUpti_Activity& record) {
  switch (record.kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
    case CUPTI_ACTIVITY_KIND_KERNEL: {
      const auto& kernel = reinterpret_cast<const CUpti_ActivityKernel9&>(record);
      if (left_out(kernel.correlationId, wire::Loss::kKernelsOutsideWindow)) return;
      wire::Kernel out;
      const bool timed = to_kernel(kernel, out) == Outcome::kConverted;
      if (timed) out.name = name_id(kernel.name);
      return publish_timed(out, timed);
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      wire::Transfer out;
      const auto& copy = reinterpret_cast<const CUpti_ActivityMemcpy5&>(record);
      if (left_out(copy.correlationId, wire::Loss::kCopiesOutsideWindow)) return;
      return publish_timed(out, to_transfer(copy, out) == Outcome::kConverted);
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY2: {
      wire::Transfer out;
      const auto& copy = reinterpret_cast<const CUpti_ActivityMemcpyPtoP4&>(record);
      if (left_out(copy.correlationId, wire::Loss::kCopiesOutsideWindow)) return;
      return publish_timed(out, to_transfer(copy, out) == Outcome::kConverted);
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      wire::Memset out;
      const auto& set = reinterpret_cast<const CUpti_ActivityMemset4&>(record);
      if (left_out(set.correlationId, wire::Loss::kSetsOutsideWindow)) return;
      return publish_timed(out, to_memset(set, out) == Outcome::kConverted);
    }
    case CUPTI_ACTIVITY_KIND_MEMORY2:
      return publish_memory(reinterpret_cast<const CUpti_ActivityMemory3&>(record));
    case CUPTI_ACTIVITY_KIND_MEMORY_POOL: {
      wire::DriverPool out;
      if (!to_driver_pool(reinterpret_cast<const CUpti_ActivityMemoryPool2&>(record), out)) return;
      return client_.publish(&out);
    }
    case CUPTI_ACTIVITY_KIND_UNIFIED_MEMORY_COUNTER:
      return publish_migration(
          reinterpret_cast<const CUpti_ActivityUnifiedMemoryCounter2&>(record));
    default:
      client_.count_loss(wire::Loss::kCuptiUnknownRecords, 1);
  }
}

bool Delivery::left_out(uint32_t correlation, wire::Loss counter) {
  if (window_.may_hold(correlation)) return false;
  client_.count_loss(counter, 1);
  return true;
}

template <class Record>
void Delivery::publish_timed(const Record& record, bool timed) {
  if (timed) {
    client_.publish(&record);
  } else {
    client_.count_loss(wire::Loss::kCuptiRecordsDropped, 1);
  }
}

void Delivery::publish_migration(const CUpti_ActivityUnifiedMemoryCounter2& record) {
  wire::Migration out;
  if (!to_migration(record, out)) return client_.count_loss(wire::Loss::kCuptiUnknownRecords, 1);
  publish_timed(out, record.start != 0);
}

void Delivery::publish_memory(const CUpti_ActivityMemory3& record) {
  wire::DriverPool pool;
  if (to_driver_pool(record, pool)) client_.publish(&pool);
  const bool allocation =
      record.memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
  if (is_module_memory(record)) {
    if (allocation) {
      wire::DeviceAlloc out;
      to_module_alloc(record, out);
      if (sources_) out.source = name_id(memory_source(record));
      access_.memory(out.address, out.size);
      client_.publish(&out);
    } else {
      wire::Free out;
      to_module_free(record, out);
      client_.publish(&out);
    }
  } else if (allocation && !covered(record.correlationId)) {
    uncovered_records_.fetch_add(1, std::memory_order_relaxed);
    uncovered_bytes_.fetch_add(record.bytes, std::memory_order_relaxed);
  }
}

wire::NameId Delivery::name_id(const char* name) {
  if (name == nullptr || *name == '\0') return 0;
  const auto key = reinterpret_cast<uintptr_t>(name);
  {
    const SpinGuard guard(names_lock_);
    if (const wire::NameId* known = names_.find(key)) return *known;
  }
  const wire::NameId id = client_.intern(name);  // may wait for room: not under the lock
  const SpinGuard guard(names_lock_);
  names_.insert(key, id);
  return id;
}

void Delivery::forget_names() {
  const SpinGuard guard(names_lock_);
  names_.clear();
}

void Delivery::cover(uint32_t correlation) {
  covered_[correlation % kCovered].store(correlation, std::memory_order_relaxed);
}

bool Delivery::covered(uint32_t correlation) const {
  return covered_[correlation % kCovered].load(std::memory_order_relaxed) == correlation;
}

void Delivery::publish_uncovered() {
  const uint64_t records = uncovered_records_.load(std::memory_order_relaxed);
  if (records == 0) return;
  Message text;
  text << records << " allocations, " << uncovered_bytes_.load(std::memory_order_relaxed)
       << " bytes";
  client_.meta("cuda.memory2.uncovered", text.c_str());
}

}  // namespace tidemark::cuda
