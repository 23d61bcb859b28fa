#!/usr/bin/env python3
"""The comparisons of the acceptance run, without a GPU: a miniature trace passes them all, and
each planted fault is caught by the check that is there for it."""

import contextlib
import io
import json
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / "samples" / "pytorch"))

import acceptance
import bookkeeping
import checks as checking
import fake_trace
import figures


class WithTrace(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "trace.db"

    def damage(self, *statements):
        trace = sqlite3.connect(self.path)
        with trace:
            for statement in statements:
                trace.execute(statement)
        trace.close()


class Peak(unittest.TestCase):
    def test_of_nothing_is_nothing(self):
        self.assertEqual(figures.peak_of([]), 0)

    def test_counts_only_what_lives_together(self):
        self.assertEqual(figures.peak_of([(0, 10, 5), (10, 20, 7), (12, None, 1)]), 8)

    def test_a_free_comes_before_an_allocation_of_the_same_time(self):
        self.assertEqual(figures.peak_of([(10, None, 7), (0, 10, 5)]), 7)

    def test_refuses_a_free_before_its_allocation(self):
        with self.assertRaises(figures.TraceError):
            figures.peak_of([(10, 9, 1)])


class PyTorch(WithTrace):
    def check(self, change=None):
        """The failed checks' names, after the statements in change, or with changed runs."""
        bare, profiled, recorded = fake_trace.pytorch_runs()
        if callable(change):
            change(bare, profiled, recorded)
        checks = checking.Checks(out=lambda text: None)
        with contextlib.closing(figures.open_trace(self.path)) as trace:
            checking.check_pytorch(checks, "gpt2", bare, profiled, recorded, trace)
        return [failure["what"] for failure in checks.failed]

    def setUp(self):
        super().setUp()
        fake_trace.pytorch_trace(self.path)

    def test_a_true_trace_passes(self):
        self.assertEqual(self.check(), [])

    def test_a_missing_allocation_is_caught(self):
        self.damage("DELETE FROM device_allocation WHERE layer = 'pool' AND size = 500")
        self.assertEqual(self.check(), ["pool allocations = allocation.all.allocated",
                                        "pool frees >= allocation.all.freed"])

    def test_a_byte_too_many_at_the_peak_is_caught(self):
        self.damage("UPDATE device_allocation SET size = 601 WHERE size = 600")
        self.assertEqual(self.check(), ["peak of pool bytes = allocated_bytes.all.peak"])

    def test_a_free_that_comes_late_is_caught(self):
        self.damage("UPDATE device_allocation SET free_ns = 301 WHERE size = 600")
        self.assertEqual(self.check(), ["peak of pool bytes = allocated_bytes.all.peak"])

    def test_a_wrong_reserve_is_caught(self):
        self.damage("UPDATE pool_reserved SET reserved_bytes = reserved_bytes - 512")
        self.assertEqual(self.check(), ["peak reserved = reserved_bytes.all.peak"])

    def test_a_segment_without_its_source_is_caught(self):
        self.damage("UPDATE device_allocation SET source = NULL WHERE size = 20971520")
        self.assertEqual(self.check(), ["peak of libc10_cuda driver bytes = reserved_bytes.all.peak",
                                        "libc10_cuda driver allocations = segment.all.allocated"])

    def test_a_missing_kernel_copy_and_set_are_caught(self):
        self.damage("DELETE FROM kernel WHERE id = 1", "DELETE FROM transfer WHERE bytes = 50",
                    "DELETE FROM memset")
        self.assertEqual(self.check(), [
            f"{what} = torch.profiler's"
            for what in ("kernels", "copies", "bytes copied", "sets", "bytes set")])

    def test_a_kernel_that_ends_before_it_starts_is_caught(self):
        self.damage("UPDATE kernel SET end_ns = start_ns - 1 WHERE id = 2")
        self.assertEqual(self.check(), ["device events with impossible times"])

    def test_a_loss_of_events_is_caught(self):
        self.damage("UPDATE loss SET count = 1 WHERE severity = 'data_loss'")
        self.assertEqual(self.check(), ["serious losses of events"])

    def test_another_training_loss_is_caught(self):
        def change(_bare, _profiled, recorded):
            recorded["losses"][-1] += 1e-7
        self.assertEqual(self.check(change), ["training losses unchanged"])

    def test_a_run_without_losses_is_caught(self):
        def change(*runs):
            for run in runs:
                run["losses"] = []
        self.assertEqual(self.check(change), ["training losses unchanged"])

    def test_memory_use_changed_by_recording_is_caught(self):
        def change(bare, _profiled, _recorded):
            bare["memory_stats"]["allocated_bytes.all.peak"] -= 512
        self.assertEqual(self.check(change), ["recording leaves allocated_bytes.all.peak alone"])

    def test_a_second_process_with_a_pool_is_an_error(self):
        self.damage("UPDATE device_allocation SET process_id = 2 WHERE size = 500")
        with self.assertRaisesRegex(figures.TraceError, "2 processes"):
            self.check()

    def test_a_missing_table_is_an_error(self):
        self.damage("DROP TABLE pool_reserved")
        with self.assertRaisesRegex(figures.TraceError, "pool_reserved"):
            self.check()

    def test_a_profile_that_was_not_taken_is_an_error(self):
        def change(_bare, profiled, _recorded):
            profiled["profile"] = None
        with self.assertRaisesRegex(ValueError, "no profile"):
            self.check(change)


class CudaTrainer(WithTrace):
    def check(self, change=None):
        bare, recorded = (json.loads(json.dumps(fake_trace.CUDA_TRAINER_COUNT)) for _ in range(2))
        if change:
            change(bare, recorded)
        checks = checking.Checks(out=lambda text: None)
        with contextlib.closing(figures.open_trace(self.path)) as trace:
            checking.check_cuda_trainer(checks, "cuda_trainer", bare, recorded, trace)
        return [failure["what"] for failure in checks.failed]

    def setUp(self):
        super().setUp()
        fake_trace.cuda_trainer_trace(self.path)

    def test_a_true_trace_passes(self):
        self.assertEqual(self.check(), [])

    def test_an_allocation_counted_twice_is_caught(self):
        self.damage("INSERT INTO device_allocation(process_id, layer, space, device, size, "
                    "alloc_ns, free_ns, alloc_stack_id, api) VALUES (1, 'driver', 'device', 0, "
                    "1000, 10, 90, 7, 'cudaMalloc')")
        self.assertEqual(self.check(), ["cudaMalloc calls", "cudaMalloc bytes", "cudaMalloc freed",
                                        "peak bytes device"])

    def test_a_free_that_was_missed_is_caught(self):
        self.damage("UPDATE device_allocation SET free_ns = NULL WHERE alloc_ns = 50")
        self.assertEqual(self.check(), ["cudaMallocAsync freed"])

    def test_a_call_under_another_name_is_caught(self):
        self.damage("UPDATE device_allocation SET api = 'cudaHostAlloc' "
                    "WHERE api = 'cudaMallocHost'")
        self.assertEqual(self.check(), [
            "cudaMallocHost calls", "cudaMallocHost bytes", "cudaMallocHost freed",
            "allocations by calls that were not made", "peak bytes pinned"])

    def test_an_allocation_without_its_stack_is_caught(self):
        self.damage("UPDATE device_allocation SET alloc_stack_id = NULL WHERE size = 2000")
        self.assertEqual(self.check(),
                         ["allocations whose stack lacks the trainer's own functions"])

    def test_a_kernel_too_few_is_caught(self):
        self.damage("DELETE FROM kernel WHERE name LIKE '%adam_update%'")
        self.assertEqual(self.check(), ["kernels", "kernels adam_update"])

    def test_a_copy_from_the_wrong_space_is_caught(self):
        self.damage("UPDATE transfer SET src_space = 'pinned' WHERE bytes = 1000")
        self.assertEqual(self.check(), ["copies HtoD host to device (count, bytes)",
                                        "copies HtoD pinned to device (count, bytes)"])

    def test_a_copy_that_was_not_made_is_caught(self):
        self.damage("INSERT INTO transfer(process_id, kind, bytes, src_space, dst_space, start_ns, "
                    "end_ns) VALUES (1, 'DtoD', 8, 'device', 'device', 1, 2)")
        self.assertEqual(self.check(), ["copies that the program did not make"])

    def test_a_set_of_the_wrong_size_is_caught(self):
        self.damage("UPDATE memset SET bytes = 4 WHERE bytes = 1000")
        self.assertEqual(self.check(), ["bytes set"])

    def test_a_program_that_behaves_differently_is_caught(self):
        def change(bare, _recorded):
            bare["calls"]["cudaMalloc"] = 1
        self.assertEqual(self.check(change),
                         ["recording changes none of the program's own counts"])

    def test_a_program_that_counted_nothing_is_an_error(self):
        def change(_bare, recorded):
            recorded["allocations"] = {}
        with self.assertRaises(ValueError):
            self.check(change)


class Accesses(WithTrace):
    """What a trace says that kernels were handed, against what a program says of itself."""

    def setUp(self):
        super().setUp()
        fake_trace.cuda_trainer_trace(self.path)

    def check(self):
        checks = checking.Checks(out=lambda text: None)
        truth = fake_trace.CUDA_TRAINER_ACCESSES
        with contextlib.closing(figures.open_trace(self.path)) as trace:
            marks = ", ".join("?" for _ in truth["apis"])
            own, seen = checking.check_recall(
                checks, "accesses", truth,
                figures.rows(trace, "SELECT id, name, correlation_id, graph_id FROM kernel"),
                figures.rows(trace, "SELECT kernel_id, allocation_id FROM access"),
                [row[0] for row in figures.rows(
                    trace, "SELECT id FROM device_allocation WHERE layer = 'driver' AND "
                           f"api IN ({marks}) ORDER BY id", truth["apis"])])
            checking.check_graph_recall(checks, "accesses", own, seen)
        return [failure["what"] for failure in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.check(), [])

    def test_a_block_that_was_not_seen_is_caught(self):
        self.damage("DELETE FROM access WHERE kernel_id = 1 AND allocation_id = 3")
        self.assertEqual(self.check(), ["blocks handed to kernels that were not seen"])

    def test_a_block_too_many_is_caught(self):
        self.damage("INSERT INTO access VALUES (2, 5)")
        self.assertEqual(self.check(), ["blocks seen that were not handed to the kernel"])

    def test_a_block_that_is_not_the_programs_is_caught(self):
        self.damage("INSERT INTO access VALUES (2, 7)")
        self.assertEqual(self.check(), ["blocks seen that were not handed to the kernel"])

    def test_a_trace_without_accesses_is_caught(self):
        self.damage("DELETE FROM access")
        self.assertEqual(self.check(), ["blocks handed to kernels that were not seen",
                                        "blocks handed to kernels that were seen",
                                        "kernels of graphs whose blocks differ from what they were "
                                        "handed"])

    def test_a_kernel_too_few_is_caught(self):
        self.damage("DELETE FROM kernel WHERE id = 3")
        self.assertEqual(self.check(), ["kernels launched one by one"])

    def test_a_node_of_a_graph_that_was_not_seen_is_caught(self):
        self.damage("DELETE FROM access WHERE kernel_id = 5")
        self.assertEqual(self.check(), ["kernels of graphs whose blocks differ from what they were "
                                        "handed"])

    def test_a_block_too_many_of_a_graph_is_caught(self):
        self.damage("INSERT INTO access VALUES (4, 2)")
        self.assertEqual(self.check(), ["kernels of graphs whose blocks differ from what they were "
                                        "handed"])

    def test_another_kernel_in_its_place_is_an_error(self):
        self.damage("UPDATE kernel SET name = 'other' WHERE id = 2")
        with self.assertRaisesRegex(ValueError, "kernel other"):
            self.check()

    def touched(self):
        fake_trace.pytorch_trace(self.folder / "torch.db")
        with contextlib.closing(figures.open_trace(self.folder / "torch.db")) as trace:
            return figures.rows(trace, figures.TOUCHED_BYTES)[0]

    def test_copies_touch_too_and_segments_do_not_count(self):
        self.assertEqual(self.touched(), (1400, 1400, 0))

    def test_an_untouched_workspace_is_told_apart_from_other_untouched_blocks(self):
        fake_trace.pytorch_trace(self.folder / "torch.db")
        with contextlib.closing(sqlite3.connect(self.folder / "torch.db")) as trace, trace:
            fake_trace.allocate(trace, "pool", "device", 500, 10, None, "c10")
            fake_trace.allocate(trace, "pool", "device", 700, 10, None, "c10")
            trace.execute("UPDATE device_allocation SET alloc_stack_id = 99 WHERE size = 500")
            trace.execute("INSERT INTO frame VALUES (99, 4, 'native', "
                          "'at::cuda::setWorkspaceForHandle(cublasContext*)', '', 0, '', 0)")
        with contextlib.closing(figures.open_trace(self.folder / "torch.db")) as trace:
            self.assertEqual(figures.rows(trace, figures.TOUCHED_BYTES)[0], (2600, 1400, 500))

    def test_too_few_touched_bytes_are_caught(self):
        for total, touched, good in ((1000, 999, True), (1000, 998, False), (0, 0, False)):
            checks = checking.Checks(out=lambda text: None)
            checking.check_touched(checks, "gpt2", total, touched)
            self.assertEqual(not checks.failed, good)

    def test_csv_gives_numbers_text_and_nothing(self):
        self.assertEqual(figures.from_csv('a,b,c\n1,"x, y",\n-2,,z\n'),
                         [[1, "x, y", None], [-2, None, "z"]])


class Inputs(WithTrace):
    def test_a_missing_trace_is_an_error(self):
        with self.assertRaisesRegex(figures.TraceError, "no trace at"):
            figures.open_trace(self.path)

    def test_a_file_that_is_no_trace_is_an_error(self):
        self.path.write_text("not a database, but long enough to be taken for one\n" * 40)
        with contextlib.closing(figures.open_trace(self.path)) as trace:
            with self.assertRaises(figures.TraceError):
                figures.activity_figures(trace)

    def test_missing_json_is_an_error(self):
        with self.assertRaises(FileNotFoundError):
            checking.load(self.folder / "none.json")

    def test_two_steps_give_no_steady_step(self):
        with self.assertRaises(figures.TraceError):
            figures.steady_step_seconds([1.0, 2.0])
        self.assertEqual(figures.steady_step_seconds([9.0, 8.0, 3.0, 1.0, 2.0]), 2.0)

    def test_the_profilers_trace_is_counted_by_category(self):
        events = [{"cat": "kernel"}, {"cat": "kernel"}, {"ph": "M"},
                  {"cat": "cuda_runtime"}, {"cat": "gpu_user_annotation"},
                  {"cat": "gpu_memcpy", "args": {"bytes": 5}},
                  {"cat": "gpu_memset", "args": {"bytes": 7}}]

        class Profiler:
            def export_chrome_trace(self, path):
                pathlib.Path(path).write_text(json.dumps({"traceEvents": events}))
        self.assertEqual(bookkeeping.count_events(Profiler()),
                         {"json_bytes": len(json.dumps({"traceEvents": events})), "kernels": 2, "memcpys": 1,
                          "memcpy_bytes": 5, "memsets": 1, "memset_bytes": 7})

    def test_names_of_gpus(self):
        for gpu, short in (("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA A100-SXM4-80GB", "a100"),
                           ("Tesla T4", "t4"), ("NVIDIA GB200", "gb200"),
                           ("NVIDIA GeForce RTX 4090", "rtx4090")):
            self.assertEqual(acceptance.short_name(gpu), short)


# A stand-in for a program under test: it writes JSON as the real one does, and prints.
FAKE_PYTORCH = """\
import json, sys
sys.path.insert(0, {here!r})
import fake_trace
bare, profiled, recorded = fake_trace.pytorch_runs()
run = profiled if "--profile" in sys.argv else bare
if "--steps" in sys.argv:
    run["losses"] = run["losses"][:int(sys.argv[sys.argv.index("--steps") + 1])]
if "--json" in sys.argv:
    json.dump(run, open(sys.argv[sys.argv.index("--json") + 1], "w"))
print("trained")
"""
FAKE_BESIDE_TRAINING = """\
import json, sys
sys.path.insert(0, {here!r})
import fake_trace
print(json.dumps(fake_trace.BESIDE_TRAINING_TOLD))
"""
FAKE_CUDA_TRAINER = """\
#!{python}
import json, os, sys
sys.path.insert(0, {here!r})
import fake_trace
if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
    sys.exit(3)
for option, content in (("--count", fake_trace.CUDA_TRAINER_COUNT),
                        ("--accesses", fake_trace.CUDA_TRAINER_ACCESSES)):
    if option in sys.argv:
        json.dump(content, open(sys.argv[sys.argv.index(option) + 1], "w"))
print("trained")
"""
FAKE_TIDEMARK = """\
#!{python}
import csv, json, os, sqlite3, subprocess, sys
sys.path.insert(0, {here!r})
import fake_trace
if sys.argv[1] == "sql":
    found = sqlite3.connect(sys.argv[2]).execute(sys.argv[3])
    csv.writer(sys.stdout).writerows([[column[0] for column in found.description], *found])
    sys.exit(0)
if "--format" in sys.argv and "iteration_window.db" in sys.argv[2]:
    print(json.dumps({{"training": {{"iterations": fake_trace.ITERATIONS}}}}))
    sys.exit(0)
if "--format" in sys.argv:
    print('{{"spaces": [{{"layer": "driver", "backward": {{}}}}, {{"layer": "pool", "backward": {{"saved_block": {{"blocks": 19}}, "order": {{"blocks": 0}}, '
          '"neighbours": {{"blocks": 0}}, "unknown": {{"blocks": 1}}}}}}]}}')
    sys.exit(0)
if sys.argv[1] != "record":
    print("text", sys.argv[1:], "--device=memory", "OUT OF MEMORY: 1 time", "Memory by layer",
          "Power of device:0", "The driver's memory pool on device:0", "Pages of managed memory",
          "opened through IPC", sep="\\n")
    sys.exit(0)
output = sys.argv[sys.argv.index("-o") + 1]
command = sys.argv[sys.argv.index("--") + 1:]
refused = "refused.py" in command[-1]
books = "driver_memory.py" in command[-1]
status = 0 if refused or books else subprocess.run(command).returncode
if refused:
    print('{{"held": 0, "refused": 2}}')
    fake_trace.refused_trace(output)
elif books:
    print(json.dumps(fake_trace.DRIVER_MEMORY_TOLD))
    fake_trace.driver_memory_trace(output)
elif "beside_training" in command[-1]:
    fake_trace.beside_training_trace(output)
elif "cuda_trainer" not in command[0]:
    fake_trace.pytorch_trace(output, int(command[command.index("--steps") + 1]) if "--steps" in command else 0)
    if any("--window=" in word for word in sys.argv):
        fake_trace.cut_to_window(output)
    if "--device=memory" in sys.argv:
        with sqlite3.connect(output) as trace:
            for table in ("kernel", "transfer", "memset", "access"):
                trace.execute(f"DELETE FROM {{table}}")
elif status == 3:
    fake_trace.empty(output).close()
else:
    fake_trace.cuda_trainer_trace(output)
    if "--access=off" in sys.argv:
        with sqlite3.connect(output) as trace:
            trace.execute("DELETE FROM access")
{fault}
sys.exit(status)
"""
FAKE_NVML = f"""\
int nvmlInit_v2(void) {{ return 0; }}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {{ *device = 0; return index; }}
int nvmlDeviceGetPowerUsage(void* device, unsigned* mw) {{ *mw = {fake_trace.POWER_MW}; return device != 0; }}
int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* mj) {{
  *mj = {fake_trace.ENERGY_MJ};
  return device != 0;
}}
"""
FAKE_NVIDIA_SMI = "#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 580.0'\n"


class WholeRun(WithTrace):
    """scripts/test-gpu from tarball to results.json, with every program a stand-in."""

    def program(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run_script(self, fault="", **environment):
        names = {"here": str(HERE), "python": sys.executable, "fault": textwrap.dedent(fault)}
        package = self.folder / "tidemark-0"
        self.program(package / "bin/tidemark", FAKE_TIDEMARK.format(**names))
        self.program(package / "share/cuda_trainer", FAKE_CUDA_TRAINER.format(**names))
        for name in ("gpt2", "resnet50"):
            self.program(self.folder / f"samples/pytorch/{name}.py", FAKE_PYTORCH.format(**names))
        self.program(self.folder / "samples/pytorch/beside_training.py", FAKE_BESIDE_TRAINING.format(**names))
        self.program(self.folder / "path/nvidia-smi", FAKE_NVIDIA_SMI)
        with tarfile.open(self.folder / "package.tar.gz", "w:gz") as archive:
            archive.add(package, arcname="tidemark-0")
        search = f"{self.folder / 'path'}{os.pathsep}{os.environ['PATH']}"
        (self.folder / "nvml.c").write_text(FAKE_NVML)
        subprocess.run(["cc", "-shared", "-o", self.folder / "path/libnvidia-ml.so.1", self.folder / "nvml.c"],
                       check=True)
        done = subprocess.run(
            [HERE.parents[1] / "scripts/test-gpu", self.folder / "package.tar.gz",
             self.folder / "out", "--samples", self.folder / "samples"],
            env={**os.environ, "PATH": search, "PYTHONDONTWRITEBYTECODE": "1",
                 "LD_LIBRARY_PATH": str(self.folder / "path"), **environment},
            capture_output=True, text=True, check=False)
        with open(self.folder / "out/results.json", encoding="utf-8") as file:
            return done, json.load(file)

    def test_true_traces_pass(self):
        done, results = self.run_script()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(results["failed"], 0)
        self.assertEqual({check["run"] for check in results["checks"]},
                         {"cuda_trainer", "accesses of cuda_trainer", "gpt2", "resnet50",
                          "gpt2-h100", "gpt2 profiling itself",
                          "cuda_trainer without a visible GPU", "refused by the driver", "the driver's own books", "beside training",
                          "power of gpt2", "power", "gpt2, memory alone", "gpt2, two iterations", "size of a step of gpt2"})
        self.assertEqual(results["gpu"], "NVIDIA H100 80GB HBM3")
        self.assertTrue((self.folder / "out/gpt2-h100.db").is_file())
        self.assertIn("step time recorded / bare", done.stdout)

    def test_one_fault_fails_the_run_and_is_named(self):
        fault = """
            import sqlite3
            with sqlite3.connect(output) as trace:
                trace.execute("DELETE FROM kernel WHERE name = 'c'")
            """
        done, results = self.run_script(fault)
        self.assertEqual(done.returncode, 1)
        self.assertEqual([(check["run"], check["what"]) for check in results["checks"]
                          if not check["ok"]],
                         [("gpt2", "kernels = torch.profiler's"),
                          ("resnet50", "kernels = torch.profiler's")])
        self.assertIn("FAIL    gpt2: kernels = torch.profiler's: expected 4, trace 3", done.stdout)

    def test_a_recording_that_changes_the_exit_status_fails(self):
        done, results = self.run_script("status = 9 if status == 3 else status")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([(check["run"], check["what"]) for check in results["checks"]
                          if not check["ok"]],
                         [("cuda_trainer without a visible GPU", "exit status")])

    def test_recordings_without_a_trace_fail_every_part(self):
        done, results = self.run_script("os.unlink(output)")
        self.assertEqual(done.returncode, 1)
        failed = {check["run"] for check in results["checks"] if not check["ok"]}
        self.assertEqual(failed, {"cuda_trainer", "accesses of cuda_trainer", "gpt2", "resnet50", "trace for samples/traces",
                                  "gpt2 profiling itself", "cuda_trainer without a visible GPU",
                                  "refused by the driver", "the driver's own books", "beside training",
                                  "power of gpt2", "gpt2, memory alone", "gpt2, two iterations",
                                  "size of a step of gpt2"})

    def test_no_gpu_is_a_failure_with_its_reason(self):
        self.program(self.folder / "none/nvidia-smi", "#!/bin/sh\nexit 9\n")
        search = f"{self.folder / 'none'}{os.pathsep}{os.environ['PATH']}"
        done, results = self.run_script(PATH=search)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nvidia-smi names no GPU", results["checks"][0]["measured"])


class Table(unittest.TestCase):
    def test_has_a_line_for_every_check_and_the_sum(self):
        printed = io.StringIO()
        checks = checking.Checks(out=lambda text: print(text, file=printed))
        checks.equal("a", "same", 1, 1)
        checks.equal("a", "other", 1, 2)
        lines = checks.table().splitlines()
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[-1], "2 checks, 1 failed")
        self.assertIn("FAIL    a: other: expected 1, trace 2", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
