#include "tidemark/analyzer/render_whatif.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "tidemark/analyzer/text.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using Json = nlohmann::ordered_json;

std::string signed_percent(double fraction) { return fmt::format("{:+.1f} %", 100 * fraction); }

Json peaks_json(const PeakBytes& peaks) {
  return {{"peak_allocated_bytes", peaks.allocated}, {"peak_reserved_bytes", peaks.reserved}};
}

std::string change(uint64_t from, uint64_t to) {
  return from == 0 ? "" : signed_percent(static_cast<double>(to) / static_cast<double>(from) - 1);
}

std::string capacity_line(const Prediction& prediction, uint64_t capacity) {
  const uint64_t need = prediction.needed_bytes();
  const uint64_t least = prediction.least_pool_bytes.value_or(prediction.predicted.reserved) +
                         prediction.beside_pool_bytes;
  switch (fit_of(prediction, capacity)) {
    case Fit::kFits:
      return fmt::format("  fits into {}: {} to spare\n", format_bytes(capacity),
                         format_bytes(capacity - need));
    case Fit::kTooCloseToTell:
      if (need > capacity) {
        return fmt::format(
            "  too close to {} to tell: {} less than it would take, but from {} on it runs where "
            "the pool gives back what it keeps, which takes time\n",
            format_bytes(capacity), format_bytes(need - capacity), format_bytes(least));
      }
      return fmt::format(
          "  too close to {} to tell: {} to spare for the driver's context and the "
          "prediction's error\n",
          format_bytes(capacity), format_bytes(capacity - need));
    case Fit::kDoesNotFit:
      break;
  }
  return fmt::format("  does not fit into {}: {} too much\n", format_bytes(capacity),
                     format_bytes(least - capacity));
}

const char* fit_name(Fit fit) {
  switch (fit) {
    case Fit::kFits:
      return "yes";
    case Fit::kTooCloseToTell:
      return "too close to tell";
    case Fit::kDoesNotFit:
      break;
  }
  return "no";
}

// Of each category that has a part in either peak.
std::string categories_text(const PeakByCategory& predicted, const PeakByCategory& measured) {
  using Align = TextTable::Align;
  TextTable table({{"at the peak", Align::kLeft},
                   {"predicted", Align::kRight},
                   {"measured", Align::kRight},
                   {"error", Align::kRight},
                   {"of the peak", Align::kRight}});
  uint64_t all = 0;
  for (const uint64_t bytes : measured) all += bytes;
  for (size_t i = 0; i < kCategories; ++i) {
    if (predicted[i] == 0 && measured[i] == 0) continue;
    const double off = static_cast<double>(predicted[i]) - static_cast<double>(measured[i]);
    table.add({to_string(static_cast<Category>(i)), format_bytes(predicted[i]),
               format_bytes(measured[i]),
               measured[i] == 0 ? "–" : change(measured[i], predicted[i]),
               all == 0 ? "–" : signed_percent(off / static_cast<double>(all))});
  }
  return table.text();
}

Json categories_json(const PeakByCategory& bytes) {
  Json json;
  for (size_t i = 0; i < kCategories; ++i) {
    if (bytes[i] != 0) json[to_string(static_cast<Category>(i))] = bytes[i];
  }
  return json;
}

Json categories_error_json(const PeakByCategory& predicted, const PeakByCategory& measured) {
  Json json;
  for (size_t i = 0; i < kCategories; ++i) {
    if (measured[i] == 0) continue;
    json[to_string(static_cast<Category>(i))] =
        static_cast<double>(predicted[i]) / static_cast<double>(measured[i]) - 1;
  }
  return json;
}

// Memory against time, where checkpoints were planned: only plans that need less than those before.
std::string plans_text(const Prediction& prediction) {
  std::string text;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const CheckpointPoint& point : prediction.plans) {
    if (point.peaks.reserved >= least) continue;
    least = point.peaks.reserved;
    const bool chosen = point.layers == prediction.planned_layers;
    text += fmt::format("  {} {:3} layers computed again: {:>9} reserved, step time {:.2f} x\n",
                        chosen ? '>' : ' ', point.layers, format_bytes(point.peaks.reserved),
                        point.time_ratio);
  }
  return text;
}

