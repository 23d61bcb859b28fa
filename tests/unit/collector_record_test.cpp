// record() with real commands and the real injected library.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "hidden_pools.h"
#include "proc.h"
#include "target.h"
#include "tidemark/collector/recorder.h"
#include "tidemark/trace/reader.h"

namespace tidemark::collector {
namespace {

struct RecordTest : testing::Test {
  RecordTest() {
    std::string pattern = "/tmp/tidemark_record_XXXXXX";
    folder = mkdtemp(pattern.data());
    options.output = folder + "/trace.db";
    options.library_dir = TIDEMARK_TEST_LIBRARIES;
    options.device = RecordOptions::Device::kOff;
    options.notice = [this](const std::string& line) { notices += line + "\n"; };
  }
  ~RecordTest() override { std::filesystem::remove_all(folder); }

  tl::expected<RecordSummary, RecordError> run(std::vector<std::string> command) {
    options.command = std::move(command);
    return record(options);
  }
  std::string script(const std::string& name, const std::string& text) const {
    const std::string path = folder + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0755);
    return path;
  }
  static uint64_t loss(const RecordSummary& summary, const std::string& name) {
    for (const auto& each : summary.losses) {
      if (each.name == name) return each.count;
    }
    return 0;
  }

  std::string folder;
  std::string notices;
  RecordOptions options;
};

TEST_F(RecordTest, a_missing_command_is_one_clear_line_and_leaves_no_trace) {
  const auto missing = run({"no-such-command-here"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().exit_code, 127);
  EXPECT_EQ(missing.error().message, "no-such-command-here: command not found");
  const auto folder_error = run({"/tmp"});
  ASSERT_FALSE(folder_error);
  EXPECT_EQ(folder_error.error().exit_code, 126);
  std::ofstream(folder + "/plain") << "text";
  const auto plain = run({folder + "/plain"});
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().exit_code, 126);
  const auto broken = run({script("broken", "#!/nowhere/interpreter\n")});
  ASSERT_FALSE(broken);
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

TEST_F(RecordTest, the_exit_status_is_the_commands) {
  const auto code = run({"/bin/sh", "-c", "exit 7"});
  ASSERT_TRUE(code) << code.error().message;
  EXPECT_EQ(code->exit.code, 7);
  const auto killed = run({"/bin/sh", "-c", "kill -KILL $$"});
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->exit.signal, SIGKILL);
  EXPECT_EQ(killed->exit.code, 137);
}

TEST_F(RecordTest, a_script_without_interpreter_line_runs_as_in_a_shell) {
  const auto ran = run({script("bare", "exit 5\n"), "x"});
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->exit.code, 5);
}

TEST_F(RecordTest, a_shell_with_children_is_recorded_with_stacks_and_opens) {
  const auto ran =
      run({"/bin/sh", "-c", "ls / >/dev/null; echo done >/dev/null; (ls /tmp) >/dev/null"});
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->exit.code, 0);
  EXPECT_GE(ran->processes, 3U);
  EXPECT_GT(ran->events.host_allocations, 20U);
  EXPECT_FALSE(ran->write_error);
  EXPECT_EQ(loss(*ran, "invalid_records"), 0U);
  EXPECT_EQ(loss(*ran, "stacks_missing"), 0U);
  EXPECT_EQ(loss(*ran, "allocations_at_live_address"), 0U);
  EXPECT_EQ(loss(*ran, "process_starts_missing"), 0U);
  auto reader = trace::Reader::open(options.output);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_TRUE((*reader)->finished());
  uint64_t heap = 0;
  uint64_t with_function = 0;
  const auto read = (*reader)->allocations({}, [&](std::span<const trace::Allocation> rows) {
    for (const auto& row : rows) {
      if (row.layer != trace::Layer::kHeap) continue;
      ++heap;
      for (const auto& frame : (*reader)->frames(row.alloc_stack)) {
        if (!frame.function.empty()) {
          ++with_function;
          break;
        }
      }
    }
  });
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(heap, ran->events.host_allocations);
  EXPECT_GT(with_function * 10, heap * 9);
  for (const auto& process : (*reader)->processes()) {
    EXPECT_NE(process.end_ns, trace::kNever) << process.command;
  }
}

TEST_F(RecordTest, a_signal_sent_to_the_recorder_alone_reaches_the_command) {
  std::thread sender([] {
    usleep(400'000);
    kill(getpid(), SIGUSR1);
  });
  const auto ran = run({"/bin/sh", "-c", "trap 'exit 42' USR1; while :; do sleep 0.05; done"});
  sender.join();
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->exit.code, 42);
}

