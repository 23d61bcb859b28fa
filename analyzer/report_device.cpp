// Copies, sets and kernels.
#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "report_parts.h"

namespace tidemark::analyzer {
namespace {

Result<void> add_transfers(const trace::Reader& reader, Report& report) {
  std::map<std::tuple<trace::TransferKind, trace::Space, trace::Space>, TransferLine> lines;
  auto read = reader.transfers([&](std::span<const trace::Transfer> batch) {
    for (const trace::Transfer& transfer : batch) {
      TransferLine& line = lines[{transfer.kind, transfer.src_space, transfer.dst_space}];
      ++line.count;
      line.bytes += transfer.bytes;
      add_duration(line.time_ns, transfer.start_ns, transfer.end_ns);
    }
  });
  if (!read) return read;
  for (auto& [key, line] : lines) {
    std::tie(line.kind, line.src_space, line.dst_space) = key;
    report.transfers.push_back(line);
  }
  return {};
}

Result<void> add_memsets(const trace::Reader& reader, Report& report) {
  OperationTotal total;
  auto read = reader.memsets([&](std::span<const trace::Memset> batch) {
    for (const trace::Memset& memset : batch) {
      ++total.count;
      total.bytes += memset.bytes;
      add_duration(total.time_ns, memset.start_ns, memset.end_ns);
    }
  });
  if (!read) return read;
  if (total.count > 0) report.memsets = total;
  return {};
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// As cuBLAS, cuDNN and CUTLASS name them.
bool is_product_kernel(std::string_view name) {
  return has(name, "gemm") || has(name, "cutlass") || has(name, "xmma") || has(name, "conv2d") ||
         has(name, "convolve") || has(name, "wgrad") || has(name, "dgrad") || has(name, "nvjet");
}
bool is_short_float(std::string_view name) {
  return has(name, "f16") || has(name, "hgemm") || has(name, "h16816") || has(name, "fp8") ||
         has(name, "e4m3");
}
// Those that tensor cores compute say so, or name a shorter type.
bool is_full_float(std::string_view name) {
  const bool tensor_cores = has(name, "tensorop") || has(name, "tf32") || is_short_float(name);
  return !tensor_cores && (has(name, "sgemm") || has(name, "f32f32"));
}

Result<void> add_kernels(const trace::Reader& reader, size_t names, Report& report) {
  KernelTotal total;
  std::unordered_map<int64_t, KernelLine> by_name;  // by StringId
  auto read = reader.kernels([&](std::span<const trace::Kernel> batch) {
    for (const trace::Kernel& kernel : batch) {
      ++total.count;
      add_duration(total.time_ns, kernel.start_ns, kernel.end_ns);
      KernelLine& line = by_name[static_cast<int64_t>(kernel.name)];
      ++line.count;
      add_duration(line.time_ns, kernel.start_ns, kernel.end_ns);
    }
  });
  if (!read) return read;
  if (total.count == 0) return {};
  total.names = by_name.size();
  for (auto& [id, line] : by_name) {
    line.name = reader.text(static_cast<trace::StringId>(id));
    if (is_product_kernel(line.name)) {
      total.product_ns += line.time_ns;
      if (is_full_float(line.name)) total.full_float_product_ns += line.time_ns;
      if (is_short_float(line.name)) total.short_product_ns += line.time_ns;
    }
    total.top.push_back(std::move(line));
  }
  std::sort(total.top.begin(), total.top.end(), [](const KernelLine& a, const KernelLine& b) {
    return std::tie(b.time_ns, b.count, a.name) < std::tie(a.time_ns, a.count, b.name);
  });
  total.top.resize(std::min(names, total.top.size()));
  report.kernels = std::move(total);
  return {};
}

}  // namespace

Result<void> add_device(const trace::Reader& reader, const ReportOptions& options, Report& report) {
  if (auto added = add_transfers(reader, report); !added) return added;
  if (auto added = add_memsets(reader, report); !added) return added;
  if (auto added = add_kernels(reader, options.kernel_names, report); !added) return added;
  if (auto added = add_accesses(reader, report); !added) return added;
  if (auto added = add_out_of_memory(reader, options, report); !added) return added;
  return reader.markers(
      [&](std::span<const trace::Marker> batch) { report.markers += batch.size(); });
}

}  // namespace tidemark::analyzer
