#!/usr/bin/env python3
"""The parts of the acceptance run that have a file of their own: each planted fault must be caught."""

import contextlib
import unittest

import checks as checking
import fake_trace
import figures
import lines
import coexistence
import driver_memory
import iteration_window
import memory_alone
import pools
import power
import refused
from test_checks import WithTrace


class Pools(WithTrace):
    """--pools=expose against the sizes that a program printed."""

    def checked(self, lives, told=None, page=1):
        trace = fake_trace.empty(":memory:")
        for size, free_ns in lives:
            fake_trace.allocate(trace, "driver", "device", size, 10, free_ns, "cudaMalloc")
        checks = checking.Checks(lambda line: None)
        pools.check_exposed(checks, "run", told or {"sizes": [1, 2, 3, 4], "kept": [2, 4]}, trace,
                            page)
        trace.close()
        return [check["ok"] for check in checks.results]

    def test_each_array_once_and_in_order(self):
        self.assertEqual(self.checked([(1, 20), (2, None), (3, 21), (4, 50), (99, None)]),
                         [True, True])

    def test_whole_pages(self):
        told = {"sizes": [3, 5, 9], "kept": [5]}
        lives = [(4, 20), (8, None), (12, 21)]
        self.assertEqual(self.checked(lives, told, page=4), [True, True])
        self.assertEqual(self.checked(lives, told, page=2)[0], False)

    def test_an_array_that_is_missing_or_there_twice(self):
        self.assertEqual(self.checked([(1, 20), (2, None), (3, 21)]), [False, True])
        self.assertEqual(self.checked([(1, 20), (2, None), (3, 21), (4, None), (4, 30)])[0], False)

    def test_frees_that_do_not_come_or_come_too_late(self):
        self.assertEqual(self.checked([(1, None), (2, None), (3, 21), (4, 50)]), [True, False])
        self.assertEqual(self.checked([(1, 20), (2, 20), (3, 21), (4, 50)]), [True, False])
        self.assertEqual(self.checked([])[1], False)

    def test_a_trace_that_says_nothing_of_the_pool(self):
        trace = fake_trace.empty(":memory:")
        checks = checking.Checks(lambda line: None)
        pools.check_hidden(checks, "run", "jax", trace)
        trace.execute("INSERT INTO loss VALUES ('jax_pool_not_split_up', 'info', 1)")
        pools.check_hidden(checks, "run", "jax", trace)
        trace.close()
        self.assertEqual([check["ok"] for check in checks.results], [False, True])


class MemoryAlone(WithTrace):
    """--device=memory: blocks, and nothing of what uses them."""

    def failed(self, *damage, accesses=0, report="only allocations: --device=memory",
               losses=(3.5, 3.25)):
        fake_trace.pytorch_trace(self.path)
        self.damage("DELETE FROM kernel", "DELETE FROM transfer", "DELETE FROM memset", *damage)
        recorded = {**fake_trace.pytorch_runs()[2], "losses": [3.5, 3.25]}
        checks = checking.Checks(out=lambda text: None)
        with contextlib.closing(figures.open_trace(self.path)) as trace:
            memory_alone.check_memory_alone(checks, "run", list(losses), recorded, trace, accesses,
                                            report)
        self.path.unlink()
        return [check["what"] for check in checks.results if not check["ok"]]

    def test_blocks_alone_pass(self):
        self.assertEqual(self.failed(), [])

    def test_work_that_was_recorded_is_caught(self):
        for table in ("kernel", "transfer", "memset"):
            self.assertEqual(self.failed(f"INSERT INTO {table}(start_ns, end_ns) VALUES (1, 2)"),
                             ["kernels, copies, sets, accesses"])
        self.assertEqual(self.failed(accesses=1), ["kernels, copies, sets, accesses"])

    def test_a_block_that_is_missing_or_has_no_stack_is_caught(self):
        self.assertIn("pool allocations = allocation.all.allocated",
                      self.failed("DELETE FROM device_allocation WHERE size = 300"))
        self.assertEqual(self.failed("UPDATE device_allocation SET alloc_stack_id = NULL "
                                     "WHERE size = 300"), ["pool allocations without a stack"])

    def test_other_losses_and_a_silent_report_are_caught(self):
        self.assertEqual(self.failed(losses=(3.5, 3.0)), ["training losses unchanged"])
        self.assertEqual(self.failed(report="all is well"), ["the report says what is missing"])
        self.assertEqual(self.failed("INSERT INTO loss VALUES ('x', 'data_loss', 1)"),
                         ["serious losses of events"])


