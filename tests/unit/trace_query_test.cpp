// SQL on a trace: tidemark's own query(), stock sqlite3, and stock sqlite3 with the extension.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "trace_testing.h"

namespace tidemark::trace {
namespace {

using Rows = std::vector<std::string>;

class TraceQuery : public testing::Test {
 protected:
  void SetUp() override {
    auto writer = Writer::create(path());
    ASSERT_TRUE(writer) << writer.error().message;
    Writer& w = **writer;
    process_ = w.add_process({{}, 42, {}, "python3 train.py", 0, 900, 0, -1});
    const ThreadId thread = w.add_thread(process_, 43, "main");
    const StackId stack = w.add_framed_stack(
        process_,
        std::vector<Frame>{{FrameKind::kNative, "malloc_it", "a.cpp", 7, "/lib/a.so", true},
                           {FrameKind::kPython, "forward", "train.py", 12, "", false},
                           {FrameKind::kNative, "", "", 0, "/bin/python3", false}});
    Allocation row{{},  process_, thread, Layer::kHeap, Space::kHost, kNoDevice,          4096,
                   100, 10,       kNever, stack,        StackId{},    w.intern("malloc"), {}};
    w.add_allocation(row);
    row.layer = Layer::kPool;
    row.space = Space::kDevice;
    row.device = 0;
    row.size = 512;
    row.alloc_ns = 20;
    row.api = w.intern("c10");
    row.source = w.intern("libtorch.so");
    w.end_allocation(w.add_allocation(row), Layer::kPool, 50, stack);
    row.layer = Layer::kOs;
    row.space = Space::kHost;
    row.device = kNoDevice;
    row.alloc_ns = 30;
    w.end_allocation(w.add_allocation(row), Layer::kOs, 60, {});
    w.add_transfer({0,
                    process_,
                    0,
                    7,
                    TransferKind::kHtoD,
                    64,
                    Space::kPinned,
                    Space::kDevice,
                    0,
                    8192,
                    5,
                    9,
                    3,
                    {},
                    {},
                    AllocationId{2}});
    w.add_memset({0, process_, 0, 7, 8192, 64, 10, 12, 4, stack, AllocationId{2}});
    const std::vector<AllocationId> handed = {AllocationId{2}, AllocationId{1}};
    w.add_accesses(w.add_kernel({0, process_, 0, 7, w.intern("gemm<float>"), 20, 33, 5, 0, stack}),
                   handed);
    w.add_marker({MarkerId{}, process_, thread, w.intern("nvtx"), w.intern("step 1"), 1, kNever});
    w.add_pool_reserved({process_, 0, 11, 2 << 20});
    w.add_out_of_memory({process_, thread, 0, Layer::kPool, 70, 1 << 30, 5, 6, stack});
    w.add_device_memory({ProcessId{}, w.intern("0000:1b:00.0"), 90, 3 << 20, 80 << 20});
    w.add_device_memory({process_, w.intern("0000:1b:00.0"), 91, 2 << 20, 0});
    w.add_device_power({w.intern("0000:1b:00.0"), 92, 310'500, 5'000'000'000});
    w.add_device_power({w.intern("0000:1c:00.0"), 93, 60'000});
    w.add_driver_pool({process_, 0, 4096, 94, 32 << 20, 512});
    w.add_migration({0, process_, MigrationKind::kHtoD, kNoDevice, 0, 8192, 65536, 0, 95, 99});
    w.add_migration({0, process_, MigrationKind::kGpuFault, 0, kNoDevice, 8192, 0, 3, 96, 97});
    w.end_import(w.add_import({ImportId{}, process_, thread, 0, 12288, 1 << 20, 98, kNever, stack,
                               w.intern("cudaIpcOpenMemHandle")}),
                 120);
    w.add_import({ImportId{}, process_, thread, 0, 12288, 0, 121, kNever, {}, {}});
    w.end_window(w.add_window({WindowId{}, {}, 5, kNever}), 60);
    w.add_window({WindowId{}, process_, 70, kNever});
    w.add_process_memory({process_, 80, 4096, kNotMeasured, 2048, 1, 2, 3, 0, kNotMeasured, 7, 1});
    const Mapping mapping{process_, 80,   4096, 8192, MappingKind::kFile, w.intern("/data.bin"),
                          4096,     2048, 0,    0};
    w.add_mappings({&mapping, 1});
    const HostTotal total{
        process_, Layer::kHeap, stack, w.intern("malloc"), 10, 100, 9, 90, 8, 70, 2, 20, 1, 10};
    const HostCurvePoint point{process_, Layer::kOs, 55, 4096, 1};
    w.replace_host_totals({&total, 1}, {&point, 1});
    w.replace_host_totals({&total, 1}, {&point, 1});
    const Mapping dropped{process_, 70, 1, 2, MappingKind::kHeap, {}, 4, 5, 6, 7};
    w.add_mappings({&dropped, 1});
    w.drop_mappings(process_, 70);
    w.add_module(process_, "/lib/a.so", "ab12", 0x1000, 0x1000, 0x3000, 0, kNever);
    w.loss("ring_full", Severity::kDataLoss, 3);
    w.meta("host", "box");
    ASSERT_TRUE(w.finish());
    auto reader = Reader::open(path());
    ASSERT_TRUE(reader) << reader.error().message;
    reader_ = std::move(*reader);
  }

  std::string path() const { return folder_.file("t.db"); }
  std::string cli(const std::string& arguments) const {
    const auto output = run_command(fmt::format("{} {}", SQLITE3_CLI, arguments));
    EXPECT_EQ(output.status, 0) << output.text;
    return output.text;
  }

  TestFolder folder_;
  ProcessId process_{};
  std::unique_ptr<Reader> reader_;
};

const std::map<std::string, std::string>& device_questions() {
  static const std::map<std::string, std::string> questions = {
      {"SELECT * FROM device_allocation", "2|1|1|pool|device|0|4096|512|20|50|1|1|c10|libtorch.so"},
      {"SELECT id, process_id, device, stream, kind, bytes, src_space, dst_space, src_address, "
       "dst_address, start_ns, end_ns, correlation_id, stack_id, src_allocation_id, "
       "dst_allocation_id FROM transfer",
       "1|1|0|7|HtoD|64|pinned|device||8192|5|9|3|||2"},
      {"SELECT * FROM memset", "1|1|0|7|8192|64|10|12|4|1|2"},
      {"SELECT id, process_id, device, stream, name, start_ns, end_ns, correlation_id, graph_id, "
       "stack_id FROM kernel",
       "1|1|0|7|gemm<float>|20|33|5||1"},
      {"SELECT id, process_id, thread_id, domain, name, start_ns, end_ns FROM marker",
       "1|1|1|nvtx|step 1|1|"},
      {"SELECT id, pid, parent_id, command, start_ns, end_ns, exit, rank FROM process",
       "1|42||python3 train.py|0|900|0|"},
      {"SELECT id, process_id, tid, name FROM thread", "1|1|43|main"},
      {"SELECT group_concat(stack_id||','||depth||','||kind||','||ifnull(function,'-')||','||"
       "ifnull(file,'-')||','||ifnull(line,'-')||','||ifnull(module,'-')||','||inlined, ';') FROM "
       "(SELECT * FROM frame ORDER BY stack_id, depth)",
       "1,0,native,malloc_it,a.cpp,7,/lib/a.so,1;1,1,python,forward,train.py,12,-,0;"
       "1,2,native,-,-,-,/bin/python3,0"},
      {"SELECT name, severity, count FROM loss", "ring_full|data_loss|3"},
      {"SELECT key, value FROM meta WHERE key='host'", "host|box"},
      {"SELECT * FROM pool_reserved", "1|0|11|2097152"},
      {"SELECT layer, requested_bytes, stack_id FROM out_of_memory", "pool|1073741824|1"},
      {"SELECT process_id IS NULL, bus, time_ns, used_bytes, total_bytes FROM device_memory WHERE "
       "total_bytes IS NOT NULL",
       "1|0000:1b:00.0|90|3145728|83886080"},
      {"SELECT * FROM device_memory WHERE process_id=1", "1|0000:1b:00.0|91|2097152|"},
      {"SELECT * FROM device_power WHERE energy_mj IS NOT NULL",
       "0000:1b:00.0|92|310500|5000000000"},
      {"SELECT * FROM device_power WHERE energy_mj IS NULL", "0000:1c:00.0|93|60000|"},
      {"SELECT * FROM driver_pool", "1|0|4096|94|33554432|512"},
      {"SELECT * FROM migration WHERE id=1", "1|1|HtoD||0|8192|65536|0|95|99"},
      {"SELECT * FROM migration WHERE faults>0", "2|1|gpu_fault|0||8192|0|3|96|97"},
      {"SELECT * FROM imported_memory WHERE id=1",
       "1|1|1|0|12288|1048576|98|120|1|cudaIpcOpenMemHandle"},
      {"SELECT * FROM imported_memory WHERE close_ns IS NULL", "2|1|1|0|12288||121|||"},
      {"SELECT id, process_id IS NULL, begin_ns, end_ns FROM recording_window WHERE id=1",
       "1|1|5|60"},
      {"SELECT * FROM recording_window WHERE end_ns IS NULL", "2|1|70|"},
      {"SELECT * FROM process_memory", "1|80|4096||2048|1|2|3|0||7|1"},
      {"SELECT * FROM mapping", "1|1|80|4096|8192|file|/data.bin|4096|2048|0|0"},
      {"SELECT * FROM host_total", "1|heap|1|malloc|10|100|9|90|8|70|2|20|1|10"},
      {"SELECT * FROM host_curve", "1|os|55|4096|1"},
      {"SELECT path, build_id FROM module", "/lib/a.so|ab12"},
      {"SELECT function FROM frame WHERE stack_id=1 AND depth=1", "forward"}};
  return questions;
}

TEST_F(TraceQuery, every_table_of_the_design_answers) {
  for (const auto& [sql, answer] : device_questions()) {
    EXPECT_EQ(ask(*reader_, sql), Rows{answer}) << sql;
  }
  EXPECT_EQ(ask(*reader_, "SELECT * FROM allocation ORDER BY id"),
            (Rows{"1|1|1|heap|host||4096|100|10||1||malloc|",
                  "2|1|1|pool|device|0|4096|512|20|50|1|1|c10|libtorch.so",
                  "3|1|1|os|host||4096|512|30|60|1||c10|libtorch.so"}));
}

TEST_F(TraceQuery, accesses_are_rows) {
  EXPECT_EQ(ask(*reader_, "SELECT * FROM access"), (Rows{"1|2", "1|1"}));
  EXPECT_EQ(ask(*reader_,
                "SELECT kernel.name, api FROM access JOIN kernel ON kernel.id=kernel_id JOIN "
                "allocation ON allocation.id=allocation_id ORDER BY allocation_id"),
            (Rows{"gemm<float>|malloc", "gemm<float>|c10"}));
}

TEST_F(TraceQuery, stock_sqlite3_answers_on_device_tables) {
  ASSERT_STRNE(SQLITE3_CLI, "SQLITE3_CLI-NOTFOUND") << "install the package sqlite3";
  for (const auto& [sql, answer] : device_questions()) {
    EXPECT_EQ(cli(fmt::format("{} \"{}\"", path(), sql)), answer + "\n");
  }
}

TEST_F(TraceQuery, the_extension_gives_stock_sqlite3_the_host_rows) {
  const std::string load = fmt::format("-cmd '.load {}' {}", SQLITE_EXTENSION, path());
  EXPECT_EQ(cli(load + " 'SELECT id, layer, size, free_ns FROM allocation ORDER BY id'"),
            "1|heap|100|\n2|pool|512|50\n3|os|512|60\n");
  EXPECT_EQ(cli(load + " 'SELECT function FROM frame WHERE stack_id=1 AND depth=0'"),
            "malloc_it\n");
  EXPECT_EQ(cli(load + " 'SELECT * FROM access WHERE allocation_id=1'"), "1|1\n");
  EXPECT_EQ(cli("-readonly " + load + " 'SELECT count(*) FROM host_allocation'"), "2\n");
  const auto other = run_command(fmt::format(
      "{} -cmd '.load {}' :memory: 'SELECT * FROM allocation'", SQLITE3_CLI, SQLITE_EXTENSION));
  EXPECT_NE(other.status, 0);
  EXPECT_NE(other.text.find("no such table"), std::string::npos) << other.text;
}

TEST_F(TraceQuery, constraints_on_allocation_change_no_answer) {
  const TestFolder folder;
  auto writer = Writer::create(folder.file("r.db"));
  ASSERT_TRUE(writer);
  Recording recording(2);
  for (int i = 0; i < 6; ++i) {
    recording.add_random(**writer, 1000);
    ASSERT_TRUE((*writer)->flush());
  }
  const auto reader = Reader::open(folder.file("r.db"));
  ASSERT_TRUE(reader);
  const int64_t middle = recording.allocations[1500].alloc_ns;
  // "+x" keeps a constraint from being pushed down.
  for (const std::string& where :
       {fmt::format("alloc_ns < {}", middle), fmt::format("alloc_ns >= {}", middle),
        fmt::format("alloc_ns = {}", middle), fmt::format("free_ns > {}", middle),
        fmt::format("free_ns IS NULL"), fmt::format("layer = 'heap' AND alloc_ns > {}", middle),
        fmt::format("id = 77"), fmt::format("id BETWEEN 70 AND 1203.5"),
        fmt::format("alloc_ns < {}.5 AND layer = 'os'", middle), fmt::format("layer = 7"),
        fmt::format("id > 5 AND id < 99 AND id <> 7"), fmt::format("id = NULL")}) {
    std::string unpushed;
    for (const std::string column : {"alloc_ns", "free_ns", "layer", "id"}) {
      std::string& text = unpushed.empty() ? (unpushed = where) : unpushed;
      for (size_t at = 0; (at = text.find(column, at)) != std::string::npos;
           at += 2 + column.size()) {
        text.replace(at, column.size(), "+" + column);
      }
    }
    const auto question = [](const std::string& condition) {
      return fmt::format("SELECT count(*), sum(id), sum(size % 1000) FROM allocation WHERE {}",
                         condition);
    };
    EXPECT_EQ(ask(**reader, question(where)), ask(**reader, question(unpushed))) << where;
  }
}

TEST_F(TraceQuery, only_reading_is_allowed) {
  const std::string other = folder_.file("other.db");
  for (const std::string& sql :
       {std::string("INSERT INTO meta VALUES('a','b')"), std::string("DELETE FROM meta"),
        std::string("CREATE TABLE t(x)"), std::string("CREATE TEMP TABLE t(x)"),
        std::string("DROP TABLE meta"), std::string("UPDATE meta SET value=1"),
        fmt::format("ATTACH '{}' AS o", other), fmt::format("VACUUM INTO '{}'", other),
        std::string("PRAGMA user_version=9"), std::string("PRAGMA journal_mode=WAL"),
        std::string("PRAGMA writable_schema=1"), std::string("SELECT load_extension('x.so')"),
        std::string("BEGIN"), std::string("DETACH main"), std::string("REINDEX"),
        std::string("ANALYZE")}) {
    const Rows answer = ask(*reader_, sql);
    ASSERT_EQ(answer.size(), 1U) << sql;
    EXPECT_EQ(answer[0].rfind("error: ", 0), 0U) << sql << " -> " << answer[0];
    EXPECT_EQ(answer[0].find('\n'), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(other));
  EXPECT_EQ(ask(*reader_, "INSERT INTO meta VALUES('a','b')"),
            Rows{"error: only reading is allowed: ask with SELECT"});
}

TEST_F(TraceQuery, wrong_sql_gets_one_clear_line) {
  EXPECT_EQ(ask(*reader_, "SELECT * FROM nowhere"), Rows{"error: SQL: no such table: nowhere"});
  EXPECT_EQ(ask(*reader_, "SELEC"), Rows{"error: SQL: near \"SELEC\": syntax error"});
  EXPECT_EQ(ask(*reader_, "  -- only this"), Rows{"error: SQL: nothing to run"});
  EXPECT_EQ(ask(*reader_, "SELECT 1; SELECT 2"), Rows{"error: SQL: one statement at a time"});
  EXPECT_EQ(ask(*reader_, "SELECT 1; -- done"), Rows{"1"});
}

TEST_F(TraceQuery, cells_have_types_and_a_row_can_stop_the_query) {
  std::vector<std::string> names;
  size_t rows = 0;
  const auto result = reader_->query(
      "SELECT 1 AS a, 2.5 AS b, 'x' AS c, x'0041' AS d, NULL AS e FROM allocation",
      [&](std::span<const std::string> header) { names.assign(header.begin(), header.end()); },
      [&](std::span<const Cell> cells) {
        ++rows;
        EXPECT_EQ(cells[0].type, Cell::Type::kInteger);
        EXPECT_EQ(cells[1].type, Cell::Type::kReal);
        EXPECT_EQ(cells[1].text, "2.5");
        EXPECT_EQ(cells[2].type, Cell::Type::kText);
        EXPECT_EQ(cells[3].type, Cell::Type::kBlob);
        EXPECT_EQ(cells[3].text, std::string("\0A", 2));
        EXPECT_EQ(cells[4].type, Cell::Type::kNull);
        // Other questions may be asked meanwhile.
        EXPECT_EQ(reader_->frames(StackId{1}).size(), 3U);
        EXPECT_EQ(all_allocations(*reader_).size(), 3U);
        return false;
      });
  EXPECT_TRUE(result);
  EXPECT_EQ(names, (Rows{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(rows, 1U);
}

TEST_F(TraceQuery, a_query_may_read_the_columns_of_a_table) {
  EXPECT_EQ(ask(*reader_, "SELECT count(*) FROM pragma_table_info('allocation')"), Rows{"14"});
}

}  // namespace
}  // namespace tidemark::trace
