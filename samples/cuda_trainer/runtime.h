// The CUDA runtime calls that the trainer makes, each checked and entered in the ledger.
//
// One thread. A failing call throws std::runtime_error with its name and CUDA's own words.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "ledger.h"

namespace cuda_trainer {

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
}

// Enters the call in the ledger, makes it, checks it.
#define CUDA_TRAINER_CALL(ledger, api, ...) \
  ((ledger).call(#api), ::cuda_trainer::check(api(__VA_ARGS__), #api))

// Where a host buffer of a copy lives, as the trace names it.
enum class HostMemory : uint8_t { kPageable, kPinned };
inline const char* host_space(HostMemory memory) {
  return memory == HostMemory::kPinned ? "pinned" : "host";
}

class Runtime {
 public:
  explicit Runtime(Ledger& ledger) : ledger_(ledger) {}
  Ledger& ledger() { return ledger_; }

  // --- memory ---
  template <typename T>
  T* device_array(size_t count) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMalloc, &pointer, count * sizeof(T));
    ledger_.allocation("cudaMalloc", Space::kDevice, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  template <typename T>
  T* pitched_array(size_t columns, size_t rows, size_t* pitch_bytes) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMallocPitch, &pointer, pitch_bytes, columns * sizeof(T), rows);
    ledger_.allocation("cudaMallocPitch", Space::kDevice, pointer, *pitch_bytes * rows);
    return static_cast<T*>(pointer);
  }
  template <typename T>
  T* managed_array(size_t count) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMallocManaged, &pointer, count * sizeof(T), cudaMemAttachGlobal);
    ledger_.allocation("cudaMallocManaged", Space::kManaged, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  void free_array(void* pointer) {  // of any of the three above
    ledger_.free("cudaFree", pointer);
    CUDA_TRAINER_CALL(ledger_, cudaFree, pointer);
  }

  template <typename T>
  T* async_array(size_t count, cudaStream_t stream) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMallocAsync, &pointer, count * sizeof(T), stream);
    ledger_.allocation("cudaMallocAsync", Space::kDevice, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  template <typename T>
  T* pool_array(size_t count, cudaMemPool_t pool, cudaStream_t stream) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMallocFromPoolAsync, &pointer, count * sizeof(T), pool, stream);
    ledger_.allocation("cudaMallocFromPoolAsync", Space::kDevice, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  void free_async(void* pointer, cudaStream_t stream) {
    ledger_.free("cudaFreeAsync", pointer);
    CUDA_TRAINER_CALL(ledger_, cudaFreeAsync, pointer, stream);
  }

  template <typename T>
  T* pinned_array(size_t count) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaMallocHost, &pointer, count * sizeof(T));
    ledger_.allocation("cudaMallocHost", Space::kPinned, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  template <typename T>
  T* host_array(size_t count, unsigned flags) {
    void* pointer = nullptr;
    CUDA_TRAINER_CALL(ledger_, cudaHostAlloc, &pointer, count * sizeof(T), flags);
    ledger_.allocation("cudaHostAlloc", Space::kPinned, pointer, count * sizeof(T));
    return static_cast<T*>(pointer);
  }
  void free_host(void* pointer) {
    ledger_.free("cudaFreeHost", pointer);
    CUDA_TRAINER_CALL(ledger_, cudaFreeHost, pointer);
  }
  void pin(void* pointer, size_t bytes) {
    CUDA_TRAINER_CALL(ledger_, cudaHostRegister, pointer, bytes, cudaHostRegisterDefault);
    ledger_.allocation("cudaHostRegister", Space::kPinned, pointer, bytes);
  }
  void unpin(void* pointer) {
    ledger_.free("cudaHostUnregister", pointer);
    CUDA_TRAINER_CALL(ledger_, cudaHostUnregister, pointer);
  }

  // --- copies and sets ---
  void to_device(void* target, const void* source, size_t bytes, HostMemory from) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpy, target, source, bytes, cudaMemcpyHostToDevice);
    ledger_.copy("HtoD", host_space(from), "device", bytes);
  }
  void to_device_async(void* target, const void* source, size_t bytes, HostMemory from,
                       cudaStream_t stream) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpyAsync, target, source, bytes, cudaMemcpyHostToDevice,
                      stream);
    ledger_.copy("HtoD", host_space(from), "device", bytes);
  }
  void rows_to_device_async(void* target, size_t target_pitch, const void* source, size_t row_bytes,
                            size_t rows, HostMemory from, cudaStream_t stream) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpy2DAsync, target, target_pitch, source, row_bytes,
                      row_bytes, rows, cudaMemcpyHostToDevice, stream);
    ledger_.copy("HtoD", host_space(from), "device", row_bytes * rows);
  }
  void to_host(void* target, const void* source, size_t bytes, HostMemory to) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpy, target, source, bytes, cudaMemcpyDeviceToHost);
    ledger_.copy("DtoH", "device", host_space(to), bytes);
  }
  void to_host_async(void* target, const void* source, size_t bytes, HostMemory to,
                     cudaStream_t stream) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpyAsync, target, source, bytes, cudaMemcpyDeviceToHost,
                      stream);
    ledger_.copy("DtoH", "device", host_space(to), bytes);
  }
  void on_device(void* target, const void* source, size_t bytes) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpy, target, source, bytes, cudaMemcpyDeviceToDevice);
    ledger_.copy("DtoD", "device", "device", bytes);
  }
  void on_device_async(void* target, const void* source, size_t bytes, cudaStream_t stream) {
    CUDA_TRAINER_CALL(ledger_, cudaMemcpyAsync, target, source, bytes, cudaMemcpyDeviceToDevice,
                      stream);
    ledger_.copy("DtoD", "device", "device", bytes);
  }
  void clear(void* target, size_t bytes) {
    CUDA_TRAINER_CALL(ledger_, cudaMemset, target, 0, bytes);
    ledger_.memset(bytes);
  }
  void clear_async(void* target, size_t bytes, cudaStream_t stream) {
    CUDA_TRAINER_CALL(ledger_, cudaMemsetAsync, target, 0, bytes, stream);
    ledger_.memset(bytes);
  }

  // --- kernels ---
  template <typename... Parameters, typename... Arguments>
  void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
              cudaStream_t stream, Arguments... arguments) {
    ledger_.call("cudaLaunchKernel");
    kernel<<<grid, block, 0, stream>>>(static_cast<Parameters>(arguments)...);
    CUDA_TRAINER_CALL(ledger_, cudaGetLastError);
    std::vector<const void*> pointers;
    (add_pointer(pointers, static_cast<Parameters>(arguments)), ...);
    ledger_.kernel(name, pointers);
  }

 private:
  template <typename T>
  static void add_pointer(std::vector<const void*>& pointers, T argument) {
    if constexpr (std::is_pointer_v<T>) pointers.push_back(argument);
  }

  Ledger& ledger_;
};

}  // namespace cuda_trainer
