#include "tidemark/viewer/whatif_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "advice_list.h"
#include "tidemark/viewer/format.h"
#include "widgets.h"

namespace tidemark::viewer {
namespace {

constexpr std::array kPrecisions = {"as recorded", "bfloat16", "float16", "autocast to bfloat16",
                                    "autocast to float16"};
constexpr std::array kOptimizers = {"as recorded",        "SGD",      "SGD with momentum", "Adam",
                                    "Adam, 8-bit states", "Adafactor"};
constexpr std::array kSharding = {"as recorded", "data parallel", "ZeRO 1: optimizer",
                                  "ZeRO 2: and gradients", "ZeRO 3: and parameters"};
constexpr std::array kQuantized = {"nothing", "saved activations", "frozen weights",
                                   "optimizer states"};
constexpr std::array kOffloads = {"nothing", "activations", "optimizer states", "parameters"};
struct Allocator {
  const char* name;
  const char* spec;
};
constexpr std::array<Allocator, 6> kAllocators = {
    {{"as recorded", ""},
     {"PyTorch, default settings", "torch"},
     {"PyTorch, expandable segments", "torch:expandable_segments:True"},
     {"PyTorch, max_split_size_mb:128", "torch:max_split_size_mb:128"},
     {"cudaMallocAsync", "cuda-malloc-async"},
     {"cudaMalloc for each block", "cuda-malloc"}}};

template <size_t N>
void choose(const char* label, int* value, const std::array<const char*, N>& names) {
  ImGui::Combo(label, value, names.data(), static_cast<int>(N));
}

// `none`: what 0 is called.
void count_slider(const char* label, int least, int most, uint32_t* value,
                  const char* none = "%d") {
  int shown = static_cast<int>(*value);
  ImGui::SliderInt(label, &shown, least, most, shown == 0 ? none : "%d");
  *value = static_cast<uint32_t>(std::max(shown, least));
}

std::string batch_text(double factor) {
  return factor >= 1 ? fmt::format("{:.4g} x", factor) : fmt::format("1/{:.4g} x", 1 / factor);
}

int64_t as_bytes(uint64_t bytes) { return static_cast<int64_t>(bytes); }

}  // namespace

void WhatIfPanel::set_batch(double factor) {
  batch_log2_ = static_cast<float>(std::log2(factor));
  choice_.batch = factor;
}

void WhatIfPanel::set(const WhatIfChoice& choice) {
  choice_ = choice;
  batch_log2_ = static_cast<float>(std::log2(choice.batch));
  sequence_log2_ = static_cast<float>(std::log2(choice.sequence));
  const auto known =
      std::find_if(kAllocators.begin(), kAllocators.end(),
                   [&](const Allocator& one) { return choice.allocator == one.spec; });
  allocator_ =
      known == kAllocators.end() ? 0 : static_cast<int>(std::distance(kAllocators.begin(), known));
}

// Of the card that was chosen, else of the one that was recorded; 0: not known.
int64_t WhatIfPanel::capacity(const PanelContext& context) const {
  if (context.state.capacity_bytes > 0 || context.activity == nullptr) {
    return context.state.capacity_bytes;
  }
  return context.activity->capacity_of(
      {trace::Layer::kPool, trace::Space::kDevice, choice_.device});
}

void WhatIfPanel::draw(const PanelContext& context) {
  if (context.questions == nullptr) {
    placeholder(context, "No trace to predict from");
    return;
  }
  const float width = ImGui::GetContentRegionAvail().x;
  const float em = ImGui::GetFontSize();
  // In two columns where there is room for all three.
  const bool wide = width > em * 85;
  ImGui::BeginChild("controls",
                    {std::floor(std::min(width * 0.5F, em * (wide ? 48.0F : 25.0F))), 0});
  draw_controls(context, wide);
  ImGui::EndChild();
  ImGui::SameLine(0, em);
  begin_well(context, "outcome", {0, 0});
  ask(context);
  if (const auto answered = context.questions->forecast().latest()) shown_ = answered->answer;
  draw_outcome(context);
  const int64_t bytes = capacity(context);
  if (bytes > 0 && shown_ != nullptr) {
    const auto clicked = draw_advice(context, choice_.device, choice_.capacity);
    if (clicked) set(*clicked);
  }
  ImGui::EndChild();
}

void WhatIfPanel::ask(const PanelContext& context) {
  choice_.capacity = static_cast<uint64_t>(std::max<int64_t>(capacity(context), 0));
  context.questions->forecast().request(choice_);
}

void WhatIfPanel::preview(const PanelContext& context, const WhatIfChoice& choice) {
  set(choice);
  if (context.questions != nullptr) ask(context);
}

void WhatIfPanel::draw_controls(const PanelContext& context, bool wide) {
  const float em = ImGui::GetFontSize();
  if (wide) ImGui::Columns(2, "controls", false);
  ImGui::PushItemWidth(em * 11);  // of each column: it begins with a width of its own
  draw_sizes(context);
  draw_training();
  ImGui::PopItemWidth();
  if (wide) ImGui::NextColumn();
  ImGui::PushItemWidth(em * 11);
  draw_weights();
  draw_devices(context);
  ImGui::PopItemWidth();
  if (ImGui::Button("As recorded")) set({});
  if (wide) ImGui::Columns(1);
}

void WhatIfPanel::draw_sizes(const PanelContext& context) {
  // Powers of two and their halves: what people try.
  ImGui::SliderFloat("##batch", &batch_log2_, -4, 6, batch_text(choice_.batch).c_str());
  batch_min_ = ImGui::GetItemRectMin();
  batch_max_ = ImGui::GetItemRectMax();
  ImGui::SameLine();
  ImGui::TextUnformatted("batch");
  batch_log2_ = std::round(batch_log2_ * 4) / 4;
  choice_.batch = std::exp2(static_cast<double>(batch_log2_));
  ImGui::SliderFloat("##sequence", &sequence_log2_, -3, 4, batch_text(choice_.sequence).c_str());
  ImGui::SameLine();
  ImGui::TextUnformatted("sequence length");
  sequence_log2_ = std::round(sequence_log2_ * 4) / 4;
  choice_.sequence = std::exp2(static_cast<double>(sequence_log2_));
  count_slider("gradient accumulation", 1, 16, &choice_.accumulate);
  ImGui::Checkbox("checkpoint the layers", &choice_.checkpoint);
  if (!choice_.checkpoint) choice_.checkpoint_fit = 0;
  if (choice_.checkpoint_fit > 0) {
    ImGui::SameLine();
    text_coloured(context.colours().text_dim, "as many as it takes to fit");
  }
  if (choice_.checkpoint && choice_.checkpoint_fit == 0) {
    count_slider("every so many layers", 1, 8, &choice_.checkpoint_every);
  }
}

void WhatIfPanel::draw_training() {
  choose("precision", &choice_.precision, kPrecisions);
  choose("optimizer", &choice_.optimizer, kOptimizers);
  ImGui::Checkbox("optimizer steps within backward", &choice_.fuse_backward);
  ImGui::Checkbox("keep gradients between steps", &choice_.keep_gradients);
}

void WhatIfPanel::draw_weights() {
  choose("in 8 bits", &choice_.quantize, kQuantized);
  int pruned = static_cast<int>(std::lround(choice_.prune * 100));
  ImGui::SliderInt("of the width pruned", &pruned, 0, 90, "%d %%");
  choice_.prune = pruned / 100.0;
  count_slider("LoRA rank", 0, 64, &choice_.lora, "none");
  count_slider("low rank of weights", 0, 256, &choice_.low_rank, "none");
}

void WhatIfPanel::draw_devices(const PanelContext& context) {
  int stage = choice_.shard_stage + 1;
  choose("over several cards", &stage, kSharding);
  choice_.shard_stage = stage - 1;
  if (choice_.shard_stage >= 0) count_slider("cards", 2, 64, &choice_.shard_ranks);
  choose("in host memory", &choice_.offload, kOffloads);
  if (ImGui::BeginCombo("allocator", kAllocators.at(static_cast<size_t>(allocator_)).name)) {
    for (size_t i = 0; i < kAllocators.size(); ++i) {
      if (ImGui::Selectable(kAllocators.at(i).name, static_cast<int>(i) == allocator_)) {
        allocator_ = static_cast<int>(i);
      }
    }
    ImGui::EndCombo();
  }
  choice_.allocator = kAllocators.at(static_cast<size_t>(allocator_)).spec;
  const auto& cards = known_cards();
  const char* card = card_ < 0 ? "as recorded" : cards[static_cast<size_t>(card_)].name;
  if (ImGui::BeginCombo("card", card)) {
    if (ImGui::Selectable("as recorded", card_ < 0)) card_ = -1;
    for (size_t i = 0; i < cards.size(); ++i) {
      if (ImGui::Selectable(cards[i].name, static_cast<int>(i) == card_)) {
        card_ = static_cast<int>(i);
      }
    }
    ImGui::EndCombo();
  }
  context.state.capacity_bytes = card_ < 0 ? 0 : as_bytes(cards[static_cast<size_t>(card_)].bytes);
}

void WhatIfPanel::draw_outcome(const PanelContext& context) const {
  const Palette& colours = context.colours();
  if (shown_ == nullptr) {
    placeholder(context, "reading the schedule ...");
    return;
  }
  if (!(shown_->choice == choice_)) text_coloured(colours.text_dim, "predicting ...");
  if (!shown_->error.empty()) {
    ImGui::PushTextWrapPos(0);
    text_coloured(colours.warning, shown_->error);
    ImGui::PopTextWrapPos();
    return;
  }
  const analyzer::Prediction& prediction = shown_->prediction;
  const auto change = [](uint64_t now, uint64_t before) {
    return before == 0
               ? std::string()
               : fmt::format("{:+.1f} %",
                             (static_cast<double>(now) / static_cast<double>(before) - 1) * 100);
  };
  heading(context, "Predicted peak " + format_bytes(as_bytes(prediction.predicted.allocated)),
          change(prediction.predicted.allocated, prediction.recorded.allocated));
  fact_line(context, "allocated", format_bytes(as_bytes(prediction.predicted.allocated)),
            "recorded " + format_bytes(as_bytes(prediction.recorded.allocated)));
  fact_line(context, "reserved", format_bytes(as_bytes(prediction.predicted.reserved)),
            "recorded " + format_bytes(as_bytes(prediction.recorded.reserved)));
  fact_line(context, "card needs", format_bytes(as_bytes(prediction.needed_bytes())),
            "without the driver's context");
  fact_line(context, "time", fmt::format("{:.2f} x", prediction.time_ratio()), "of a step");
  if (shown_->choice.capacity > 0) {
    const analyzer::Fit fit = analyzer::fit_of(prediction, shown_->choice.capacity);
    const std::string of = " into " + format_bytes(as_bytes(shown_->choice.capacity));
    if (fit == analyzer::Fit::kFits) text_coloured(colours.good, "fits" + of);
    if (fit == analyzer::Fit::kTooCloseToTell) {
      text_coloured(colours.warning, "too close to tell whether it fits" + of);
    }
    if (fit == analyzer::Fit::kDoesNotFit) text_coloured(colours.bad, "does not fit" + of);
  }
  for (const std::string& unknown : prediction.changes.unknown) {
    text_coloured(colours.warning, "left out: " + unknown);
  }
  if (!prediction.changes.assumptions.empty()) heading(context, "Assumed");
  ImGui::PushTextWrapPos(0);
  for (const std::string& assumption : prediction.changes.assumptions) {
    text_coloured(colours.text_dim, assumption);
  }
  ImGui::PopTextWrapPos();
}

}  // namespace tidemark::viewer
