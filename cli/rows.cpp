#include "rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "tidemark/analyzer/text.h"

namespace tidemark::cli {
namespace {

using trace::Cell;

std::string hexadecimal(std::string_view bytes) {
  std::string result;
  result.reserve(2 * bytes.size());
  for (const char c : bytes) result += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return result;
}

std::string cell_text(const Cell& cell) {
  return cell.type == Cell::Type::kBlob ? hexadecimal(cell.text) : cell.text;
}

class TableWriter final : public RowWriter {
 public:
  explicit TableWriter(Sink sink) : sink_(std::move(sink)) {}

  bool header(std::span<const std::string> names) override {
    for (const std::string& name : names) {
      names_.push_back(analyzer::printable(name));
      widths_.push_back(analyzer::columns(names_.back()));
    }
    right_.assign(names.size(), true);
    return true;
  }

  bool row(std::span<const Cell> cells) override {
    std::vector<std::string> texts;
    for (const Cell& cell : cells) texts.push_back(analyzer::printable(cell_text(cell)));
    if (laid_out_) return write_line(texts);
    for (size_t i = 0; i < cells.size() && i < widths_.size(); ++i) {
      widths_[i] = std::max(widths_[i], analyzer::columns(texts[i]));
      const Cell::Type type = cells[i].type;
      if (type == Cell::Type::kText || type == Cell::Type::kBlob) right_[i] = false;
    }
    waiting_.push_back(std::move(texts));
    constexpr size_t measured_rows = 1000;
    return waiting_.size() < measured_rows || lay_out();
  }

  bool end() override { return laid_out_ || lay_out(); }

 private:
  bool lay_out() {
    laid_out_ = true;
    if (names_.empty()) return true;
    std::vector<std::string> rules;
    for (const size_t width : widths_) rules.emplace_back(width, '-');
    if (!write_line(names_) || !write_line(rules)) return false;
    for (const auto& texts : waiting_) {
      if (!write_line(texts)) return false;
    }
    waiting_.clear();
    return true;
  }

  bool write_line(const std::vector<std::string>& texts) {
    std::string line;
    for (size_t i = 0; i < texts.size() && i < widths_.size(); ++i) {
      if (i > 0) line += "  ";
      line += right_[i] ? analyzer::pad_left(texts[i], widths_[i])
                        : analyzer::pad_right(texts[i], widths_[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return sink_(line + '\n');
  }

  Sink sink_;
  std::vector<std::string> names_;
  std::vector<size_t> widths_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> waiting_;
  bool laid_out_ = false;
};

class CsvWriter final : public RowWriter {
 public:
  explicit CsvWriter(Sink sink) : sink_(std::move(sink)) {}

  bool header(std::span<const std::string> names) override {
    std::string line;
    for (size_t i = 0; i < names.size(); ++i) {
      if (i > 0) line += ',';
      line += quoted(names[i]);
    }
    return sink_(line + "\r\n");
  }

  bool row(std::span<const Cell> cells) override {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) line += ',';
      if (cells[i].type != Cell::Type::kNull) line += quoted(cell_text(cells[i]));
    }
    return sink_(line + "\r\n");
  }

  bool end() override { return true; }

 private:
  static std::string quoted(const std::string& text) {
    if (!text.empty() && text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string result = "\"";
    for (const char c : text) {
      if (c == '"') result += '"';
      result += c;
    }
    return result + '"';
  }

  Sink sink_;
};

class JsonWriter final : public RowWriter {
 public:
  explicit JsonWriter(Sink sink) : sink_(std::move(sink)) {}

  bool header(std::span<const std::string> names) override {
    std::set<std::string> used;
    for (const std::string& name : names) {
      std::string key = name;
      for (int i = 1; !used.insert(key).second; ++i) key = fmt::format("{}:{}", name, i);
      keys_.push_back(json_text(key));
    }
    return true;
  }

  bool row(std::span<const Cell> cells) override {
    std::string line = rows_++ == 0 ? "[\n {" : ",\n {";
    for (size_t i = 0; i < cells.size() && i < keys_.size(); ++i) {
      if (i > 0) line += ", ";
      line += keys_[i] + ": " + value(cells[i]);
    }
    return sink_(line + '}');
  }

  bool end() override { return sink_(rows_ == 0 ? "[]\n" : "\n]\n"); }

 private:
  static std::string json_text(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  static std::string value(const Cell& cell) {
    switch (cell.type) {
      case Cell::Type::kNull:
        return "null";
      case Cell::Type::kInteger:
        return cell.text;
      case Cell::Type::kReal:
        // Inf and NaN are no JSON numbers.
        return nlohmann::json::accept(cell.text) ? cell.text : json_text(cell.text);
      case Cell::Type::kText:
        return json_text(cell.text);
      case Cell::Type::kBlob:
        return json_text(hexadecimal(cell.text));
    }
    return "null";
  }

  Sink sink_;
  std::vector<std::string> keys_;
  size_t rows_ = 0;
};

}  // namespace

std::unique_ptr<RowWriter> RowWriter::create(RowFormat format, Sink sink) {
  switch (format) {
    case RowFormat::kTable:
      return std::make_unique<TableWriter>(std::move(sink));
    case RowFormat::kCsv:
      return std::make_unique<CsvWriter>(std::move(sink));
    case RowFormat::kJson:
      return std::make_unique<JsonWriter>(std::move(sink));
  }
  return nullptr;
}

}  // namespace tidemark::cli
