// The faces of a Prediction. Pure: values in, text out; any thread.
#pragma once

#include <string>

#include "tidemark/analyzer/advise.h"
#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

// For a terminal of 100 columns; ends with a newline.
std::string whatif_text(const Prediction& prediction);
// The keys that design.md names are stable; others may be added. Ends with a newline.
std::string whatif_json(const Prediction& prediction);

// `batch`: the recorded one, 0: not known.
std::string advise_text(const AdviceList& list, uint32_t batch);
std::string advise_json(const AdviceList& list, uint32_t batch);

}  // namespace tidemark::analyzer
