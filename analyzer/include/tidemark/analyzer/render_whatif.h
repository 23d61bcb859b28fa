// The faces of a Prediction. Pure: values in, text out; any thread.
#pragma once

#include <string>

#include "tidemark/analyzer/whatif.h"

namespace tidemark::analyzer {

// For a terminal of 100 columns; ends with a newline.
std::string whatif_text(const Prediction& prediction);
// The keys that design.md names are stable; others may be added. Ends with a newline.
std::string whatif_json(const Prediction& prediction);

}  // namespace tidemark::analyzer
