#include "tidemark/viewer/palette.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tidemark::viewer {
namespace {

constexpr Colour rgb(uint32_t hex) {
  return {static_cast<uint8_t>(hex >> 16), static_cast<uint8_t>(hex >> 8),
          static_cast<uint8_t>(hex), 255};
}

constexpr Palette kDark = {.background = rgb(0x12151B),
                           .panel = rgb(0x181C24),
                           .plot = rgb(0x161A21),
                           .plot_selected = rgb(0x1C222C),
                           .border = rgb(0x2A303B),
                           .grid = rgb(0x262C36),
                           .text = rgb(0xE3E7ED),
                           .text_dim = rgb(0x8F99A8),
                           .accent = rgb(0x6CB6FF),
                           .cursor = rgb(0xF4F6F8),
                           .compared = rgb(0xFF6FB5),
                           .good = rgb(0x4CC38A),
                           .warning = rgb(0xE8A33D),
                           .bad = rgb(0xF0705A)};

constexpr Palette kLight = {.background = rgb(0xECEEF2),
                            .panel = rgb(0xFFFFFF),
                            .plot = rgb(0xFCFCFD),
                            .plot_selected = rgb(0xF1F6FC),
                            .border = rgb(0xD5DAE1),
                            .grid = rgb(0xE6E9EE),
                            .text = rgb(0x1B2027),
                            .text_dim = rgb(0x626C7A),
                            .accent = rgb(0x0B66C3),
                            .cursor = rgb(0x20262E),
                            .compared = rgb(0xC2186B),
                            .good = rgb(0x13794B),
                            .warning = rgb(0x9A5B00),
                            .bad = rgb(0xC0341D)};

// Okabe–Ito hues, each darkened or lightened until it stands out from the background.
enum Hue : uint8_t { kBlue, kOrange, kGreen, kYellow, kVermillion, kPurple, kGrey };
constexpr std::array<Colour, 7> kOnDark = {rgb(0x56B4E9), rgb(0xE69F00), rgb(0x2BB68A),
                                           rgb(0xE8DA5A), rgb(0xE8743B), rgb(0xD48ABB),
                                           rgb(0x9AA5B4)};
constexpr std::array<Colour, 7> kOnLight = {rgb(0x0072B2), rgb(0xB87700), rgb(0x00875F),
                                            rgb(0x8C7A00), rgb(0xC25100), rgb(0xB0568E),
                                            rgb(0x66707E)};

Hue hue(const analyzer::Series& series) {
  if (series.layer == trace::Layer::kPool) return kBlue;
  switch (series.space) {
    case trace::Space::kHost:
      return series.layer == trace::Layer::kHeap ? kGreen : kYellow;
    case trace::Space::kPinned:
      return kPurple;
    case trace::Space::kManaged:
      return kVermillion;
    case trace::Space::kDevice:
      return kOrange;
  }
  return kGrey;
}

double linear(uint8_t channel) {
  const double value = channel / 255.0;
  return value <= 0.03928 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

double luminance(Colour c) {
  return 0.2126 * linear(c.red) + 0.7152 * linear(c.green) + 0.0722 * linear(c.blue);
}

uint8_t mix(uint8_t a, uint8_t b, double share) {
  return static_cast<uint8_t>(std::lround(a + (b - a) * share));
}

}  // namespace

const Palette& palette(Theme theme) { return theme == Theme::kDark ? kDark : kLight; }

Colour series_colour(const analyzer::Series& series, Theme theme) {
  const Colour base = theme == Theme::kDark ? kOnDark.at(hue(series)) : kOnLight.at(hue(series));
  // Further devices: the same hue, paler step by step.
  const double pale = 0.14 * std::clamp<int>(series.device, 0, 3);
  return mix(base, theme == Theme::kDark ? rgb(0xFFFFFF) : rgb(0x000000), pale);
}

Colour category_colour(analyzer::Category category, Theme theme) {
  using analyzer::Category;
  const auto& hues = theme == Theme::kDark ? kOnDark : kOnLight;
  const Colour far = theme == Theme::kDark ? rgb(0xFFFFFF) : rgb(0x000000);
  switch (category) {
    case Category::kParameter:
      return hues.at(kBlue);
    case Category::kGradient:
      return hues.at(kVermillion);
    case Category::kOptimizerState:
      return hues.at(kPurple);
    case Category::kActivation:
      return hues.at(kGreen);
    case Category::kInput:
      return mix(hues.at(kYellow), far, 0.35);
    case Category::kTemporary:
      return hues.at(kYellow);
    case Category::kWorkspace:
      return hues.at(kOrange);
    case Category::kCommunication:
      return mix(hues.at(kBlue), far, 0.45);
    case Category::kFramework:
      return mix(hues.at(kGrey), far, 0.25);
    case Category::kUnknown:
      break;
  }
  return hues.at(kGrey);
}

Colour slice_colour(SliceKind kind, Theme theme) {
  const auto& hues = theme == Theme::kDark ? kOnDark : kOnLight;
  switch (kind) {
    case SliceKind::kKernel:
      return hues.at(kBlue);
    case SliceKind::kCopyToDevice:
      return hues.at(kGreen);
    case SliceKind::kCopyToHost:
      return hues.at(kVermillion);
    case SliceKind::kCopyOther:
      return hues.at(kYellow);
    case SliceKind::kSet:
      return hues.at(kPurple);
    case SliceKind::kRange:
      return hues.at(kOrange);
    case SliceKind::kIteration:
    case SliceKind::kPhase:
      break;
  }
  return hues.at(kGrey);
}

Colour phase_colour(analyzer::Phase phase, Theme theme) {
  const auto& hues = theme == Theme::kDark ? kOnDark : kOnLight;
  switch (phase) {
    case analyzer::Phase::kForward:
      return hues.at(kGreen);
    case analyzer::Phase::kBackward:
      return hues.at(kVermillion);
    case analyzer::Phase::kOptimizer:
      return hues.at(kPurple);
    case analyzer::Phase::kSetup:
    case analyzer::Phase::kOther:
      break;
  }
  return hues.at(kGrey);
}

Colour layer_colour(size_t index, bool rest, Theme theme) {
  const auto& hues = theme == Theme::kDark ? kOnDark : kOnLight;
  const Colour far = theme == Theme::kDark ? rgb(0xFFFFFF) : rgb(0x000000);
  constexpr size_t kHues = kOnDark.size() - 1;  // grey is for the rest
  if (rest) return mix(hues.at(kGrey), far, index % 2 == 0 ? 0.25 : 0.0);
  return mix(hues.at(index % kHues), far, 0.28 * static_cast<double>(index / kHues % 3));
}

Colour name_colour(std::string_view name, Theme theme) {
  uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  const auto& hues = theme == Theme::kDark ? kOnDark : kOnLight;
  return hues.at((hash >> 8) % (hues.size() - 1));  // not grey: that is for what is not known
}

Colour severity_colour(trace::Severity severity, Theme theme) {
  const Palette& colours = palette(theme);
  switch (severity) {
    case trace::Severity::kInfo:
      return colours.text_dim;
    case trace::Severity::kDataLoss:
      return colours.warning;
    case trace::Severity::kError:
      return colours.bad;
  }
  return colours.bad;
}

Colour with_alpha(Colour colour, double alpha) {
  colour.alpha = static_cast<uint8_t>(std::lround(255.0 * std::clamp(alpha, 0.0, 1.0)));
  return colour;
}

Colour mix(Colour a, Colour b, double share) {
  return {mix(a.red, b.red, share), mix(a.green, b.green, share), mix(a.blue, b.blue, share),
          mix(a.alpha, b.alpha, share)};
}

Colour readable_on(Colour ground, Colour one, Colour other) {
  return contrast(ground, one) >= contrast(ground, other) ? one : other;
}

double contrast(Colour a, Colour b) {
  const double high = std::max(luminance(a), luminance(b));
  const double low = std::min(luminance(a), luminance(b));
  return (high + 0.05) / (low + 0.05);
}

}  // namespace tidemark::viewer
