#include "json_parts.h"

namespace tidemark::analyzer {

std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json stack_json(const StackView& view) {
  Json list = Json::array();
  for (const StackLine& line : view.lines) {
    const trace::Frame& frame = line.frame;
    list.push_back({{"kind", trace::to_string(frame.kind)},
                    {"function", or_null(frame.function)},
                    {"file", or_null(frame.file)},
                    {"line", frame.line > 0 ? Json(frame.line) : Json()},
                    {"module", or_null(frame.module)},
                    {"inlined", frame.inlined},
                    {"user", line.role == FrameRole::kUser}});
  }
  return list;
}

}  // namespace tidemark::analyzer
