// What PyTorch's sums over the rows of a matrix (gradients of biases) take as scratch: partial sums
// of every group of threads. Their number follows the rows only until the device is full, so the
// scratch does not grow with the batch as the matrix does. Pure; any thread.
//
//   [rows x columns] --> 4 columns a thread, 32 x 4 threads a group, G groups a column
//   scratch = columns x 4 bytes x 128 x G       (ATen/native/cuda/Reduce.cuh, 2.11; full floats)
// Of columns that 4 does not divide a thread loads 2 or 1, and a group has 32 x 8 or 32 x 16.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "tidemark/analyzer/schedule.h"

namespace tidemark::analyzer {

// Bytes; 0: none is taken. `groups_at_once`: of 128 threads, on the whole device.
uint64_t sum_scratch_bytes(uint64_t rows, uint64_t columns, uint64_t groups_at_once);

// A sum whose scratch is what the rule says, so that it also says what other rows would take.
struct RowSum {
  uint64_t rows = 0;
  uint64_t columns = 0;
  uint64_t element = 0;  // bytes of what is summed up
};
// What is summed up in one go: of matrices from 2 GiB on a half, a quarter, ….
uint64_t rows_at_once(const RowSum& sum);
// By the index of the scratch's block.
std::map<uint32_t, RowSum> row_sums(const Schedule& schedule);
// Gives the scratches of `sums`, found before, what so many times as many rows take.
void scale_row_sums(Schedule& schedule, const std::map<uint32_t, RowSum>& sums, double factor);

}  // namespace tidemark::analyzer
