// The doctor against machines that are not this one: described (findings), and faked (gathering).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "doctor_findings.h"
#include "doctor_gather.h"
#include "doctor_probe.h"

namespace tidemark::cli::doctor {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

const Finding& named(const Findings& findings, const std::string& name) {
  static const Finding none{"", "none of that name", Level::kOk, "", ""};
  for (const Finding& finding : findings) {
    if (finding.name == name) return finding;
  }
  return none;
}

bool has(const Findings& findings, const std::string& name) {
  return named(findings, name).name == name;
}

// A machine where all is well.
Machine good_machine() {
  Machine machine;
  machine.host.preload_path = "/opt/tidemark/lib/tidemark/libtidemark_preload.so";
  machine.host.shm_bytes = 64 << 20;
  machine.host.ptrace_scope = "0\n";
  machine.host.trace_folder = "/home/user";
  machine.host.trace_free_bytes = uint64_t{100} << 30;
  machine.gpu.kernel_driver = "580.65.06";
  machine.gpu.nodes = 3;
  machine.gpu.cuda_library_of_ours = "/opt/tidemark/lib/tidemark/libtidemark_cuda.so";
  machine.gpu.driver.asked = Asked::kAnswered;
  machine.gpu.driver.cuda_library = "/usr/lib/libcuda.so.1";
  machine.gpu.driver.cuda_version = 13000;
  machine.gpu.driver.init_result = 0;
  machine.gpu.driver.version = "580.65.06";
  machine.gpu.driver.devices = {{"NVIDIA H100", uint64_t{80} << 30, 0, 0, 0}};
  machine.cupti.for_python = Cupti{"/env/nvidia/cu13/lib/libcupti.so.13", 130001, ""};
  machine.python.asked = Asked::kAnswered;
  machine.python.executable = "/env/bin/python3";
  machine.python.implementation = "cpython";
  machine.python.major = 3;
  machine.python.minor = 12;
  machine.python.torch_cuda = "13.0";
  machine.python.packages = {{"torch", "2.11.0+cu130"}};
  return machine;
}

TEST(DoctorFindings, nothing_to_say_of_a_machine_where_all_is_well) {
  const Findings findings = judge(good_machine());
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.level, Level::kOk) << finding.name << ": " << finding.text;
    EXPECT_EQ(finding.mend, "") << finding.name;
  }
  EXPECT_TRUE(works(findings));
  EXPECT_THAT(findings_text(findings), HasSubstr("What is here will be recorded\n"));
}

// One fault each: which finding tells, how bad it is, and words that it must hold.
struct Fault {
  const char* what;
  void (*plant)(Machine&);
  const char* finding;
  Level level;
  const char* text;
  const char* mend;
};
// ctest names its cases so.
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.what; }

