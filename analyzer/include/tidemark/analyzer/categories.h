// What every block is: a parameter, an activation, … From when it was born and died, in which
// phases kernels were handed it, what was copied to it, and who asked for it. Pure: reads through
// trace::Reader. Any thread that owns the Reader. What nothing tells stays unknown.
//
// Sizes: bytes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tidemark/analyzer/backward.h"

namespace tidemark::analyzer {

// In the order in which a report shows them.
enum class Category : uint8_t {
  kParameter,  // buffers of the model included
  kGradient,   // of a parameter
  kOptimizerState,
  kActivation,     // made in forward, kept for backward
  kInput,          // copied from the host
  kTemporary,      // over within its phase; gradients of activations too
  kWorkspace,      // scratch of a library (cuBLAS, cuDNN)
  kCommunication,  // NCCL, MPI
  kFramework,      // code on the device, what a pool holds unused, the interpreter's own
  kUnknown,
};
inline constexpr size_t kCategories = static_cast<size_t>(Category::kUnknown) + 1;
// parameter gradient optimizer_state activation input temporary workspace communication
// framework_overhead unknown: the names in JSON.
const char* to_string(Category category);

struct CategoryBlock {
  BlockPlace place;
  Category category = Category::kUnknown;
  Sureness sureness{};
};

struct SeriesBlocks {
  Series series;
  std::vector<CategoryBlock> blocks;  // ascending by id; every block of the series
  std::vector<ModelLayer> layers;
  BackwardOrigins backward;

  [[nodiscard]] const CategoryBlock* find(
      trace::AllocationId id) const;  // nullptr: of another series
};

[[nodiscard]] Result<SeriesBlocks> categorize(const trace::Reader& reader,
                                              const Structure& structure, const Series& series);

// Bytes by category of what was live at a moment: they add up to bytes_at(curve, time_ns). Of the
// driver's blocks that a framework's pool holds, what lies in them counts by the pool's categories,
// the rest as framework overhead. `pool`: of the same device, nullptr where there is none.
using CategoryBytesAt = std::array<uint64_t, kCategories>;
[[nodiscard]] Result<CategoryBytesAt> category_bytes_at(const trace::Reader& reader,
                                                        const SeriesBlocks& blocks,
                                                        const SeriesBlocks* pool, int64_t time_ns);

}  // namespace tidemark::analyzer
