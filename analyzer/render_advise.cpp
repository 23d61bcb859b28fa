#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tidemark/analyzer/render_whatif.h"
#include "tidemark/analyzer/units.h"

namespace tidemark::analyzer {
namespace {

using Json = nlohmann::ordered_json;

std::string batch_text(double factor, uint32_t recorded) {
  if (factor == 0) return "none: not even a tenth of the recorded one";
  if (recorded == 0) return fmt::format("{:.2f} x the recorded one", factor);
  return fmt::format("{:.0f} ({:.2f} x the recorded {})", std::floor(factor * recorded), factor,
                     recorded);
}

std::string need_text(const Prediction& prediction) {
  return fmt::format("{} in the pool and {} beside it", format_bytes(prediction.predicted.reserved),
                     format_bytes(prediction.beside_pool_bytes));
}

void add_choice(const Advice& choice, std::string& text) {
  text += fmt::format("step time {:.2f} x, {}\n", choice.prediction.time_ratio(),
                      need_text(choice.prediction));
  for (const std::string& change : choice.changes) text += "      " + change + "\n";
  for (const std::string& line : choice.prediction.changes.unknown) {
    text += "      unknown: " + line + "\n";
  }
}

Json choice_json(const Advice& choice) {
  Json json;
  json["changes"] = choice.changes;
  json["peak_allocated_bytes"] = choice.prediction.predicted.allocated;
  json["peak_reserved_bytes"] = choice.prediction.predicted.reserved;
  json["time_ratio"] = choice.prediction.time_ratio();
  json["assumptions"] = choice.prediction.changes.assumptions;
  json["unknown"] = choice.prediction.changes.unknown;
  return json;
}

}  // namespace

std::string advise_text(const AdviceList& list, uint32_t batch) {
  const Prediction& untouched = list.untouched;
  std::string text = fmt::format("As recorded: {}. ", need_text(untouched));
  switch (list.fits_untouched) {
    case Fit::kFits:
      text += fmt::format("That fits into {}.\n", format_bytes(list.capacity));
      break;
    case Fit::kTooCloseToTell:
      text += fmt::format("That is too close to {} to tell.\n", format_bytes(list.capacity));
      break;
    case Fit::kDoesNotFit:
      text += fmt::format("That does not fit into {}.\n", format_bytes(list.capacity));
      break;
  }
  text += "Largest batch as it is: " + batch_text(list.largest_batch, batch) + "\n";
  if (list.fits_untouched == Fit::kFits) return text;
  if (list.choices.empty()) {
    text += "Nothing that was tried fits, alone, in pairs or in threes.\n";
    if (list.least) {
      text += "What needs least: ";
      add_choice(*list.least, text);
    }
    return text;
  }
  text += "What fits, with room for the prediction's error and the driver's context:\n";
  for (size_t i = 0; i < list.choices.size(); ++i) {
    text += fmt::format("  {}. ", i + 1);
    add_choice(list.choices[i], text);
  }
  text +=
      "Largest batch with choice 1: " + batch_text(list.largest_batch_with_choice, batch) + "\n";
  return text;
}

std::string advise_json(const AdviceList& list, uint32_t batch) {
  Json json;
  json["capacity_bytes"] = list.capacity;
  json["recorded"] = {{"peak_allocated_bytes", list.untouched.recorded.allocated},
                      {"peak_reserved_bytes", list.untouched.recorded.reserved}};
  json["fits"] = list.fits_untouched == Fit::kFits;
  json["largest_batch_factor"] = list.largest_batch;
  if (batch != 0) json["largest_batch"] = std::floor(list.largest_batch * batch);
  json["choices"] = Json::array();
  for (const Advice& choice : list.choices) json["choices"].push_back(choice_json(choice));
  if (!list.choices.empty()) {
    json["largest_batch_factor_with_choice"] = list.largest_batch_with_choice;
  }
  if (list.least) json["least"] = choice_json(*list.least);
  return json.dump(1) + "\n";
}

}  // namespace tidemark::analyzer