constexpr Fault kFaults[] = {
    {"preload", [](Machine& m) { m.host.preload_error = "GLIBC_2.36 not found"; }, "preload",
     Level::kProblem, "GLIBC_2.36 not found", "package"},
    {"memfd", [](Machine& m) { m.host.memory_file_error = "Operation not permitted"; },
     "shared_memory", Level::kProblem, "Operation not permitted", "seccomp"},
    {"file_size", [](Machine& m) { m.host.memory_file_limit_bytes = 1 << 20; }, "shared_memory",
     Level::kProblem, "1.00 MiB", "ulimit -f"},
    {"yama_1", [](Machine& m) { m.host.ptrace_scope = "1\n"; }, "attach", Level::kNote, "is 1",
     "ptrace_scope=0"},
    {"yama_3", [](Machine& m) { m.host.ptrace_scope = "3\n"; }, "attach", Level::kNote, "is 3",
     "record -- COMMAND"},
    {"no_ptrace", [](Machine& m) { m.host.ptrace_error = "Operation not permitted"; }, "attach",
     Level::kNote, "not permitted", "SYS_PTRACE"},
    {"folder", [](Machine& m) { m.host.trace_folder_error = "Read-only file system"; },
     "trace_folder", Level::kProblem, "/home/user", "-o FILE"},
    {"little_space", [](Machine& m) { m.host.trace_free_bytes = 1 << 20; }, "trace_folder",
     Level::kNote, "1.00 MiB", "--max-size"},
    {"other_preload", [](Machine& m) { m.environment.preload = "libjemalloc.so.2"; },
     "other_preload", Level::kNote, "libjemalloc.so.2", ""},
    {"hang",
     [](Machine& m) {
       m.gpu.driver.asked = Asked::kTimedOut;
       m.gpu.driver.step = "cuInit";
     },
     "driver", Level::kNote, "cuInit", "nvidia-smi"},
    {"no_libcuda",
     [](Machine& m) {
       m.gpu.driver.cuda_library = "";
       m.gpu.driver.cuda_library_error = "cannot open shared object file";
     },
     "driver", Level::kProblem, "cannot open", "--gpus=all"},
    {"mismatch",
     [](Machine& m) {
       m.gpu.driver.init_result = 803;
       m.gpu.driver.init_error = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";
     },
     "driver", Level::kProblem, "MISMATCH", "reboot"},
    {"no_device",
     [](Machine& m) {
       m.gpu.driver.init_result = 100;
       m.environment.has_visible_devices = true;
       m.environment.visible_devices = "7";
     },
     "driver", Level::kProblem, "(100)", "'7'"},
    {"nodes",
     [](Machine& m) {
       m.gpu.unreadable_nodes = {"/dev/nvidia0", "/dev/nvidiactl"};
     },
     "nodes", Level::kProblem, "/dev/nvidia0, /dev/nvidiactl", "group"},
    {"nvml", [](Machine& m) { m.gpu.driver.nvml_error = "version mismatch"; }, "nvml", Level::kNote,
     "version mismatch", "libnvidia-ml"},
    {"mig", [](Machine& m) { m.gpu.driver.devices[0].mig = 1; }, "device 0", Level::kNote, "MIG",
     ""},
    {"exclusive", [](Machine& m) { m.gpu.driver.devices[0].compute_mode = 3; }, "device 0",
     Level::kNote, "exclusive", ""},
    {"prohibited", [](Machine& m) { m.gpu.driver.devices[0].compute_mode = 2; }, "device 0",
     Level::kProblem, "prohibited", "-i 0"},
    {"mps", [](Machine& m) { m.gpu.mps_pipe = "/tmp/nvidia-mps"; }, "mps", Level::kNote,
     "/tmp/nvidia-mps", ""},
    {"no_library", [](Machine& m) { m.gpu.cuda_library_of_ours = ""; }, "library", Level::kProblem,
     "libtidemark_cuda.so", "CUDA_HOME"},
    {"no_cupti",
     [](Machine& m) {
       m.cupti.for_python = Cupti{"", 0, "not found"};
     },
     "cupti_python", Level::kProblem, "not found", "TIDEMARK_CUPTI"},
    {"old_cupti", [](Machine& m) { m.cupti.for_python->version = 17; }, "cupti_python",
     Level::kProblem, "17", "TIDEMARK_CUPTI"},
    {"new_cupti", [](Machine& m) { m.gpu.driver.cuda_version = 12040; }, "cupti_python",
     Level::kProblem, "the driver supports 12.4", "libcupti.so.12"},
    {"other_tool", [](Machine& m) { m.environment.cuda_injection = "/opt/nsys/inject.so"; },
     "other_tool", Level::kProblem, "/opt/nsys/inject.so", "unset"},
    {"nsight", [](Machine& m) { m.environment.nsight = "NSYS_PROFILING_SESSION_ID"; }, "nsight",
     Level::kNote, "NSYS_PROFILING_SESSION_ID", "outside"},
    {"old_python", [](Machine& m) { m.python.minor = 7; }, "interpreter", Level::kProblem,
     "native frames only", "3.8 to 3.14"},
    {"pypy", [](Machine& m) { m.python.implementation = "pypy"; }, "interpreter", Level::kProblem,
     "pypy", "CPython"},
    {"no_python", [](Machine& m) { m.python.error = "No such file or directory"; }, "interpreter",
     Level::kNote, "No such file", "--python"},
    {"slow_python", [](Machine& m) { m.python.asked = Asked::kTimedOut; }, "interpreter",
     Level::kNote, "in time", "--python"},
    {"torch_too_new",
     [](Machine& m) {
       m.gpu.driver.cuda_version = 12040;
       m.cupti.for_python->version = 24;
     },
     "torch", Level::kNote, "CUDA 12 only", "update the driver"},
    {"torch_async", [](Machine& m) { m.environment.torch_allocator = "backend:cudaMallocAsync"; },
     "torch", Level::kNote, "switches its caching allocator off", ""},
    {"jax",
     [](Machine& m) {
       m.python.packages = {{"jax", "0.5"}, {"jax-cuda13-plugin", "0.5"}};
     },
     "jax", Level::kNote, "not its buffers", "--pools=expose"},
    {"tensorflow",
     [](Machine& m) {
       m.python.packages = {{"tensorflow", "2.18"}};
     },
     "tensorflow", Level::kNote, "not the tensors", "--pools=expose"},
    {"cupy",
     [](Machine& m) {
       m.python.packages = {{"cupy-cuda13x", "13.4"}};
     },
     "cupy", Level::kNote, "13.4", "--pools=expose"},
    {"nothing", [](Machine& m) { m.python.packages.clear(); }, "frameworks", Level::kNote, "none",
     "--python"},
};

