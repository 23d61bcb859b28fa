// What a kernel's handle points to in tests: a driver's handle is a pointer to something of its
// own, and fake_libcuda.cpp's is to this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct FakeKernel {
  bool of_library = false;  // a CUkernel, which the functions for a CUfunction do not know
  std::vector<size_t> parameter_bytes;
  uint32_t asked = 0;  // calls of both functions
};
