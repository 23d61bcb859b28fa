#include <limits>

#include "json_parts.h"
#include "tidemark/analyzer/render.h"

namespace tidemark::analyzer {
namespace {

// `version` changes when a key's meaning does, or one goes; keys that come do not change it.
Json head(const Report& report, const char* format) {
  return {{"format", format},
          {"version", 1},
          {"command", or_null(report.command)},
          {"span_ns", report.span_ns},
          {"finished", report.finished},
          {"threads", report.threads}};
}

Json shares(const StackShares& all) {
  Json top = Json::array();
  for (const StackShare& share : all.top) {
    top.push_back({{"bytes", share.bytes},
                   {"count", share.count},
                   {"api", or_null(share.api)},
                   {"stack", stack_json(share.stack)}});
  }
  return {{"bytes", all.bytes}, {"count", all.count}, {"groups", all.groups}, {"top", top}};
}

Json measured(int64_t value) { return value == trace::kNotMeasured ? Json() : Json(value); }

Json breakdown(const MemoryBreakdown& all) {
  Json parts = Json::array();
  for (size_t i = 0; i < kMemoryParts; ++i) {
    parts.push_back({{"part", to_string(static_cast<MemoryPart>(i))}, {"bytes", all.parts[i]}});
  }
  Json files = Json::array();
  for (const FileMemory& file : all.files) {
    files.push_back({{"path", file.path},
                     {"mapped_bytes", file.mapped_bytes},
                     {"resident_bytes", file.resident_bytes}});
  }
  return {{"at_ns", all.time_ns},
          {"rss_bytes", all.rss_bytes},
          {"pss_bytes", all.pss_bytes},
          {"swap_bytes", all.swap_bytes},
          {"heap_live_bytes", all.heap_live_bytes},
          {"heap_live_count", all.heap_live_count},
          {"parts", parts},
          {"files", files}};
}

Json memory(const ProcessLine& line) {
  const ProcessMemoryUse::System& system = *line.memory.system;
  return {{"peak_rss_bytes", system.peak_rss_bytes},
          {"peak_rss_at_ns", system.peak_rss_ns},
          {"kernel_peak_rss_bytes", measured(system.kernel_peak_bytes)},
          {"peak_swap_bytes", measured(system.peak_swap_bytes)},
          {"minor_faults", system.minor_faults},
          {"major_faults", system.major_faults},
          {"breakdown", line.memory.breakdown ? breakdown(*line.memory.breakdown) : Json()}};
}

Json processes(const Report& report) {
  Json list = Json::array();
  for (const ProcessLine& line : report.processes) {
    const trace::Process& process = line.process;
    const bool ended = process.end_ns != trace::kNever;
    const bool known = ended && process.exit != std::numeric_limits<int32_t>::min();
    Json entry = {{"id", static_cast<int32_t>(process.id)},
                  {"pid", process.pid},
                  {"parent_id", static_cast<int32_t>(process.parent) == 0
                                    ? Json()
                                    : Json(static_cast<int32_t>(process.parent))},
                  {"command", process.command},
                  {"start_ns", process.start_ns},
                  {"end_ns", ended ? Json(process.end_ns) : Json()},
                  {"exit", known ? Json(process.exit) : Json()},
                  {"rank", process.rank < 0 ? Json() : Json(process.rank)},
                  {"threads", line.threads}};
    if (line.memory.system) entry["memory"] = memory(line);
    if (line.memory.heap_peak) {
      entry["heap"] = {{"peak_bytes", line.memory.heap_peak->bytes},
                       {"peak_at_ns", line.memory.heap_peak->time_ns},
                       {"at_peak", shares(line.heap_at_peak)}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Json culprits(const std::vector<Culprit>& list) {
  Json all = Json::array();
  for (const Culprit& culprit : list) {
    all.push_back({{"name", culprit.name},
                   {"file", or_null(culprit.file)},
                   {"line", culprit.line > 0 ? Json(culprit.line) : Json()},
                   {"bytes", culprit.bytes},
                   {"count", culprit.count}});
    if (culprit.backward) all.back()["backward"] = true;
  }
  return all;
}

Json backward(const BackwardShare& share) {
  const auto sum = [](const BackwardShare::Sum& of) {
    return Json{{"blocks", of.blocks}, {"bytes", of.bytes}};
  };
  return {{"saved_block", sum(share.saved_block)},
          {"order", sum(share.order)},
          {"neighbours", sum(share.neighbours)},
          {"unknown", sum(share.unknown)}};
}

Json cause(const PeakCause& cause) {
  const bool rose = cause.rise_ns != std::numeric_limits<int64_t>::min();
  return {{"iteration", cause.iteration < 0 ? Json() : Json(cause.iteration)},
          {"phase", to_string(cause.phase)},
          {"rise_began_ns", rose ? Json(cause.rise_ns) : Json()},
          {"risen_bytes", cause.risen_bytes},
          {"risen", culprits(cause.risen)},
          {"without_largest_line",
           {{"peak_bytes", cause.next_peak_bytes}, {"peak_at_ns", cause.next_peak_ns}}}};
}

Json findings(const Report& report) {
  Json list = Json::array();
  for (const Finding& finding : report.findings) {
    list.push_back({{"pattern", to_string(finding.pattern)},
                    {"space", space_text(finding.series)},
                    {"layer", trace::to_string(finding.series.layer)},
                    {"bytes", finding.bytes},
                    {"count", finding.count},
                    {"byte_seconds", finding.byte_seconds},
                    {"seconds", finding.seconds},
                    {"where", or_null(finding.where)},
                    {"file", or_null(finding.file)},
                    {"line", finding.line > 0 ? Json(finding.line) : Json()},
                    {"evidence", finding.evidence},
                    {"mend", finding.mend},
                    {"peak_bytes", finding.peak_bytes},
                    {"peak_without_bytes", finding.peak_without_bytes}});
  }
  return list;
}

Json techniques(const TechniqueAdvice& advice) {
  Json list = Json::array();
  for (const TechniqueLine& line : advice.lines) {
    list.push_back(
        {{"technique", to_string(line.technique)},
         {"applies", line.applies},
         {"why", line.why},
         {"change", or_null(line.change)},
         {"peak_with_bytes", line.peak_with_bytes ? Json(*line.peak_with_bytes) : Json()},
         {"beside_bytes", line.beside_bytes},
         {"saved_bytes", advice.saved_bytes(line)},
         {"time_ratio", line.time_ratio ? Json(*line.time_ratio) : Json()},
         {"seconds", line.seconds},
         {"command", line.command}});
  }
  return {{"space", advice.series ? Json(space_text(*advice.series)) : Json()},
          {"layer", advice.series ? Json(trace::to_string(advice.series->layer)) : Json()},
          {"peak_bytes", advice.peak_bytes},
          {"step_ns", advice.step_ns > 0 ? Json(advice.step_ns) : Json()},
          {"not_replayed", or_null(advice.not_replayed)},
          {"techniques", list}};
}

Json fits(const Report& report) {
  Json list = Json::array();
  for (const FitLine& fit : report.fits) {
    Json cards = Json::array();
    for (const FitLine::Size& size : fit.sizes) {
      cards.push_back({{"gigabytes", size.gigabytes},
                       {"usable_bytes", size.usable_bytes},
                       {"fits", fit.needed_bytes() <= size.usable_bytes}});
    }
    list.push_back({{"device", fit.device},
                    {"needed_bytes", fit.needed_bytes()},
                    {"allocated_bytes", fit.allocated_bytes},
                    {"beside_bytes", fit.beside_bytes ? Json(*fit.beside_bytes) : Json()},
                    {"cards", cards}});
  }
  return list;
}

Json structure(const Structure& all) {
  Json list = Json::array();
  for (const Iteration& iteration : all.iterations) {
    list.push_back({{"begin_ns", iteration.begin_ns},
                    {"end_ns", iteration.end_ns},
                    {"warm_up", iteration.warm_up},
                    {"regular", iteration.regular}});
  }
  Json phases = Json::array();
  for (const PhaseSpan& span : all.phases) {
    const bool begins = span.begin_ns != std::numeric_limits<int64_t>::min();
    phases.push_back({{"phase", to_string(span.phase)},
                      {"iteration", span.iteration < 0 ? Json() : Json(span.iteration)},
                      {"begin_ns", begins ? Json(span.begin_ns) : Json()},
                      {"end_ns", span.end_ns == trace::kNever ? Json() : Json(span.end_ns)}});
  }
  return {{"basis", to_string(all.basis)},
          {"sureness", to_string(all.iterations_sureness)},
          {"phases_from", all.phases_from},
          {"phases_sureness", to_string(all.phases_sureness)},
          {"iterations", list},
          {"phases", phases}};
}

Json spaces(const Report& report) {
  Json list = Json::array();
  for (const SeriesReport& line : report.series) {
    Json categories = Json::array();
    for (const CategoryBytes& category : line.categories) {
      categories.push_back({{"category", category.category}, {"bytes", category.bytes}});
    }
    list.push_back({{"space", space_text(line.series)},
                    {"layer", trace::to_string(line.series.layer)},
                    {"peak_bytes", line.peak_bytes},
                    {"peak_at_ns", line.peak_ns},
                    {"categories", categories},
                    {"lines", culprits(line.lines)},
                    {"layers", culprits(line.layers)},
                    {"backward", line.backward ? backward(*line.backward) : Json()},
                    {"cause", line.cause ? cause(*line.cause) : Json()},
                    {"allocations", line.allocations},
                    {"frees", line.frees},
                    {"allocated_bytes", line.allocated_bytes},
                    {"growth_bytes", line.growth_bytes ? Json(*line.growth_bytes) : Json()},
                    {"unfreed_bytes", line.unfreed_bytes},
                    {"unfreed_count", line.unfreed_count},
                    {"at_peak", shares(line.at_peak)},
                    {"leaked", shares(line.leaked)}});
  }
  return list;
}

Json transfers(const Report& report) {
  Json list = Json::array();
  for (const TransferLine& line : report.transfers) {
    list.push_back({{"kind", trace::to_string(line.kind)},
                    {"src_space", trace::to_string(line.src_space)},
                    {"dst_space", trace::to_string(line.dst_space)},
                    {"count", line.count},
                    {"bytes", line.bytes},
                    {"time_ns", line.time_ns}});
  }
  return list;
}

Json pools(const Report& report) {
  Json list = Json::array();
  for (const PoolReport& pool : report.pools) {
    list.push_back({{"device", pool.device},
                    {"peak_allocated_bytes", pool.peak_allocated_bytes},
                    {"peak_allocated_at_ns", pool.peak_allocated_ns},
                    {"peak_reserved_bytes", pool.peak_reserved_bytes},
                    {"peak_reserved_at_ns", pool.peak_reserved_ns}});
  }
  return list;
}

Json ranks(const Report& report) {
  Json list = Json::array();
  for (const RankLine& line : report.ranks) {
    list.push_back({{"rank", line.rank},
                    {"processes", line.processes},
                    {"devices", line.devices},
                    {"pool_peak_bytes", line.pool_bytes},
                    {"driver_peak_bytes", line.driver_bytes},
                    {"communicator_peak_bytes", line.communicator_bytes},
                    {"pinned_peak_bytes", line.pinned_bytes},
                    {"heap_peak_bytes", line.heap_bytes},
                    {"peak_rss_bytes", line.resident_bytes ? Json(*line.resident_bytes) : Json()}});
  }
  return list;
}

Json window(const WindowReport& window) {
  Json list = Json::array();
  for (const trace::RecordingWindow& row : window.windows) {
    const bool all = row.process == trace::ProcessId{};
    list.push_back({{"process_id", all ? Json() : Json(static_cast<int32_t>(row.process))},
                    {"begin_ns", row.begin_ns},
                    {"end_ns", row.end_ns == trace::kNever ? Json() : Json(row.end_ns)}});
  }
  return {{"option", window.option},
          {"windows", list},
          {"kernels_outside", window.kernels_outside},
          {"copies_outside", window.copies_outside},
          {"sets_outside", window.sets_outside},
          {"iterations", window.iterations ? Json(*window.iterations) : Json()}};
}

Json device_memory(const Report& report) {
  Json list = Json::array();
  for (const DeviceMemoryLine& line : report.device_memory) {
    list.push_back({{"bus", line.bus},
                    {"device", line.device == trace::kNoDevice ? Json() : Json(line.device)},
                    {"at_ns", line.at_ns},
                    {"total_bytes", line.total_bytes},
                    {"used_bytes", line.used_bytes},
                    {"recorded_bytes", line.recorded_bytes ? Json(*line.recorded_bytes) : Json()},
                    {"allocated_bytes", line.allocated_bytes},
                    {"pool_bytes", line.pool_bytes},
                    {"idle_bytes", line.idle_bytes},
                    {"unexplained_bytes", line.unexplained_bytes()}});
  }
  return list;
}

Json driver_pools(const Report& report) {
  Json pools = Json::array();
  for (const DriverPoolLine& line : report.driver_pools) {
    pools.push_back({{"device", line.device},
                     {"pools", line.pools},
                     {"peak_held_bytes", line.peak_held_bytes},
                     {"peak_held_ns", line.peak_held_ns},
                     {"used_then_bytes", line.used_then_bytes},
                     {"peak_used_bytes", line.peak_used_bytes}});
  }
  return pools;
}

Json migrations(const Report& report) {
  Json rows = Json::array();
  for (const MigrationLine& line : report.migrations) {
    rows.push_back({{"kind", trace::to_string(line.kind)},
                    {"count", line.count},
                    {"bytes", line.bytes},
                    {"faults", line.faults},
                    {"duration_ns", line.duration_ns}});
  }
  return rows;
}

Json imports(const Report& report) {
  Json rows = Json::array();
  for (const ImportLine& line : report.imports) {
    rows.push_back({{"device", line.device},
                    {"count", line.count},
                    {"peak_bytes", line.peak_bytes},
                    {"never_closed", line.never_closed},
                    {"of_unknown_size", line.of_unknown_size}});
  }
  return rows;
}

Json power(const Report& report) {
  Json list = Json::array();
  for (const PowerLine& line : report.power) {
    list.push_back({{"bus", line.bus},
                    {"device", line.device},
                    {"begin_ns", line.begin_ns},
                    {"end_ns", line.end_ns},
                    {"mean_mw", line.mean_mw},
                    {"peak_mw", line.peak ? Json(line.peak->mw) : Json()},
                    {"peak_ns", line.peak ? Json(line.peak->at_ns) : Json()},
                    {"energy_mj", line.energy_mj},
                    {"counted", line.counted},
                    {"iteration_mj", line.iteration_mj ? Json(*line.iteration_mj) : Json()}});
  }
  return list;
}

Json kernels(const KernelTotal& total) {
  Json top = Json::array();
  for (const KernelLine& line : total.top) {
    top.push_back({{"name", line.name}, {"count", line.count}, {"time_ns", line.time_ns}});
  }
  return {{"count", total.count}, {"time_ns", total.time_ns}, {"names", total.names}, {"top", top}};
}

Json out_of_memory(const Report& report) {
  Json list = Json::array();
  for (const OutOfMemoryLine& line : report.out_of_memory) {
    const trace::OutOfMemory& event = line.event;
    list.push_back(
        {{"time_ns", event.time_ns},
         {"device", event.device == trace::kNoDevice ? Json() : Json(event.device)},
         {"layer", trace::to_string(event.layer)},
         {"requested_bytes", event.requested_bytes},
         {"allocated_bytes", event.allocated_bytes == 0 ? Json() : Json(event.allocated_bytes)},
         {"reserved_bytes", event.reserved_bytes == 0 ? Json() : Json(event.reserved_bytes)},
         {"device_free_bytes", line.device_free_bytes ? Json(*line.device_free_bytes) : Json()},
         {"device_total_bytes", line.device_total_bytes ? Json(*line.device_total_bytes) : Json()},
         {"live_layer", trace::to_string(line.live_layer)},
         {"largest_hole_bytes", line.largest_hole_bytes ? Json(*line.largest_hole_bytes) : Json()},
         {"stack", stack_json(line.stack)},
         {"live", shares(line.live)}});
  }
  return list;
}

// Without "until_ns": all of them, also what lives.
Json condensed(const Condensed& condensed) {
  Json json = {{"host_allocations", condensed.allocations}};
  if (condensed.until_ns != trace::kNever) json["until_ns"] = condensed.until_ns;
  return json;
}

Json losses(const Report& report) {
  Json list = Json::array();
  for (const trace::Loss& loss : report.losses) {
    list.push_back({{"name", loss.name},
                    {"severity", trace::to_string(loss.severity)},
                    {"count", loss.count}});
  }
  return list;
}

Json accesses(const AccessTotal& total) {
  return {{"count", total.accesses},
          {"blocks", total.blocks},
          {"bytes", total.bytes},
          {"touched_blocks", total.touched_blocks},
          {"touched_bytes", total.touched_bytes}};
}

Json events(const Report& report) {
  Json kinds = {{"allocation", report.allocations()}, {"free", report.frees()}};
  uint64_t copies = 0;
  for (const TransferLine& line : report.transfers) copies += line.count;
  if (report.has_device()) {
    kinds["transfer"] = copies;
    kinds["memset"] = report.memsets ? report.memsets->count : 0;
    kinds["kernel"] = report.kernels ? report.kernels->count : 0;
  }
  if (report.accesses) kinds["access"] = report.accesses->accesses;
  if (report.markers > 0) kinds["marker"] = report.markers;
  if (!report.out_of_memory.empty()) kinds["out_of_memory"] = report.out_of_memory.size();
  return kinds;
}

}  // namespace

std::string report_json(const Report& report) {
  Json json = head(report, "tidemark-report");
  json["events"] = events(report);
  json["processes"] = processes(report);
  if (!report.ranks.empty()) json["ranks"] = ranks(report);
  if (report.window) json["window"] = window(*report.window);
  json["spaces"] = spaces(report);
  json["findings"] = findings(report);
  if (report.techniques) json["advice"] = techniques(*report.techniques);
  if (!report.structure.iterations.empty()) json["training"] = structure(report.structure);
  if (!report.device_memory.empty()) json["device_memory"] = device_memory(report);
  if (!report.driver_pools.empty()) json["driver_pools"] = driver_pools(report);
  if (!report.migrations.empty()) json["migrations"] = migrations(report);
  if (!report.imports.empty()) json["imported_memory"] = imports(report);
  if (!report.power.empty()) json["power"] = power(report);
  if (report.has_device()) {
    json["pools"] = pools(report);
    json["fits"] = fits(report);
    json["transfers"] = transfers(report);
    if (report.memsets) {
      json["memsets"] = {{"count", report.memsets->count},
                         {"bytes", report.memsets->bytes},
                         {"time_ns", report.memsets->time_ns}};
    }
    if (report.kernels) json["kernels"] = kernels(*report.kernels);
    if (report.accesses) json["accesses"] = accesses(*report.accesses);
  }
  json["out_of_memory"] = out_of_memory(report);
  if (report.condensed) json["condensed"] = condensed(*report.condensed);
  json["losses"] = losses(report);
  json["remarks"] = report.remarks;
  return dumped(json);
}

std::string info_json(const Report& report) {
  Json json = head(report, "tidemark-info");
  json["events"] = events(report);
  Json peaks = Json::array();
  Json allocations = Json::array();
  for (const SeriesReport& line : report.series) {
    const std::string space = space_text(line.series);
    const char* layer = trace::to_string(line.series.layer);
    peaks.push_back(
        {{"space", space}, {"layer", layer}, {"bytes", line.peak_bytes}, {"at_ns", line.peak_ns}});
    for (const ApiCount& api : line.apis) {
      allocations.push_back({{"space", space},
                             {"layer", layer},
                             {"api", api.api},
                             {"count", api.allocations},
                             {"bytes", api.bytes}});
    }
  }
  json["peaks"] = peaks;
  json["allocations"] = allocations;
  if (!report.pools.empty()) json["pools"] = pools(report);
  if (report.accesses) json["accesses"] = accesses(*report.accesses);
  json["processes"] = processes(report);
  if (!report.ranks.empty()) json["ranks"] = ranks(report);
  if (report.window) json["window"] = window(*report.window);
  if (report.condensed) json["condensed"] = condensed(*report.condensed);
  json["losses"] = losses(report);
  json["remarks"] = report.remarks;
  return dumped(json);
}

}  // namespace tidemark::analyzer