class DoctorFault : public testing::TestWithParam<Fault> {};

TEST_P(DoctorFault, is_told_with_its_mend) {
  Machine machine = good_machine();
  GetParam().plant(machine);
  const Findings findings = judge(machine);
  const Finding& finding = named(findings, GetParam().finding);
  ASSERT_EQ(finding.name, GetParam().finding);
  EXPECT_EQ(finding.level, GetParam().level);
  EXPECT_THAT(finding.text, HasSubstr(GetParam().text));
  EXPECT_THAT(finding.mend, HasSubstr(GetParam().mend));
  EXPECT_EQ(works(findings), GetParam().level != Level::kProblem);
}

INSTANTIATE_TEST_SUITE_P(All, DoctorFault, testing::ValuesIn(kFaults),
                         [](const auto& fault) { return std::string(fault.param.what); });

TEST(DoctorFindings, a_machine_without_a_gpu_is_no_problem) {
  Machine machine = good_machine();
  machine.gpu = {};
  machine.cupti = {};
  const Findings findings = judge(machine);
  EXPECT_TRUE(works(findings));
  EXPECT_THAT(named(findings, "driver").text, HasSubstr("no device"));
  EXPECT_FALSE(has(findings, "permission"));
  machine.gpu.on_bus = true;
  EXPECT_THAT(named(judge(machine), "driver").mend, HasSubstr("--gpus=all"));
}

TEST(DoctorFindings, switches_that_show_more_are_seen) {
  Machine machine = good_machine();
  machine.python.packages = {{"jax", "0.5"}, {"jax-cuda13-plugin", "0.5"}, {"tensorflow", "2.18"}};
  machine.environment.xla_allocator = "platform";
  machine.environment.tensorflow_allocator = "cuda_malloc_async";
  const Findings findings = judge(machine);
  EXPECT_EQ(named(findings, "jax").level, Level::kOk);
  EXPECT_EQ(named(findings, "tensorflow").level, Level::kOk);
}

TEST(DoctorFindings, who_has_the_wheels_needs_no_other_cupti) {
  Machine machine = good_machine();
  machine.cupti.for_others = Cupti{"", 0, "not found"};
  EXPECT_EQ(named(judge(machine), "cupti").level, Level::kNote);
  machine.cupti.for_python.reset();
  EXPECT_EQ(named(judge(machine), "cupti").level, Level::kProblem);
}

