#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rows.h"
#include "suggest.h"

namespace tidemark::cli {
namespace {

using trace::Cell;
using Type = trace::Cell::Type;

struct Row {
  std::vector<Cell> cells;
};

std::string written(RowFormat format, const std::vector<std::string>& names,
                    const std::vector<Row>& rows) {
  std::string text;
  const auto writer = RowWriter::create(format, [&](std::string_view part) {
    text += part;
    return true;
  });
  if (!names.empty()) writer->header(names);
  for (const Row& row : rows) writer->row(row.cells);
  writer->end();
  return text;
}

const std::vector<std::string> kNames = {"n", "name"};
const std::vector<Row> kRows = {{{{Type::kInteger, "5"}, {Type::kText, "größe"}}},
                                {{{Type::kReal, "10.5"}, {Type::kNull, ""}}},
                                {{{Type::kInteger, "-7"}, {Type::kText, "a\x1b[1m"}}}};

TEST(Rows, tables_align_numbers_right_and_text_left) {
  EXPECT_EQ(written(RowFormat::kTable, kNames, kRows),
            "   n  name\n"
            "----  -----\n"
            "   5  größe\n"
            "10.5\n"
            "  -7  a?[1m\n");
}

TEST(Rows, a_table_streams_after_its_first_thousand_rows) {
  std::vector<Row> rows(1500, Row{{{Type::kText, "x"}}});
  rows[1400].cells[0].text = "wider than the column";
  const std::string text = written(RowFormat::kTable, {"c"}, rows);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1502);
  EXPECT_NE(text.find("\nwider than the column\n"), std::string::npos);
}

TEST(Rows, no_rows_still_show_the_header) {
  EXPECT_EQ(written(RowFormat::kTable, {"a", "b"}, {}), "a  b\n-  -\n");
  EXPECT_EQ(written(RowFormat::kTable, {}, {}), "");
  EXPECT_EQ(written(RowFormat::kCsv, {"a", "b"}, {}), "a,b\r\n");
  EXPECT_EQ(written(RowFormat::kJson, {"a", "b"}, {}), "[]\n");
}

TEST(Rows, csv_quotes_as_rfc_4180_says_and_tells_null_from_empty) {
  EXPECT_EQ(written(RowFormat::kCsv, {"a,b", "c"},
                    {{{{Type::kText, "say \"hi\""}, {Type::kText, "two\nlines"}}},
                     {{{Type::kText, ""}, {Type::kNull, ""}}}}),
            "\"a,b\",c\r\n\"say \"\"hi\"\"\",\"two\nlines\"\r\n\"\",\r\n");
}

TEST(Rows, json_is_an_array_of_objects_with_unlike_keys) {
  const std::string text = written(RowFormat::kJson, {"x", "x", "y", "z", "w"},
                                   {{{{Type::kInteger, "9223372036854775807"},
                                      {Type::kText, "q\"\xff"},
                                      {Type::kBlob, std::string("\x00\xab", 2)},
                                      {Type::kReal, "Inf"},
                                      {Type::kNull, ""}}}});
  const auto json = nlohmann::json::parse(text);
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["x"].get<int64_t>(), INT64_MAX);
  EXPECT_EQ(json[0]["x:1"], "q\"\xef\xbf\xbd");
  EXPECT_EQ(json[0]["y"], "00ab");
  EXPECT_EQ(json[0]["z"], "Inf");
  EXPECT_TRUE(json[0]["w"].is_null());
}

TEST(Rows, a_sink_that_has_gone_stops_the_writer) {
  for (const RowFormat format : {RowFormat::kTable, RowFormat::kCsv, RowFormat::kJson}) {
    const auto writer = RowWriter::create(format, [](std::string_view) { return false; });
    writer->header(kNames);
    bool writing = true;
    for (int i = 0; i < 2000 && writing; ++i) writing = writer->row(kRows[0].cells);
    EXPECT_FALSE(writing);
  }
}

TEST(Suggest, finds_slips_and_only_slips) {
  const std::vector<std::string> names = {"info", "report", "sql", "view"};
  EXPECT_EQ(nearest("inof", names), "info");
  EXPECT_EQ(nearest("reprot", names), "report");
  EXPECT_EQ(nearest("sq", names), "sql");
  EXPECT_EQ(nearest("banana", names), "");
  EXPECT_EQ(nearest(std::string(5000, 'x'), names), "");
  EXPECT_EQ(nearest("", names), "");
}

}  // namespace
}  // namespace tidemark::cli
