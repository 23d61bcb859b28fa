// The rows of a query as text: an aligned table for people, CSV (RFC 4180) and JSON for programs.
// Holds no more than the table's first rows in memory. One thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tidemark/trace/reader.h"

namespace tidemark::cli {

enum class RowFormat : uint8_t { kTable, kCsv, kJson };

class RowWriter {
 public:
  // Takes text as it comes; false stops the writer.
  using Sink = std::function<bool(std::string_view)>;

  // kTable: column widths are those of the first thousand rows; control characters become '?'.
  // kCsv: lines end in CRLF; NULL is an empty field, an empty text is "".
  // kJson: an array of objects; of columns with the same name the later ones get ":1", ":2"….
  // Blobs are written as lower-case hexadecimal digits.
  static std::unique_ptr<RowWriter> create(RowFormat format, Sink sink);
  virtual ~RowWriter() = default;

  virtual bool header(std::span<const std::string> names) = 0;
  virtual bool row(std::span<const trace::Cell> cells) = 0;
  virtual bool end() = 0;  // also when there was neither header nor row
};

}  // namespace tidemark::cli