TEST(DoctorFindings, commands) {
  using Kind = CommandFacts::Kind;
  const std::map<Kind, std::string> words = {{Kind::kStatic, "static"},
                                             {Kind::kSetuid, "LD_PRELOAD"},
                                             {Kind::kForeign, "x86"},
                                             {Kind::kValgrind, "valgrind"}};
  Machine machine = good_machine();
  machine.command = CommandFacts{"train", "", "/bin/train", "/bin/train", Kind::kFits};
  EXPECT_TRUE(works(judge(machine)));
  for (const auto& [kind, word] : words) {
    machine.command->kind = kind;
    const Findings findings = judge(machine);
    EXPECT_FALSE(works(findings));
    EXPECT_THAT(named(findings, "executable").text + named(findings, "executable").mend,
                HasSubstr(word));
  }
}

TEST(DoctorFindings, json_has_what_the_text_has) {
  Machine machine = good_machine();
  machine.host.preload_error = "broken";
  const Findings findings = judge(machine);
  const auto json = nlohmann::json::parse(findings_json(findings));
  EXPECT_EQ(json.at("works"), false);
  ASSERT_EQ(json.at("findings").size(), findings.size());
  EXPECT_EQ(json.at("findings").at(0).at("level"), "problem");
  EXPECT_EQ(json.at("findings").at(0).at("mend"), findings[0].mend);
  EXPECT_TRUE(json.at("findings").at(1).at("mend").is_null());
}

// Half a line is where the driver was stopped.
TEST(DoctorAnswers, of_a_driver_that_was_stopped) {
  const DriverFacts facts =
      parse_driver_answer("step=NVML\nversion=580\ndevice=A\nmemory=17\nmig=1\nstep=cuInit\nini");
  EXPECT_EQ(facts.step, "cuInit");
  EXPECT_EQ(facts.version, "580");
  ASSERT_EQ(facts.devices.size(), 1U);
  EXPECT_EQ(facts.devices[0].memory_bytes, 17U);
  EXPECT_EQ(facts.devices[0].mig, 1);
  EXPECT_EQ(facts.devices[0].compute_mode, -1);
  EXPECT_EQ(facts.init_result, -1);
}

TEST(DoctorAnswers, of_something_that_is_no_python) {
  for (const char* text : {"", "hello", "[]", "{}", "{\"version\": 3, \"executable\": []}"}) {
    EXPECT_NE(parse_python_answer(text).error, "") << text;
  }
}

TEST(DoctorProbe, what_was_said_before_the_time_was_over_counts) {
  const auto begin = steady_clock::now();
  Probe silent([](int answer) {
    ASSERT_EQ(write(answer, "half", 4), 4);
    for (;;) pause();
  });
  Probe quick([](int answer) { ASSERT_EQ(write(answer, "all", 3), 3); });
  Probe crashed([](int) { std::abort(); });
  Probe::wait({&silent, &quick, &crashed}, begin + milliseconds(500));
  EXPECT_EQ(silent.asked(), Asked::kTimedOut);
  EXPECT_EQ(silent.answer(), "half");
  EXPECT_EQ(quick.asked(), Asked::kAnswered);
  EXPECT_EQ(quick.answer(), "all");
  EXPECT_EQ(crashed.asked(), Asked::kDied);
}