TEST_F(RecordTest, the_recording_ends_with_the_command_and_its_daemons_run_on) {
  const auto ran =
      run({"/bin/sh", "-c", "(sleep 3; echo alive > " + folder + "/daemon) & sleep 0.5; exit 0"});
  ASSERT_TRUE(ran);
  EXPECT_GE(loss(*ran, "processes_still_running"), 1U);
  EXPECT_LT(ran->duration_ns, 2'900'000'000);
  for (int i = 0; i < 100 && !std::filesystem::exists(folder + "/daemon"); ++i) usleep(100'000);
  EXPECT_TRUE(std::filesystem::exists(folder + "/daemon"));
}

TEST_F(RecordTest, a_static_program_runs_unharmed_and_the_trace_says_so) {
  const auto ran = run({TIDEMARK_TEST_STATIC_PROGRAM});
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->exit.code, 3);
  EXPECT_EQ(loss(*ran, "static_binary"), 1U);
  EXPECT_EQ(loss(*ran, "nothing_recorded"), 0U);
  EXPECT_NE(notices.find("statically linked"), std::string::npos);
}

TEST_F(RecordTest, an_output_that_cannot_be_written_is_said_before_the_command_runs) {
  options.output = "/nowhere/trace.db";
  const auto ran = run({"/bin/sh", "-c", "touch " + folder + "/ran"});
  ASSERT_FALSE(ran);
  EXPECT_NE(ran.error().message.find("/nowhere"), std::string::npos) << ran.error().message;
  EXPECT_FALSE(std::filesystem::exists(folder + "/ran"));
}

TEST(Environment, our_library_comes_first_and_other_tools_are_kept) {
  const auto with = injected_environment({"/p.so", "/c.so", ""}, "arena", [](const char* name) {
    return std::string_view(name) == "LD_PRELOAD" ? "/theirs.so" : "/other-tool.so";
  });
  EXPECT_TRUE(with.cuda_taken);
  EXPECT_TRUE(with.nvtx_taken);
  ASSERT_EQ(with.set.size(), 3U);
  EXPECT_EQ(with.set[0].second, "/p.so:/theirs.so");
  const auto without = injected_environment({"/p.so", "/c.so", ""}, "arena",
                                            [](const char*) -> const char* { return nullptr; });
  EXPECT_FALSE(without.cuda_taken);
  EXPECT_FALSE(without.nvtx_taken);
  EXPECT_EQ(without.set[0].second, "/p.so");
  EXPECT_EQ(without.set[2],
            std::make_pair(std::string("ASAN_OPTIONS"), std::string("verify_asan_link_order=0")));
  EXPECT_EQ(without.set[3],
            std::make_pair(std::string("NVTX_INJECTION64_PATH"), std::string("/p.so")));
  EXPECT_EQ(without.set[4].first, "CUDA_INJECTION64_PATH");
}

TEST(Environment, pools_are_exposed_unless_the_user_has_said_otherwise) {
  const InjectionPaths paths{"/p.so", "", "/t/python"};
  const auto plain =
      injected_environment(paths, "arena", [](const char*) -> const char* { return nullptr; });
  const Environment all = {{"XLA_PYTHON_CLIENT_ALLOCATOR", "platform"},
                           {"TF_GPU_ALLOCATOR", "cuda_malloc_async"}};
  EXPECT_EQ(Environment(plain.set.end() - 3, plain.set.end() - 1), all);
  EXPECT_EQ(plain.set.back(), std::make_pair(std::string("PYTHONPATH"), std::string("/t/python")));
  EXPECT_TRUE(plain.pools_taken.empty());
  const auto kept = injected_environment(paths, "arena", [](const char* name) {
    return std::string_view(name) == "PYTHONPATH"         ? "/mine"
           : std::string_view(name) == "TF_GPU_ALLOCATOR" ? "cuda_malloc"
                                                          : "";
  });
  EXPECT_EQ(kept.set.back().second, "/t/python:/mine");
  EXPECT_EQ(kept.pools_taken, (Environment{{"TF_GPU_ALLOCATOR", "cuda_malloc"}}));
  for (const auto& [name, value] : kept.set) EXPECT_NE(name, "TF_GPU_ALLOCATOR");
}

TEST(HiddenPools, are_told_by_the_libraries_of_a_process) {
  EXPECT_EQ(hidden_pools_of("/v/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so"), 1U);
  EXPECT_EQ(hidden_pools_of("/v/cupy_backends/cuda/api/runtime.cpython-312-x86_64-linux-gnu.so"),
            2U);
  EXPECT_EQ(hidden_pools_of("/v/tensorflow/libtensorflow_cc.so.2"), 4U);
  EXPECT_EQ(hidden_pools_of("/v/torch/lib/libtorch_cuda.so"), 0U);
}

TEST(Proc, a_command_with_parentheses_and_spaces_does_not_shift_the_fields) {
  const auto stat =
      parse_proc_stat("7 (a) b (c) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->state, 'Z');
  EXPECT_EQ(stat->start_time, 4711U);
  EXPECT_FALSE(parse_proc_stat(""));
  EXPECT_FALSE(parse_proc_stat("7 (a) R 1"));
  EXPECT_EQ(parse_rank(std::string_view("A=1\0RANK=3\0B=2", 15)), 3);
  EXPECT_EQ(parse_rank(std::string_view("LOCAL_RANK=3\0RANK=x", 19)), -1);
  using namespace std::string_view_literals;
  EXPECT_EQ(parse_rank("OMPI_COMM_WORLD_RANK=5\0A=1"sv), 5);
  EXPECT_EQ(parse_rank("PMI_RANK=6\0"sv), 6);
  EXPECT_EQ(parse_rank("SLURM_PROCID=7"sv), 7);
  // torchrun's worker on the second node of a Slurm job, whichever comes first.
  EXPECT_EQ(parse_rank("SLURM_PROCID=1\0RANK=9\0PMI_RANK=1"sv), 9);
  EXPECT_EQ(parse_rank("RANK=9\0SLURM_PROCID=1"sv), 9);
  EXPECT_EQ(parse_rank("RANK=\0SLURM_PROCID=1"sv), 1);
}

}  // namespace
}  // namespace tidemark::collector
