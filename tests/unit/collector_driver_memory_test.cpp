// What the driver tells beside allocations: its pools, managed pages, other processes' memory.
#include "check_record.h"
#include "collector_rings.h"

namespace tidemark::collector::fakes {
namespace {

using DriverMemoryTest = Rings;

wire::DriverPool pool(uint64_t time_ns, uint64_t address, uint64_t held, uint64_t used) {
  auto record = make<wire::DriverPool>(wire::RecordType::kDriverPool, time_ns);
  record.pool = address;
  record.held = held;
  record.used = used;
  record.device = 1;
  return record;
}

TEST_F(DriverMemoryTest, a_pool_is_a_row_each_time_it_changed) {
  auto& a = started();
  a.fake.publish(pool(10, 0x10, 4096, 100));
  a.fake.publish(pool(20, 0x10, 4096, 100));
  a.fake.publish(pool(30, 0x20, 4096, 100));
  a.fake.publish(pool(40, 0x10, 4096, 0));
  drain(100);
  ASSERT_EQ(writer.driver_pools.size(), 3U);
  const trace::DriverPool& first = writer.driver_pools[0];
  EXPECT_EQ(first.time_ns, 10);
  EXPECT_EQ(first.device, 1);
  EXPECT_EQ(first.pool, 0x10U);
  EXPECT_EQ(first.held_bytes, 4096U);
  EXPECT_EQ(first.used_bytes, 100U);
  EXPECT_NE(first.process, trace::ProcessId{});
  EXPECT_EQ(writer.driver_pools[1].pool, 0x20U);
  EXPECT_EQ(writer.driver_pools[2].used_bytes, 0U);
}

TEST_F(DriverMemoryTest, a_migration_keeps_every_field) {
  auto& a = started();
  auto record = make<wire::Migration>(wire::RecordType::kMigration, 10);
  record.end_ns = 30;
  record.address = 0x7000;
  record.bytes = 65536;
  record.faults = 3;
  record.src_device = -1;
  record.dst_device = 2;
  record.kind = wire::MigrationKind::kRemoteMap;
  a.fake.publish(record);
  drain(100);
  ASSERT_EQ(writer.migrations.size(), 1U);
  const trace::Migration& row = writer.migrations[0];
  EXPECT_EQ(row.kind, trace::MigrationKind::kRemoteMap);
  EXPECT_EQ(row.start_ns, 10);
  EXPECT_EQ(row.end_ns, 30);
  EXPECT_EQ(row.address, 0x7000U);
  EXPECT_EQ(row.bytes, 65536U);
  EXPECT_EQ(row.faults, 3U);
  EXPECT_EQ(row.src_device, trace::kNoDevice);
  EXPECT_EQ(row.dst_device, 2);
  EXPECT_EQ(pairing.counts().migrations, 1U);
}

TEST_F(DriverMemoryTest, every_kind_of_migration_is_the_same_in_the_trace) {
  using From = wire::MigrationKind;
  using To = trace::MigrationKind;
  const std::vector<std::pair<From, To>> kinds = {{From::kHtoD, To::kHtoD},
                                                  {From::kDtoH, To::kDtoH},
                                                  {From::kDtoD, To::kDtoD},
                                                  {From::kCpuFault, To::kCpuFault},
                                                  {From::kGpuFault, To::kGpuFault},
                                                  {From::kThrashing, To::kThrashing},
                                                  {From::kThrottling, To::kThrottling},
                                                  {From::kRemoteMap, To::kRemoteMap}};
  auto& a = started();
  for (const auto& [from, to] : kinds) {
    auto record = make<wire::Migration>(wire::RecordType::kMigration, 10);
    record.end_ns = 10;
    record.kind = from;
    a.fake.publish(record);
  }
  drain(100);
  ASSERT_EQ(writer.migrations.size(), kinds.size());
  for (size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ(writer.migrations[i].kind, kinds[i].second);
}

wire::Import import(uint64_t time_ns, uint64_t address, wire::StackId stack = 0) {
  auto record =
      make<wire::Import>(wire::RecordType::kImport, time_ns, wire::Api::kCudaIpcOpenMemHandle);
  record.address = address;
  record.size = 100;
  record.stack = stack;
  record.device = 1;
  return record;
}
wire::ImportEnd import_end(uint64_t time_ns, uint64_t address) {
  auto record = make<wire::ImportEnd>(wire::RecordType::kImportEnd, time_ns,
                                      wire::Api::kCudaIpcCloseMemHandle);
  record.address = address;
  return record;
}

TEST_F(DriverMemoryTest, imported_memory_is_no_allocation) {
  auto& a = started();
  a.fake.publish(stack_record(7, {0x10}));
  a.fake.publish(import(10, 0x7000, 7));
  a.fake.publish(import_end(20, 0x7000));
  drain(100);
  EXPECT_TRUE(writer.rows.empty());
  ASSERT_EQ(writer.imports.size(), 1U);
  const trace::ImportedMemory& row = writer.imports[0];
  EXPECT_EQ(row.open_ns, 10);
  EXPECT_EQ(row.close_ns, 20);
  EXPECT_EQ(row.address, 0x7000U);
  EXPECT_EQ(row.size, 100U);
  EXPECT_EQ(row.device, 1);
  EXPECT_NE(row.stack, trace::StackId{});
  EXPECT_EQ(writer.text(row.api), "cudaIpcOpenMemHandle");
  EXPECT_EQ(pairing.counts().imports, 1U);
}

TEST_F(DriverMemoryTest, what_is_opened_twice_is_closed_twice) {
  auto& a = started();
  a.fake.publish(import(10, 0x7000));
  a.fake.publish(import(20, 0x7000));
  a.fake.publish(import_end(30, 0x7000));
  a.fake.publish(import_end(40, 0x9000));  // opened before the recording
  drain(100);
  ASSERT_EQ(writer.imports.size(), 2U);
  EXPECT_EQ(writer.imports[0].close_ns, 30);
  EXPECT_EQ(writer.imports[1].close_ns, trace::kNever);
  a.fake.publish(import_end(110, 0x7000));
  a.fake.publish(import_end(120, 0x7000));
  drain(200);
  EXPECT_EQ(writer.imports[1].close_ns, 110);
  EXPECT_EQ(writer.misuse, 0);
}

// A close is told after it succeeded: the driver may have given its address to another by then.
TEST_F(DriverMemoryTest, a_close_that_is_told_late_closes_the_older) {
  auto& a = started();
  auto& b = thread(1, 10, 11);
  a.fake.publish(import(10, 0x7000));
  b.fake.publish(import(19, 0x7000));
  a.fake.publish(import_end(20, 0x7000));
  drain(100);
  ASSERT_EQ(writer.imports.size(), 2U);
  EXPECT_EQ(writer.imports[0].close_ns, 20);
  EXPECT_EQ(writer.imports[1].close_ns, trace::kNever);
}

TEST_F(DriverMemoryTest, another_process_closes_its_own) {
  auto& a = started();
  auto& b = started(2, 20);
  a.fake.publish(import(10, 0x7000));
  b.fake.publish(import(10, 0x7000));
  b.fake.publish(import_end(20, 0x7000));
  drain(100);
  ASSERT_EQ(writer.imports.size(), 2U);
  for (const trace::ImportedMemory& row : writer.imports) {
    EXPECT_EQ(row.close_ns, row.process == b.producer->process->id ? 20 : trace::kNever);
  }
}

template <class Record>
Check checked(const Record& record) {
  return check_record(reinterpret_cast<const std::byte*>(&record), sizeof record);
}

TEST_F(DriverMemoryTest, records_that_a_target_has_scribbled_are_refused) {
  auto moved = make<wire::Migration>(wire::RecordType::kMigration, 10);
  moved.end_ns = 10;
  EXPECT_EQ(checked(moved), Check::kValid);
  moved.kind = static_cast<wire::MigrationKind>(8);
  EXPECT_EQ(checked(moved), Check::kGarbage);
  moved.kind = wire::MigrationKind::kHtoD;
  moved.end_ns = 9;
  EXPECT_EQ(checked(moved), Check::kGarbage);

  auto opened = import(10, 0x7000);
  EXPECT_EQ(checked(opened), Check::kValid);
  opened.size = ~uint64_t{0};
  EXPECT_EQ(checked(opened), Check::kGarbage);
  EXPECT_EQ(checked(import_end(10, 0x7000)), Check::kValid);

  auto held = pool(10, 1, 2, 3);
  EXPECT_EQ(checked(held), Check::kValid);
  held.header.bytes -= 8;
  EXPECT_EQ(checked(held), Check::kGarbage);
  held.header.type = static_cast<wire::RecordType>(32);
  EXPECT_EQ(checked(held), Check::kUnknownType);
}

}  // namespace
}  // namespace tidemark::collector::fakes