// A root folder with a driver in it, an environment, and libraries that answer as they are told.
class DoctorGather : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("tidemark-doctor-" + std::to_string(getpid()));
    fs::remove_all(root_);
    for (const char* name : kVariables) unsetenv(name);
    put("proc/self/status", "Name:\ttest\nCapEff:\t0000000000000000\n");
    put("proc/sys/kernel/yama/ptrace_scope", "1\n");
    put("proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n");
    put("proc/driver/nvidia/params", "ResmanDebugLevel: 1\nRmProfilingAdminOnly: 1\n");
    put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    for (const char* node : {"nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps"}) {
      put(std::string("dev/") + node, "");
    }
    put("python", std::string("#!/bin/sh\necho '") + kPythonAnswer + "'\n");
    fs::permissions(root_ / "python", fs::perms::owner_all);
    sources_.root = root_;
    sources_.library_dir = TIDEMARK_TEST_LIBRARIES;
    sources_.python = root_ / "python";
    sources_.cuda_library = sources_.nvml_library = TIDEMARK_TEST_FAKE_NVIDIA;
    sources_.cupti_libraries = {TIDEMARK_TEST_FAKE_NVIDIA};
    sources_.patience = milliseconds(20000);  // nothing here is to be stopped
  }
  void TearDown() override {
    fs::remove_all(root_);
    for (const char* name : kVariables) unsetenv(name);
  }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  static constexpr const char* kVariables[] = {"FAKE_NVIDIA",    "CUDA_INJECTION64_PATH",
                                               "TIDEMARK_CUPTI", "CUDA_HOME",
                                               "CUDA_PATH",      "CUDA_MPS_PIPE_DIRECTORY"};
  static constexpr char kPythonAnswer[] =
      R"({"executable": "/env/python", "implementation": "cpython", "version": [3, 12, 1],)"
      R"( "free_threaded": false, "packages": [["torch", "2.11"]], "cupti": [],)"
      R"( "torch_cuda": "13.0"})";
  fs::path root_;
  Sources sources_;
};

TEST_F(DoctorGather, a_whole_machine) {
  setenv("CUDA_INJECTION64_PATH", "/elsewhere.so", 1);  // the driver must not see it: see cuInit
  const Machine machine = gather(sources_);
  EXPECT_EQ(machine.host.preload_error, "");
  EXPECT_EQ(machine.host.ptrace_scope, "1\n");
  EXPECT_FALSE(machine.host.may_trace_any);
  EXPECT_EQ(machine.gpu.kernel_driver, "580.65.06");
  EXPECT_TRUE(machine.gpu.on_bus);
  EXPECT_TRUE(machine.gpu.profiling_restricted);
  EXPECT_EQ(machine.gpu.nodes, 3U);
  EXPECT_EQ(machine.gpu.mps_pipe, "");
  const DriverFacts& driver = machine.gpu.driver;
  EXPECT_EQ(driver.asked, Asked::kAnswered);
  EXPECT_EQ(driver.version, "580.65.06");
  EXPECT_EQ(driver.cuda_version, 13000);
  EXPECT_EQ(driver.init_result, 0);
  ASSERT_EQ(driver.devices.size(), 2U);
  EXPECT_EQ(driver.devices[1].name, "NVIDIA Test B");
  EXPECT_EQ(driver.devices[0].memory_bytes, uint64_t{80} << 30);
  EXPECT_EQ(driver.devices[0].mig, 0);
  EXPECT_EQ(driver.devices[1].mig, -1);
  ASSERT_TRUE(machine.cupti.for_others);
  EXPECT_EQ(machine.cupti.for_others->version, 130001U);
  EXPECT_EQ(machine.cupti.for_others->path, TIDEMARK_TEST_FAKE_NVIDIA);
  EXPECT_FALSE(machine.cupti.for_python);
  EXPECT_EQ(machine.python.asked, Asked::kAnswered);
  EXPECT_EQ(machine.python.minor, 12);
  ASSERT_EQ(machine.python.packages.size(), 1U);
}

TEST_F(DoctorGather, a_driver_that_hangs_or_crashes_is_left_alone) {
  sources_.patience = milliseconds(1000);
  setenv("FAKE_NVIDIA", "hang=cuInit", 1);
  Machine machine = gather(sources_);
  EXPECT_EQ(machine.gpu.driver.asked, Asked::kTimedOut);
  EXPECT_EQ(machine.gpu.driver.step, "cuInit");
  EXPECT_EQ(machine.gpu.driver.devices.size(), 2U);  // said before
  sources_.patience = milliseconds(20000);
  setenv("FAKE_NVIDIA", "crash=nvmlInit", 1);
  machine = gather(sources_);
  EXPECT_EQ(machine.gpu.driver.asked, Asked::kDied);
  EXPECT_EQ(machine.gpu.driver.step, "NVML");
}

