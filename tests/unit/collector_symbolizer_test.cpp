#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "collector_fakes.h"
#include "elf_file.h"
#include "symbolize_module.h"
#include "symbolizer.h"

namespace symbolizer_subject {

[[gnu::always_inline]] inline uint64_t innermost() {
  uint64_t address = 0;  // of the next instruction, as a return address is
  asm volatile("lea (%%rip), %0" : "=r"(address));
  return address;
}
constexpr int kCallLine = __LINE__ + 1;
[[gnu::noinline]] uint64_t outermost(int) { return innermost(); }

}  // namespace symbolizer_subject

namespace tidemark::collector {
namespace {

std::string own_path() {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return {path, static_cast<size_t>(std::max<ssize_t>(length, 0))};
}

// This program as a target would announce it.
LoadedModule own_module() {
  LoadedModule module;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* into) {
        auto& found = *static_cast<LoadedModule*>(into);
        found.base = info->dlpi_addr;
        found.start = UINT64_MAX;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          found.start = std::min<uint64_t>(found.start, info->dlpi_addr + segment.p_vaddr);
          found.end =
              std::max<uint64_t>(found.end, info->dlpi_addr + segment.p_vaddr + segment.p_memsz);
        }
        return 1;  // the program itself comes first
      },
      &module);
  module.path = own_path();
  return module;
}

TEST(Symbolize, an_inlined_call_becomes_two_frames_with_file_and_line) {
  const LoadedModule self = own_module();
  const uint64_t address = symbolizer_subject::outermost(1) - 1 - self.base;
  const auto result = symbolize_module({self.path, ""}, std::vector{address});
  ASSERT_EQ(result.state, ModuleState::kRead);
  const auto& frames = result.frames.at(0);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].function, "symbolizer_subject::innermost()");
  EXPECT_TRUE(frames[0].inlined);
  EXPECT_EQ(frames[1].function, "symbolizer_subject::outermost(int)");
  EXPECT_FALSE(frames[1].inlined);
  EXPECT_EQ(frames[1].line, symbolizer_subject::kCallLine);
  EXPECT_TRUE(frames[1].file.ends_with("collector_symbolizer_test.cpp"));
  EXPECT_EQ(frames[1].module, self.path);
}

TEST(Symbolize, a_library_without_debug_information_has_function_names) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&std::abort), &info), 0);
  const auto address = reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "qsort"));
  ASSERT_NE(dladdr(reinterpret_cast<void*>(address), &info), 0);
  const auto base = reinterpret_cast<uint64_t>(info.dli_fbase);
  const auto result = symbolize_module({info.dli_fname, ""}, std::vector{address - base + 4});
  ASSERT_FALSE(result.frames.at(0).empty());
  EXPECT_NE(result.frames[0].back().function.find("qsort"), std::string::npos);
}

TEST(Symbolize, another_file_at_the_same_path_is_not_believed) {
  const std::string path = own_path();
  const auto changed = symbolize_module({path, "another build"}, std::vector<uint64_t>{0x1000});
  EXPECT_EQ(changed.state, ModuleState::kChanged);
  EXPECT_EQ(changed.frames.at(0).at(0).module, path);
  EXPECT_EQ(changed.frames[0][0].function, "");
  const auto missing = symbolize_module({"/nowhere/lib.so", ""}, std::vector<uint64_t>{1, 2});
  EXPECT_EQ(missing.state, ModuleState::kMissing);
  EXPECT_EQ(missing.frames.size(), 2U);
  EXPECT_EQ(symbolize_module({"/dev/zero", ""}, std::vector<uint64_t>{1}).state,
            ModuleState::kMissing);
}

TEST(Symbolize, the_kernels_own_library_is_read_from_memory) {
  const auto vdso = ElfFile::vdso();
  if (vdso == nullptr) GTEST_SKIP() << "this kernel gives processes no vdso";
  const auto result = symbolize_module({"[vdso]", vdso->build_id()}, std::vector<uint64_t>{0xa00});
  EXPECT_EQ(result.state, ModuleState::kRead);
}

TEST(Symbolizer, stacks_begin_at_the_caller_of_the_hook_and_keep_unknown_addresses) {
  const LoadedModule self = own_module();
  ProcessState process;
  process.modules.load(self);
  process.modules.load({"/x/libtidemark_preload.so", "", 0x1000, 0x1000, 0x2000, 0, kStillLoaded});
  const uint64_t address = symbolizer_subject::outermost(1);
  fakes::RecordingWriter writer;
  const std::vector<uint64_t> addresses = {0x1500, 0x1600, address, 0x42};
  uint32_t innermost = StackTree::kNone;
  trace::StackNodeId node{};
  for (size_t i = addresses.size(); i-- > 0;) {
    innermost = process.stack_tree.add(addresses[i], innermost, 1, 5);
    StackTree::Address& added = process.stack_tree.addresses().back();
    added.written = writer.add_address(trace::ProcessId{1}, added.word, 5);
    node = writer.add_stack_node(node, added.written);
  }
  writer.add_stack(trace::ProcessId{1}, node);
  EXPECT_EQ(writer.stacks.back(), addresses);
  std::vector<std::unique_ptr<ProcessState>> processes;
  processes.push_back(std::make_unique<ProcessState>(std::move(process)));
  Losses losses;
  symbolize(processes, {}, writer, losses, nullptr);
  const auto frames = writer.frames_of(1);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(frames[0].function, "symbolizer_subject::innermost()");
  EXPECT_EQ(frames[1].function, "symbolizer_subject::outermost(int)");
  EXPECT_EQ(frames[2], trace::Frame{});
}

