// A Reader through which only some allocations are seen: those of layers of the device, or those
// that began in the first part of the recording. For a first picture while all is still being read.
#pragma once

#include <algorithm>
#include <utility>

#include "reader_over.h"

namespace tidemark::viewer {

class NarrowReader final : public ReaderOver {
 public:
  // `end_ns`: only what was allocated before it. The whole reader must outlive this one.
  NarrowReader(const trace::Reader& whole, bool device_only, int64_t end_ns)
      : ReaderOver(whole), device_only_(device_only), end_ns_(end_ns) {}

  Result<void> allocations(const trace::AllocationFilter& filter,
                           const Visit<trace::Allocation>& visit) const override {
    trace::AllocationFilter narrow = filter;
    narrow.end_ns = std::min(narrow.end_ns, end_ns_);
    if (!device_only_ || filter.layer) return whole_.allocations(narrow, visit);
    for (const trace::Layer layer : {trace::Layer::kDriver, trace::Layer::kPool}) {
      narrow.layer = layer;
      if (auto read = whole_.allocations(narrow, visit); !read) return read;
    }
    return {};
  }

 private:
  const bool device_only_;
  const int64_t end_ns_;
};

}  // namespace tidemark::viewer