TEST_F(DoctorGather, errors_of_the_driver) {
  setenv("FAKE_NVIDIA", "init=803,nvml=18", 1);
  const Machine machine = gather(sources_);
  EXPECT_EQ(machine.gpu.driver.init_result, 803);
  EXPECT_EQ(machine.gpu.driver.init_error, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
  EXPECT_EQ(machine.gpu.driver.nvml_error, "Driver/library version mismatch");
}

TEST_F(DoctorGather, nothing_of_nvidia) {
  fs::remove_all(root_ / "proc/driver");
  fs::remove_all(root_ / "dev");
  fs::remove_all(root_ / "sys");
  sources_.cuda_library = sources_.nvml_library = "libnothing-of-that-name.so.1";
  sources_.cupti_libraries = {"libnothing-of-that-name.so.1"};
  const Machine machine = gather(sources_);
  EXPECT_FALSE(expects_gpu(machine));
  EXPECT_THAT(machine.gpu.driver.cuda_library_error, HasSubstr("libnothing-of-that-name"));
  EXPECT_EQ(machine.cupti.for_others->version, 0U);
}

TEST_F(DoctorGather, a_python_that_is_not_there_or_no_python) {
  sources_.python = root_ / "missing";
  EXPECT_EQ(gather(sources_).python.error, "No such file or directory");
  sources_.python = "/bin/true";
  EXPECT_NE(gather(sources_).python.error, "");
}

TEST_F(DoctorGather, cupti_of_a_toolkit_and_an_mps_daemon) {
  fs::create_directories(root_ / "toolkit/extras/CUPTI/lib64");
  fs::copy_file(TIDEMARK_TEST_FAKE_NVIDIA, root_ / "toolkit/extras/CUPTI/lib64/libcupti.so.12");
  put("mps/control", "");
  setenv("CUDA_HOME", "/toolkit", 1);
  setenv("CUDA_MPS_PIPE_DIRECTORY", "/mps", 1);
  setenv("FAKE_NVIDIA", "cupti=26", 1);
  const Machine machine = gather(sources_);
  EXPECT_EQ(machine.cupti.for_others->version, 26U);
  EXPECT_THAT(machine.cupti.for_others->path, HasSubstr("toolkit/extras/CUPTI"));
  EXPECT_EQ(machine.gpu.mps_pipe, "/mps");
}

TEST_F(DoctorGather, a_preload_library_that_cannot_be_loaded) {
  sources_.library_dir = root_;
  EXPECT_THAT(gather(sources_).host.preload_error, HasSubstr("cannot open shared object"));
}

// The real interpreter, asked for what it has; frameworks are not imported.
TEST_F(DoctorGather, a_real_python) {
  fs::create_directories(root_ / "site/torch-2.11.0.dist-info");
  fs::create_directories(root_ / "site/nvidia/cu13/lib");
  put("site/torch-2.11.0.dist-info/METADATA",
      "Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0\n");
  put("site/torch/version.py", "cuda: Optional[str] = '13.0'\n");
  put("site/torch/__init__.py", "raise SystemExit('imported')\n");
  fs::copy_file(TIDEMARK_TEST_FAKE_NVIDIA, root_ / "site/nvidia/cu13/lib/libcupti.so.13");
  setenv("PYTHONPATH", (root_ / "site").c_str(), 1);
  sources_.python = TIDEMARK_TEST_PYTHON;
  const Machine machine = gather(sources_);
  unsetenv("PYTHONPATH");
  ASSERT_EQ(machine.python.error, "");
  EXPECT_EQ(machine.python.major, 3);
  EXPECT_EQ(machine.python.torch_cuda, "13.0");
  ASSERT_FALSE(machine.python.packages.empty());
  EXPECT_EQ(machine.python.packages[0].name, "torch");
  EXPECT_EQ(machine.python.packages[0].version, "2.11.0");
  ASSERT_TRUE(machine.cupti.for_python);
  EXPECT_EQ(machine.cupti.for_python->version, 130001U);
}

}  // namespace
}  // namespace tidemark::cli::doctor
