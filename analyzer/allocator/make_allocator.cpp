#include <fmt/format.h>

#include "tidemark/analyzer/allocator_model.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr std::string_view kThereAre =
    "torch[:SETTINGS as in PYTORCH_CUDA_ALLOC_CONF], cuda-malloc-async[:threshold=SIZE], "
    "cuda-malloc, bfc[:whole], exact";

Result<std::unique_ptr<AllocatorModel>> async_pool(std::string_view options, Capacity capacity) {
  constexpr std::string_view kThreshold = "threshold=";
  if (options.empty()) {
    return cuda_async_pool_allocator(TorchAllocatorSettings::kNoLimit, capacity);
  }
  if (!options.starts_with(kThreshold)) {
    return fail(fmt::format("allocator cuda-malloc-async has no option \"{}\": there is {}SIZE",
                            options, kThreshold));
  }
  const auto bytes = parse_size(options.substr(kThreshold.size()));
  if (!bytes) return tl::unexpected(bytes.error());
  return cuda_async_pool_allocator(*bytes, capacity);
}

Result<std::unique_ptr<AllocatorModel>> bfc(std::string_view options, Capacity capacity) {
  BfcSettings settings;
  if (options == "whole") {
    if (!capacity) return fail("allocator bfc:whole takes the whole card: give a --capacity");
    settings.initial_region_bytes = 0;
  } else if (!options.empty()) {
    return fail(fmt::format("allocator bfc has no option \"{}\": there is whole", options));
  }
  return bfc_allocator(settings, capacity);
}

}  // namespace

Result<std::unique_ptr<AllocatorModel>> make_allocator(std::string_view spec, Capacity capacity) {
  const size_t colon = spec.find(':');
  const std::string_view name = spec.substr(0, colon);
  const std::string_view options =
      colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1);
  if (name == "torch") {
    const auto settings = TorchAllocatorSettings::parse(options);
    if (!settings) return tl::unexpected(settings.error());
    return torch_caching_allocator(*settings, capacity);
  }
  if (name == "cuda-malloc-async") return async_pool(options, capacity);
  if (name == "bfc") return bfc(options, capacity);
  if (name == "cuda-malloc" || name == "exact") {
    if (!options.empty()) {
      return fail(fmt::format("allocator {} has no options, but has got \"{}\"", name, options));
    }
    return name == "exact" ? exact_sum_allocator(capacity)
                           : plain_cuda_malloc_allocator(uint64_t{2} << 20, capacity);
  }
  return fail(fmt::format("no allocator \"{}\": there are {}", name, kThereAre));
}

}  // namespace tidemark::analyzer
