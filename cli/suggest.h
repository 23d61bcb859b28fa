// "Did you mean …": the name nearest to a mistyped one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemark::cli {

// "" when none is near enough: more than a third of its letters would change.
std::string nearest(std::string_view typed, const std::vector<std::string>& names);

}  // namespace tidemark::cli