TEST(StackTree, an_address_is_kept_once_until_a_module_goes) {
  StackTree tree;
  const uint32_t main = tree.add(0x10, StackTree::kNone, 1, 5);
  const uint32_t first = tree.add(0x20, main, 0, 6);
  const uint32_t again = tree.add(0x20, first, 0, 7);
  EXPECT_EQ(tree.nodes()[first].address, tree.nodes()[again].address);
  EXPECT_EQ(tree.addresses().size(), 2U);
  // Stacks of after an unloading have another root, whether that has been noticed yet or not.
  const uint32_t other_root = tree.add(0x20, StackTree::kNone, 2, 8);
  EXPECT_NE(tree.nodes()[other_root].address, tree.nodes()[first].address);
  tree.forget_words();
  const uint32_t later = tree.add(0x20, first, 0, 9);
  EXPECT_NE(tree.nodes()[later].address, tree.nodes()[first].address);
  EXPECT_EQ(tree.addresses()[tree.nodes()[later].address].time_ns, 9U);
}

TEST(ModuleTable, the_module_at_a_time_is_the_one_that_was_loaded_then) {
  ModuleTable table;
  table.load({"/a.so", "", 0, 0x1000, 0x3000, 10, kStillLoaded});
  EXPECT_EQ(table.find(0x2000, 20)->path, "/a.so");
  EXPECT_EQ(table.find(0x2000, 5)->path, "/a.so") << "constructors run before it is announced";
  table.unload(0x1000, 30);
  table.load({"/b.so", "", 0, 0x1800, 0x2800, 40, kStillLoaded});
  EXPECT_EQ(table.find(0x2000, 20)->path, "/a.so");
  EXPECT_EQ(table.find(0x2000, 50)->path, "/b.so");
  EXPECT_EQ(table.find(0x2900, 50)->path, "/a.so");
  EXPECT_EQ(table.find(0x4000, 50), nullptr);
}

// Two libraries take turns at one address, and the rings of many threads tell of it: the table is
// the same in whatever order they are read.
TEST(ModuleTable, news_in_any_order_gives_the_same_table) {
  struct News {
    uint64_t time_ns;
    const char* path;  // nullptr: unloaded
  };
  std::vector<News> news{{10, "/a.so"}, {15, "/a.so"}, {20, nullptr}, {30, "/b.so"},
                         {40, nullptr}, {50, "/a.so"}, {60, nullptr}, {60, "/b.so"}};
  std::vector<size_t> order(news.size());
  std::iota(order.begin(), order.end(), size_t{0});
  do {
    ModuleTable table;
    for (const size_t i : order) {
      if (news[i].path == nullptr) {
        table.unload(0x1000, news[i].time_ns);
      } else {
        table.load({news[i].path, "", 0, 0x1000, 0x3000, news[i].time_ns});
      }
    }
    std::vector<std::tuple<std::string, uint64_t, uint64_t>> lives;
    table.take_changes([&](uint64_t start, const auto& all, bool again) {
      EXPECT_EQ(start, 0x1000U);
      EXPECT_FALSE(again);
      for (const auto& life : all) lives.emplace_back(life.path, life.loaded_ns, life.unloaded_ns);
    });
    ASSERT_EQ(
        lives,
        (std::vector<std::tuple<std::string, uint64_t, uint64_t>>{
            {"/a.so", 10, 20}, {"/b.so", 30, 40}, {"/a.so", 50, 60}, {"/b.so", 60, kStillLoaded}}));
    ASSERT_EQ(table.find(0x2000, 35)->path, "/b.so");
    ASSERT_EQ(table.find(0x2000, 45)->path, "/a.so") << "announced a moment after its first code";
    ASSERT_EQ(table.find(0x2000, 60)->path, "/b.so");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(ModuleTable, changes_are_told_once) {
  ModuleTable table;
  std::vector<std::pair<size_t, bool>> told;
  const auto take = [&] {
    told.clear();
    table.take_changes(
        [&](uint64_t, const auto& lives, bool again) { told.emplace_back(lives.size(), again); });
    return told;
  };
  using Told = std::vector<std::pair<size_t, bool>>;
  EXPECT_FALSE(table.load({"/a.so", "", 0, 0x1000, 0x3000, 10})) << "no address meant anything yet";
  EXPECT_FALSE(table.load({"/c.so", "", 0, 0x5000, 0x6000, 11}));
  EXPECT_EQ(take(), (Told{{1, false}, {1, false}}));
  EXPECT_FALSE(table.load({"/a.so", "", 0, 0x1000, 0x3000, 20})) << "a repetition";
  EXPECT_EQ(take(), Told{});
  ModuleTable child = table;
  EXPECT_TRUE(table.load({"/b.so", "", 0, 0x1000, 0x2000, 30}));
  EXPECT_TRUE(table.unload(0x5000, 31));
  EXPECT_EQ(take(), (Told{{2, true}, {1, true}}));
  EXPECT_EQ(table.find(0x2800, 40)->path, "/a.so");
  EXPECT_EQ(child.find(0x1800, 40)->path, "/a.so");
  EXPECT_TRUE(table.unload(0x7000, 50)) << "of what nobody has told yet";
  EXPECT_EQ(take(), Told{});
  EXPECT_EQ(table.find(0x7000, 50), nullptr);
}

}  // namespace
}  // namespace tidemark::collector