class DriverMemory(unittest.TestCase):
    TOLD = {"held": 128, "peak_held": 128, "used": 80, "peak_used": 112, "held_trimmed": 32, "used_trimmed": 16}
    POOLS = [[0, 0], [128, 112], [128, 80], [32, 16], [32, 0], [0, 0]]
    MOVED = {"HtoD": driver_memory.MANAGED, "DtoH": driver_memory.MANAGED, "cpu_fault": 0}
    IMPORTS = [[driver_memory.SHARED, 1], [driver_memory.SHARED, 0]]
    REPORT = ("The driver's memory pool on device:0: held\nPages of managed memory\n"
              "Memory of other processes, opened through IPC on device:0")

    def failed(self, pools=None, moved=None, imports=None, theirs=0, report=REPORT):
        checks = checking.Checks(out=lambda text: None)
        driver_memory.check_driver_memory(
            checks, "run", self.TOLD, self.POOLS if pools is None else pools, self.MOVED if moved is None else moved,
            self.IMPORTS if imports is None else imports, theirs, report)
        return [result["what"] for result in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(), [])

    def test_a_pool_of_another_size_is_caught(self):
        self.assertEqual(len(self.failed(pools=[])), 4)
        self.assertEqual(self.failed(pools=[*self.POOLS, [129, 112], [0, 0]]), ["memory pool: most held, most used"])
        for pools in (self.POOLS[:-1], [[32, 0], *self.POOLS[1:]]):
            self.assertEqual(self.failed(pools=pools), ["memory pool: held and used when it was created and destroyed"])
        self.assertEqual(self.failed(pools=[row for row in self.POOLS if row[1] != 16]),
                         ["memory pool: held and used when it was trimmed"])
        self.assertEqual(self.failed(pools=[row for row in self.POOLS if row[1] != 80]),
                         ["memory pool: held and used in between"])

    def test_pages_that_are_missing_or_told_twice_are_caught(self):
        for moved in ({}, {**self.MOVED, "DtoH": 0}, {**self.MOVED, "HtoD": 2 * driver_memory.MANAGED}):
            self.assertEqual(self.failed(moved=moved), ["managed pages: bytes to the device and back"])

    def test_imports_that_are_missing_open_or_counted_as_allocations_are_caught(self):
        for imports in ([], self.IMPORTS[:1], [[driver_memory.SHARED, 0]] * 2, [[None, 1], [None, 0]]):
            self.assertEqual(self.failed(imports=imports), ["imported memory: size, closed"])
        self.assertEqual(self.failed(theirs=1), ["device allocations of the process that imported"])

    def test_a_silent_report_is_caught(self):
        self.assertEqual(self.failed(report="all is well"), ["the report says"] * 3)


