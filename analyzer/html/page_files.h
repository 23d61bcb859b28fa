// The files of the page, embedded when the program is built (embed.cmake). Private to the analyzer.
#pragma once

#include <string_view>

namespace tidemark::analyzer {

extern const std::string_view
    kPageHtml;  // with {{title}}, {{style}}, {{script}}, {{report}}, {{detail}}
extern const std::string_view kPageStyle;   // page.css
extern const std::string_view kPageScript;  // all scripts, one after the other

}  // namespace tidemark::analyzer
