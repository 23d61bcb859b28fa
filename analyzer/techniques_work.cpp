// Advice on what the device did: copies, kernels, and what it waited for.
#include <fmt/format.h>

#include <algorithm>

#include "techniques_parts.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

constexpr double kNsPerSecond = 1e9;

int64_t ns_of(double seconds) { return static_cast<int64_t>(seconds * kNsPerSecond); }

// What findings of these patterns say together.
struct Found {
  size_t findings = 0;
  uint64_t bytes = 0;
  uint64_t count = 0;
  double seconds = 0;
  std::string where;  // of the one that wins most
  std::string mend;
};

Found found(const Report& report, std::initializer_list<Pattern> patterns) {
  Found all;
  for (const Finding& finding : report.findings) {
    if (std::ranges::find(patterns, finding.pattern) == patterns.end()) continue;
    ++all.findings;
    all.bytes += finding.bytes;
    all.count += finding.count;
    all.seconds += finding.seconds;
    if (all.mend.empty()) {
      all.where = finding.where;
      all.mend = finding.mend;
    }
  }
  return all;
}

std::string at(const Found& found) {
  return found.where.empty() ? "" : fmt::format(", first at {}", found.where);
}

struct Copies {
  uint64_t count = 0;
  uint64_t bytes = 0;
  int64_t time_ns = 0;
  uint64_t pageable_bytes = 0;
};

// Between host and device.
Copies copies_of(const Report& report) {
  Copies copies;
  for (const TransferLine& line : report.transfers) {
    const bool out = line.kind == trace::TransferKind::kHtoD;
    if (!out && line.kind != trace::TransferKind::kDtoH) continue;
    copies.count += line.count;
    copies.bytes += line.bytes;
    copies.time_ns += line.time_ns;
    if ((out ? line.src_space : line.dst_space) == trace::Space::kHost) {
      copies.pageable_bytes += line.bytes;
    }
  }
  return copies;
}

std::string copied(const Copies& copies) {
  return fmt::format("{} copies between host and device moved {} in {}, {} of it pageable",
                     format_count(copies.count), format_bytes(copies.bytes),
                     format_ns(copies.time_ns), format_bytes(copies.pageable_bytes));
}

constexpr const char* kCopies =
    "tidemark sql FILE \"select kind, src_space, dst_space, count(*), sum(bytes), "
    "sum(end_ns - start_ns) from transfer group by 1, 2, 3\"";

TechniqueLine of_findings(Technique technique, std::string why, const Found& found) {
  TechniqueLine line;
  line.technique = technique;
  line.why = std::move(why);
  line.seconds = found.seconds;
  line.change = found.mend;
  line.command = kCopies;
  return line;
}

void advise_on_copies(const TechniqueSearch& search) {
  const Copies copies = copies_of(search.report);
  const Found slow = found(search.report, {Pattern::kPageableCopies, Pattern::kSmallCopies});
  search.add(of_findings(
      Technique::kPinning,
      fmt::format("{}. Findings of pageable and of small copies: {}, {} to be won{}.",
                  copied(copies), slow.findings, format_ns(ns_of(slow.seconds)), at(slow)),
      slow));
  const Found waits = found(search.report, {Pattern::kSerialCopies, Pattern::kInputWait});
  search.add(of_findings(
      Technique::kAsyncLoading,
      fmt::format("{}. For {} no kernel ran while an input was awaited or copied ({} findings{}).",
                  copied(copies), format_ns(ns_of(waits.seconds)), waits.findings, at(waits)),
      waits));
}

void advise_on_caching(const TechniqueSearch& search) {
  const Found churn = found(search.report, {Pattern::kChurn});
  const Found again = found(search.report, {Pattern::kRepeatedCopies, Pattern::kRoundTrips});
  TechniqueLine line;
  line.technique = Technique::kCaching;
  uint64_t allocations = 0;
  for (const SeriesReport& series : search.report.series) {
    if (series.series.layer == trace::Layer::kHeap) allocations += series.allocations;
  }
  line.why = fmt::format(
      "{} copies ({}) carried bytes that had been copied right before{}. Of {} host allocations {} "
      "({}) were freed before their thread allocated again{}.",
      format_count(again.count), format_bytes(again.bytes), at(again), format_count(allocations),
      format_count(churn.count), format_bytes(churn.bytes), at(churn));
  line.seconds = again.seconds;
  line.change = again.findings > 0 ? again.mend : churn.mend;
  line.command = "tidemark report FILE --format json";
  // A block that is kept saves calls, and no byte of the peak.
  search.add(std::move(line), 0, churn.findings > 0);
}

// What a step's time on the device is made of.
void advise_on_hardware(const TechniqueSearch& search) {
  const Report& report = search.report;
  TechniqueLine line;
  line.technique = Technique::kHardware;
  line.command =
      "tidemark sql FILE \"select name, count(*), sum(end_ns - start_ns) from kernel group by 1 "
      "order by 3 desc\"";
  if (report.kernels) {
    const KernelTotal& kernels = *report.kernels;
    const auto time = static_cast<uint64_t>(kernels.time_ns);
    line.why = fmt::format(
        "Kernels worked for {} of {}; {} ({}) were matrix products, {} of that in 32 bits beside "
        "the tensor cores.",
        format_ns(kernels.time_ns), format_ns(report.span_ns), format_ns(kernels.product_ns),
        format_share(static_cast<uint64_t>(kernels.product_ns), time),
        format_ns(kernels.full_float_product_ns));
    line.seconds = static_cast<double>(kernels.full_float_product_ns) / kNsPerSecond;
    line.change =
        "torch.set_float32_matmul_precision(\"high\") (TF32): products on the tensor cores";
  } else {
    line.why = fmt::format("No kernel ran in {}.", format_ns(report.span_ns));
    line.command = "tidemark info FILE";
  }
  for (const FitLine& fit : report.fits) {
    const auto card = std::ranges::find_if(fit.sizes, [&](const FitLine::Size& size) {
      return fit.needed_bytes() <= size.usable_bytes;
    });
    line.why += fmt::format(" device:{} needed {}: ", fit.device, format_bytes(fit.needed_bytes()));
    line.why += card == fit.sizes.end()
                    ? fmt::format("more than a card of {} GB has.", fit.sizes.back().gigabytes)
                    : fmt::format("a card of {} GB has it.", card->gigabytes);
  }
  search.add(std::move(line));
}

}  // namespace

void advise_by_work(const TechniqueSearch& search) {
  advise_on_copies(search);
  advise_on_caching(search);
  advise_on_hardware(search);
}

}  // namespace tidemark::analyzer
