// Text for terminals. A trace is untrusted: names in it may hold escape sequences, so all that goes
// to a terminal passes printable(). Pure; any thread. Text is UTF-8; a column is a code point.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemark::analyzer {

// Control characters, direction marks and bytes that are no UTF-8 become '?', white space ' '.
std::string printable(std::string_view text);
size_t columns(std::string_view text);
// At most `width` columns, with "…" where something was cut: at the end, or in front (for paths).
std::string fit(std::string_view text, size_t width);
std::string fit_path(std::string_view path, size_t width);
// Filled with spaces to `width` columns.
std::string pad_right(std::string_view text, size_t width);
std::string pad_left(std::string_view text, size_t width);

// A function's name without its parameters and, where it is longer than `width`, without template
// arguments: "std::vector<…>::resize".
std::string short_function(std::string_view function, size_t width);

// Rows of cells in aligned columns, two spaces apart, indented by two.
class TextTable {
 public:
  enum class Align : uint8_t { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add_column(Column column) { columns_.push_back(std::move(column)); }  // before the first row
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Lines end with a newline and without trailing spaces.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tidemark::analyzer