class Coexistence(unittest.TestCase):
    TOLD = fake_trace.BESIDE_TRAINING_TOLD
    TRACED = {"blocks": {4711: 2, 4712: 1}, "pinned": 1, "copies": 4, "triton": 1}

    def failed(self, told=None, losses=None, **traced):
        checks = checking.Checks(out=lambda text: None)
        coexistence.check_coexistence(checks, "run", self.TOLD, {**self.TOLD, **(told or {})},
                                      {**self.TRACED, **traced}, losses or {})
        return [result["what"] for result in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(), [])
        self.assertEqual(self.failed(told={"pid": 5}, blocks={5: 2, 4712: 1}), [])

    def test_a_program_that_is_harmed_is_caught(self):
        for told in ({"losses": [2.5, 2.26]}, {"forked_status": -11}, {"spawned_status": 1},
                     {"spawned": {**self.TOLD["spawned"], "total": 0.0}}):
            self.assertEqual(self.failed(told=told), ["losses, sum and status of its processes"])

    def test_what_is_missing_in_the_trace_is_caught(self):
        self.assertEqual(self.failed(blocks={4711: 2}), ["pool allocations of the spawned process"])
        self.assertEqual(self.failed(blocks={4711: 1, 4712: 1}), ["pool allocations of the program"])
        self.assertEqual(self.failed(pinned=0), ["blocks pinned by another thread"])
        self.assertEqual(self.failed(copies=3), ["copies from pinned memory"])
        self.assertEqual(self.failed(triton=0), ["kernels that torch.compile made"])
        self.assertEqual(self.failed(losses={"ring_full": 1}), ["serious losses of events"])


class IterationWindow(unittest.TestCase):
    ITERATIONS = [(100 * number, 100 * number + 100) for number in range(1, 9)]

    def failed(self, kernels=800, kept=205, outside=595, windows=((280, 480),), iterations=None):
        checks = checking.Checks(out=lambda text: None)
        iteration_window.check_iteration_window(checks, "run", kernels, kept, outside, windows,
                                                self.ITERATIONS if iterations is None else iterations)
        return [result["what"] for result in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(), [])

    def test_kernels_that_are_lost_or_kept_too_many_are_caught(self):
        self.assertEqual(self.failed(outside=594), ["kernels kept and left out = torch.profiler's"])
        self.assertEqual(self.failed(kept=230, outside=570), ["kernels kept"])

    def test_a_window_at_another_time_is_caught(self):
        begins, ends = "the window begins at the end of iteration 2", "the window ends at the end of iteration 4"
        self.assertEqual(self.failed(windows=((180, 480),)), [begins])
        self.assertEqual(self.failed(windows=((310, 480),)), [begins])
        self.assertEqual(self.failed(windows=((280, None),)), [ends])
        self.assertEqual(self.failed(windows=((280, 580),)), [ends])
        self.assertEqual(self.failed(windows=()), ["windows, iterations", begins, ends])

    def test_iterations_that_the_report_does_not_find_are_caught(self):
        self.assertEqual(len(self.failed(iterations=[])), 3)


class Refused(unittest.TestCase):
    def failed(self, told=None, rows=None, report="OUT OF MEMORY: 1 time\nMemory by layer"):
        checks = checking.Checks(out=lambda text: None)
        refused.check_refused(checks, "run", told or {"held": 0, "refused": 2},
                              rows if rows is not None else [["driver", refused.ASKED, refused.HELD]], report)
        return [result["what"] for result in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(), [])

    def test_a_refusal_that_is_missing_or_there_twice_is_caught(self):
        row = ["driver", refused.ASKED, refused.HELD]
        for rows in ([], [row, row], [["pool", *row[1:]]], [["driver", 1, refused.HELD]],
                     [["driver", refused.ASKED, None]]):
            self.assertEqual(len(self.failed(rows=rows)), 1, rows)

    def test_a_program_that_was_not_refused_is_caught(self):
        self.assertEqual(len(self.failed(told={"held": 0, "refused": 0})), 1)

    def test_a_report_that_does_not_open_with_it_is_caught(self):
        for report in ("Memory by layer", "Memory by layer\nOUT OF MEMORY", ""):
            self.assertEqual(self.failed(report=report), ["the report opens with it"])


