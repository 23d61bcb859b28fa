// What the JSON of several faces is put together from. Private to the analyzer. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tidemark/analyzer/stack_view.h"

namespace tidemark::analyzer {

// Keys in the order in which they are written here: the same report gives the same text.
using Json = nlohmann::ordered_json;

// Indented, with a newline at the end. Names in a trace need not be UTF-8: what is not is replaced.
std::string dumped(const Json& json);
Json or_null(const std::string& text);
Json stack_json(const StackView& view);

}  // namespace tidemark::analyzer
