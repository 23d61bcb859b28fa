// PYTORCH_CUDA_ALLOC_CONF as PyTorch reads it: "key:value,key:[a:b,>:c]", blanks without meaning.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "tidemark/analyzer/allocator_model.h"
#include "torch_allocator.h"

namespace tidemark::analyzer {
namespace {

// They say how memory is taken or pinned, or are of pinned memory, and change no size here.
constexpr std::string_view kWithoutEffect[] = {
    "pinned_use_cuda_host_register",     "pinned_num_register_threads",
    "pinned_use_background_threads",     "pinned_reserve_segment_size_mb",
    "graph_capture_record_stream_reuse", "release_lock_on_cudamalloc",
    "throw_on_cudamalloc_oom",
};

class Parser {
 public:
  explicit Parser(std::string_view text) {
    for (const char c : text) {
      if (c != ' ' && c != '\t') text_ += c;
    }
  }

  Result<TorchAllocatorSettings> parse() {
    size_t from = 0;
    while (from < text_.size()) {
      const size_t end = end_of_item(from);
      const std::string_view item = std::string_view(text_).substr(from, end - from);
      const size_t colon = item.find(':');
      if (colon == std::string_view::npos || colon == 0 || colon + 1 == item.size()) {
        return fail(fmt::format("allocator setting \"{}\" is not of the form key:value", item));
      }
      if (auto set = setting(item.substr(0, colon), item.substr(colon + 1)); !set) {
        return tl::unexpected(set.error());
      }
      from = end + 1;
    }
    return settings_;
  }

 private:
  // Commas within brackets are the value's.
  size_t end_of_item(size_t from) const {
    bool bracket = false;
    for (size_t at = from; at < text_.size(); ++at) {
      if (text_[at] == '[') bracket = true;
      if (text_[at] == ']') bracket = false;
      if (text_[at] == ',' && !bracket) return at;
    }
    return text_.size();
  }

  Result<void> setting(std::string_view key, std::string_view value) {
    key_ = key;
    if (key == "expandable_segments") return flag(value, settings_.expandable_segments);
    if (key == "max_split_size_mb") {
      return mebibytes(value, 20, settings_.max_split_size_bytes);
    }
    if (key == "max_non_split_rounding_mb") {
      return mebibytes(value, 20, settings_.max_non_split_rounding_bytes);
    }
    if (key == "large_segment_size_mb") return mebibytes(value, 10, settings_.large_segment_bytes);
    if (key == "garbage_collection_threshold") {
      return share(value, settings_.garbage_collection_threshold);
    }
    if (key == "per_process_memory_fraction") {
      return share(value, settings_.per_process_memory_fraction);
    }
    if (key == "roundup_power2_divisions") return divisions(value);
    if (key == "backend") {
      if (value != "native" && value != "cudaMallocAsync") {
        return fail(
            fmt::format("allocator backend \"{}\": there are native and cudaMallocAsync", value));
      }
      settings_.backend_cuda_malloc_async = value == "cudaMallocAsync";
      return {};
    }
    if (std::find(std::begin(kWithoutEffect), std::end(kWithoutEffect), key) !=
        std::end(kWithoutEffect)) {
      return {};
    }
    return fail(fmt::format(
        "unknown allocator setting \"{}\": there are expandable_segments, max_split_size_mb, "
        "max_non_split_rounding_mb, large_segment_size_mb, roundup_power2_divisions, "
        "garbage_collection_threshold, per_process_memory_fraction, backend",
        key));
  }

  tl::unexpected<Error> wrong(std::string_view value, std::string_view wanted) const {
    return fail(fmt::format("allocator setting {}:{} must be {}", key_, value, wanted));
  }

  Result<void> flag(std::string_view value, bool& into) const {
    if (value != "True" && value != "False") return wrong(value, "True or False");
    into = value == "True";
    return {};
  }
  static bool number(std::string_view text, uint64_t& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc{} && end == text.data() + text.size();
  }
  Result<void> mebibytes(std::string_view value, uint64_t least, uint64_t& into) const {
    uint64_t count = 0;
    if (!number(value, count) || count < least) {
      return wrong(value, fmt::format("a whole number of MiB, {} at least", least));
    }
    into = std::min(count, TorchAllocatorSettings::kNoLimit / kMiB) * kMiB;
    return {};
  }
  Result<void> share(std::string_view value, double& into) const {
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool whole = error == std::errc{} && end == value.data() + value.size();
    if (!whole || !(number > 0) || !(number <= 1)) return wrong(value, "above 0 and at most 1");
    into = number;
    return {};
  }
  Result<uint32_t> division(std::string_view value) const {
    uint64_t count = 0;
    if (!number(value, count) || count > kMiB || (count != 0 && !std::has_single_bit(count))) {
      return wrong(value, "a power of two, or 0 for none");
    }
    return static_cast<uint32_t>(count);
  }

  // "4" for all sizes, or "[256:1,512:2,>:8]": from 256 MiB 1 (smaller ones too, for it is the
  // first), from 512 MiB 2, all above 8. Ranges between two that are not named have none.
  Result<void> divisions(std::string_view value) {
    auto& table = settings_.roundup_power2_divisions;
    if (value.front() != '[') {
      const auto all = division(value);
      if (!all) return tl::unexpected(all.error());
      table.fill(*all);
      return {};
    }
    if (value.back() != ']') return wrong(value, "a list that ends with ]");
    std::string_view list = value.substr(1, value.size() - 2);
    bool first = true;
    size_t after_last = 0;
    while (!list.empty()) {
      const size_t end = std::min(list.find(','), list.size());
      const std::string_view item = list.substr(0, end);
      list.remove_prefix(std::min(end + 1, list.size()));
      const size_t colon = item.find(':');
      if (colon == std::string_view::npos) return wrong(value, "a list of MiB:divisions");
      const auto count = division(item.substr(colon + 1));
      if (!count) return tl::unexpected(count.error());
      if (item.substr(0, colon) == ">") {
        std::fill(table.begin() + static_cast<std::ptrdiff_t>(after_last), table.end(), *count);
        continue;
      }
      uint64_t mebibytes = 0;
      if (!number(item.substr(0, colon), mebibytes) || !std::has_single_bit(mebibytes)) {
        return wrong(item, "a power of two in MiB, a colon and the divisions");
      }
      const size_t range =
          std::min<size_t>(static_cast<size_t>(std::bit_width(mebibytes)) - 1, table.size() - 1);
      if (first) std::fill_n(table.begin(), range, *count);
      first = false;
      table[range] = *count;
      after_last = range + 1;
    }
    return {};
  }

  std::string text_;
  std::string_view key_;
  TorchAllocatorSettings settings_;
};

}  // namespace

Result<TorchAllocatorSettings> TorchAllocatorSettings::parse(std::string_view text) {
  return Parser(text).parse();
}

}  // namespace tidemark::analyzer