class Lines(WithTrace):
    """Blocks 1 and 2 of a thread with Python, block 3 of autograd's."""

    EVIDENCE = {"saved_block": 90, "order": 4, "neighbours": 1, "unknown": 5}

    def failed(self, change="", evidence=None):
        trace = fake_trace.empty(":memory:")
        for size in (1, 2, 3):
            fake_trace.allocate(trace, "pool", "device", size, 10, 20, "c10")
        trace.execute("UPDATE device_allocation SET thread_id = 2, alloc_stack_id = 8 WHERE size = 3")
        if change:
            trace.execute(change)
        checks = checking.Checks(lambda line: None)
        lines.check_lines(checks, "run", figures.rows(trace, lines.BLOCKS_WITH_LINES), evidence or self.EVIDENCE)
        trace.close()
        return [check["what"] for check in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(), [])

    def test_a_block_of_forward_without_a_line_is_caught(self):
        what = ["blocks of forward and optimizer with a line of Python"]
        for change in ("UPDATE device_allocation SET alloc_stack_id = 8 WHERE size = 2",
                       "UPDATE frame SET line = 0 WHERE kind = 'python'",
                       "DELETE FROM device_allocation WHERE size < 3"):
            self.assertEqual(self.failed(change), what, change)

    def test_backward_without_enough_lines_is_caught(self):
        what = ["blocks of backward with a line of forward"]
        self.assertEqual(self.failed(evidence={**self.EVIDENCE, "unknown": 6}), what)
        self.assertEqual(self.failed(evidence=dict.fromkeys(self.EVIDENCE, 0)), what)

    def test_what_the_report_knows_of_backward(self):
        counts = {how: {"blocks": blocks, "bytes": 1} for how, blocks in self.EVIDENCE.items()}
        driver = {"layer": "driver", "backward": dict.fromkeys(counts, {"blocks": 1, "bytes": 1})}
        self.assertEqual(lines.evidence_in({"spaces": [driver, {"layer": "pool", "backward": counts}]}), self.EVIDENCE)
        with self.assertRaises(ValueError):
            lines.evidence_in({"spaces": [driver, {"layer": "pool", "backward": None}]})

    def test_a_step_that_takes_more_than_a_tenth_is_caught(self):
        for each, good in ((90, True), (110, False), (0, False)):
            checks = checking.Checks(lambda line: None)
            lines.check_size(checks, "run", {3: 5000, 23: 5000 + 20 * each}, 1000)
            self.assertEqual(not checks.failed, good, each)


class Power(unittest.TestCase):
    """NVML read at 10..11, 20..21 and so on: 70 W, and 5 mJ more each time."""

    READINGS = [(10 * i, 10 * i + 1, 70_000, 100 + 5 * i) for i in range(1, 8)]
    ROWS = [(10 * i + 5, 69_000, 102 + 5 * i) for i in range(1, 6)]

    def failed(self, rows):
        checks = checking.Checks(out=lambda text: None)
        power.check_power(checks, "run", self.READINGS, rows)
        return [result["what"] for result in checks.failed]

    def test_a_true_trace_passes(self):
        self.assertEqual(self.failed(self.ROWS), [])

    def test_energy_of_another_time_or_card_is_caught(self):
        for change in (-3, 4, 1000):
            rows = [*self.ROWS[:4], (55, 69_000, 127 + change)]
            self.assertEqual(self.failed(rows), ["rows whose energy lies outside of NVML's readings around them"])
        self.assertEqual(len(self.failed([*self.ROWS[:4], (55, 69_000, None)])), 1)

    def test_times_in_another_clock_are_caught(self):
        self.assertEqual(len(self.failed([(time_ns + 20, mw, mj) for time_ns, mw, mj in self.ROWS])), 1)

    def test_impossible_power_is_caught(self):
        self.assertEqual(self.failed([*self.ROWS, (66, 90_000, 133)]), ["highest power, W"])
        self.assertEqual(self.failed([(time_ns, 0, mj) for time_ns, _, mj in self.ROWS]), ["highest power, W"])

    def test_too_few_rows_are_caught(self):
        self.assertEqual(self.failed(self.ROWS[:2]), ["rows of device_power"])


if __name__ == "__main__":
    unittest.main()