Json plans_json(const Prediction& prediction) {
  Json json = Json::array();
  for (const CheckpointPoint& point : prediction.plans) {
    Json one = peaks_json(point.peaks);
    one["layers"] = point.layers;
    one["time_ratio"] = point.time_ratio;
    json.push_back(one);
  }
  return json;
}

}  // namespace

std::string whatif_text(const Prediction& prediction) {
  using Align = TextTable::Align;
  TextTable table(
      {{"", Align::kLeft}, {"peak allocated", Align::kRight}, {"peak reserved", Align::kRight}});
  const auto row = [&](const char* name, const PeakBytes& peaks) {
    table.add({name, format_bytes(peaks.allocated), format_bytes(peaks.reserved)});
  };
  row("recorded", prediction.recorded);
  row("replayed", prediction.baseline);
  row("predicted", prediction.predicted);
  table.add({"change", change(prediction.baseline.allocated, prediction.predicted.allocated),
             change(prediction.baseline.reserved, prediction.predicted.reserved)});
  if (prediction.measured) {
    row("measured", *prediction.measured);
    const PredictionError error = error_of(prediction);
    table.add({"error of peak", signed_percent(error.peak_allocated),
               signed_percent(error.peak_reserved)});
    table.add({"error of change",
               error.change_allocated ? signed_percent(*error.change_allocated) : "–",
               error.change_reserved ? signed_percent(*error.change_reserved) : "–"});
  }
  std::string text = table.text();
  if (prediction.measured_at_peak) {
    text += categories_text(prediction.at_peak, *prediction.measured_at_peak);
  }
  text += plans_text(prediction);
  constexpr double kUsual = 0.1;
  const double band = prediction.changes.reserved_band;
  if (band > kUsual) {
    const auto reserved = static_cast<double>(prediction.predicted.reserved);
    text += fmt::format("  reserved between {} and {}: see below\n",
                        format_bytes(static_cast<uint64_t>(reserved * (1 - band))),
                        format_bytes(static_cast<uint64_t>(reserved * (1 + band))));
  }
  text += fmt::format("  step time {:.2f} x\n", prediction.time_ratio());
  text += fmt::format("  beside the pool: {} of libraries, and the driver's context\n",
                      format_bytes(prediction.beside_pool_bytes));
  if (prediction.capacity) text += capacity_line(prediction, *prediction.capacity);
  for (const std::string& line : prediction.changes.assumptions)
    text += "  assumed: " + line + "\n";
  for (const std::string& line : prediction.changes.unknown) text += "  unknown: " + line + "\n";
  return text;
}

std::string whatif_json(const Prediction& prediction) {
  Json json;
  json["recorded"] = peaks_json(prediction.recorded);
  json["baseline"] = peaks_json(prediction.baseline);
  json["predicted"] = peaks_json(prediction.predicted);
  json["predicted"]["extra_time_ratio"] = prediction.time_ratio();
  json["predicted"]["categories_at_peak"] = categories_json(prediction.at_peak);
  json["pool"] = {{"fits_from_bytes", safe_pool_bytes(prediction)}};
  if (prediction.least_pool_bytes) json["pool"]["least_bytes"] = *prediction.least_pool_bytes;
  if (prediction.capacity) {
    const Fit fit = fit_of(prediction, *prediction.capacity);
    json["fits"] = fit == Fit::kFits;
    json["answer"] = fit_name(fit);
  }
  json["assumptions"] = prediction.changes.assumptions;
  json["predicted"]["reserved_band"] = prediction.changes.reserved_band;
  json["unknown"] = prediction.changes.unknown;
  if (!prediction.plans.empty()) {
    json["checkpoint_plans"] = plans_json(prediction);
    json["checkpointed_layers"] = prediction.planned_layers;
  }
  if (prediction.measured) {
    const PredictionError error = error_of(prediction);
    json["measured"] = peaks_json(*prediction.measured);
    json["error"] = {{"peak", error.peak_allocated}, {"peak_reserved", error.peak_reserved}};
    if (error.change_allocated) json["error"]["change"] = *error.change_allocated;
    if (error.change_reserved) json["error"]["change_reserved"] = *error.change_reserved;
  }
  if (prediction.measured_at_peak) {
    json["measured"]["categories_at_peak"] = categories_json(*prediction.measured_at_peak);
    json["error"]["categories"] =
        categories_error_json(prediction.at_peak, *prediction.measured_at_peak);
  }
  return json.dump(1) + "\n";
}

}  // namespace tidemark::analyzer
