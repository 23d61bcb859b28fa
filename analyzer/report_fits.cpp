// Which cards hold what was recorded.
#include "report_parts.h"

namespace tidemark::analyzer {

void add_fits(Report& report) {
  constexpr uint64_t cards[] = {12, 16, 24, 40, 48, 80, 141, 192};
  constexpr uint64_t percent_usable = 99;  // a card keeps some for itself
  for (const SeriesReport& line : report.series) {
    const bool of_card = line.series.layer == trace::Layer::kDriver &&
                         line.series.space == trace::Space::kDevice && line.peak_bytes > 0;
    if (!of_card) continue;
    FitLine fit;
    fit.device = line.series.device;
    fit.allocated_bytes = static_cast<uint64_t>(line.peak_bytes);
    for (const DeviceMemoryLine& known : report.device_memory) {
      // Where processes are not told apart, others would be counted too.
      if (known.device == fit.device && known.recorded_bytes) {
        fit.beside_bytes = known.unexplained_bytes();
      }
    }
    for (const uint64_t card : cards) {
      fit.sizes.push_back({card, (card << 30) / 100 * percent_usable});
    }
    report.fits.push_back(std::move(fit));
  }
}

}  // namespace tidemark::analyzer
