"""--max-size: a trace that stays below its size, whose totals and peaks are exact all the same."""

import json
import os
import shutil
import signal
import subprocess
import time

import harness

MIB = 1 << 20
LIMIT = 16 * MIB
SUMS = ("allocations", "allocated_bytes", "frees", "freed_bytes", "peak_bytes")


def answer(path, *words):
    done = subprocess.run([harness.TIDEMARK, words[0], path, *words[1:]], capture_output=True,
                          text=True, timeout=harness.TIMEOUT_S)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout, done.stderr


def size_of(path):
    """The file with its journal and the journal's index."""
    total = 0
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            total += os.stat(path + suffix).st_size
        except FileNotFoundError:
            pass
    return total


class MaxSize(harness.HazardTest):
    def start(self, *arguments, trace="trace.db", options=(), limit=LIMIT):
        path = self.path(trace)
        process = subprocess.Popen(
            [harness.TIDEMARK, "record", "-o", path, f"--max-size={limit}", *options, "--",
             harness.program("many_blocks"), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return path, process

    def watch(self, path, process):
        """Sizes while it runs, then the finished recording."""
        sizes = []
        while process.poll() is None:
            sizes.append(size_of(path))
            time.sleep(0.005)
        stdout, stderr = process.communicate()
        return sizes, harness.Recording(
            path, subprocess.CompletedProcess([], process.returncode, stdout, stderr))

    def said(self, recording):
        self.assertEqual(recording.returncode, 0, recording.stderr)
        return dict(zip(SUMS, map(int, recording.stdout.split())))

    def totals(self, recording):
        return recording.sql(
            "select " + ", ".join(f"sum({name}) {name}" for name in SUMS[:-1]) +
            " from host_total where api = 'memalign'")[0]

    def condensed(self, limit=LIMIT, count=6_000_000):
        path, process = self.start(count, limit=limit)
        sizes, recording = self.watch(path, process)
        return sizes, recording

    def test_the_trace_stays_below_its_size_and_its_totals_are_those_of_the_program(self):
        sizes, recording = self.condensed()
        said = self.said(recording)
        # Without the limit it would be larger: something was there to be condensed.
        condensed = int(recording.value("select value from meta where key = "
                                        "'condensed_allocations'"))
        self.assertGreater(condensed, said["allocations"] // 10)
        self.assertGreater(len([size for size in sizes if size > LIMIT // 2]), 10)
        self.assertLessEqual(max(sizes), LIMIT)
        self.assertLessEqual(size_of(recording.path), LIMIT)
        self.assert_nothing_lost(recording)
        self.assertEqual(self.totals(recording),
                         {name: said[name] for name in SUMS if name != "peak_bytes"})
        # Each row that is gone is one of those counted, and none that lives is gone.
        rows = recording.value("select count(*) from allocation")
        self.assertEqual(rows + condensed,
                         recording.value("select sum(allocations) from host_total"))
        self.assertEqual(
            recording.value("select count(*) from allocation where free_ns is null and "
                            "api = 'memalign'"), said["allocations"] - said["frees"])
        # Its peak was at the beginning, of which no row is left.
        wave = recording.sql("select count(*) n, coalesce(max(size), 0) size from allocation where "
                             f"size = {MIB}")[0]
        self.assertEqual(wave["n"], 0)
        self.assertEqual(recording.value(f"select max(peak_bytes) from host_total where "
                                         f"allocations = 200 and allocated_bytes = {200 * MIB}"),
                         said["peak_bytes"])

    def test_a_report_has_the_peak_and_the_totals_of_an_unlimited_recording(self):
        full = self.record(harness.program("many_blocks"), "1000000", trace="full.db")
        reference = self.record(harness.program("many_blocks"), "6000000", trace="sums.db",
                                options=("--host=aggregate",))
        _, limited = self.condensed()
        self.assertEqual(full.returncode, 0, full.stderr)
        self.assertGreater(size_of(full.path), LIMIT // 6)
        reports = [json.loads(answer(each.path, "report", "--format", "json")[0])
                   for each in (reference, limited)]
        heaps = [next(space for space in report["spaces"] if space["layer"] == "heap")
                 for report in reports]
        for key in ("peak_bytes", "allocations", "frees", "allocated_bytes", "unfreed_bytes",
                    "unfreed_count"):
            self.assertEqual(heaps[1][key], heaps[0][key], key)
        self.assertEqual(heaps[1]["at_peak"]["bytes"], heaps[0]["at_peak"]["bytes"])
        self.assertEqual(heaps[1]["at_peak"]["groups"], heaps[0]["at_peak"]["groups"])
        self.assertEqual(heaps[1]["leaked"]["bytes"], heaps[0]["leaked"]["bytes"])
        self.assertEqual(reports[1]["events"], reports[0]["events"])

    def test_what_was_condensed_is_told_everywhere(self):
        _, recording = self.condensed(count=3_000_000)
        condensed = json.loads(answer(recording.path, "info", "--json")[0])["condensed"]
        count = f"{condensed['host_allocations']:,}"
        self.assertGreater(condensed["until_ns"], 0)
        for text in (recording.stderr, answer(recording.path, "info")[0],
                     answer(recording.path, "report")[0]):
            self.assertIn(count, text)
            self.assertIn("--max-size", text)
        self.assertEqual(
            json.loads(answer(recording.path, "report", "--format", "json")[0])["condensed"],
            condensed)
        self.assertIn(count, answer(recording.path, "sql", "select count(*) from allocation")[1])
        self.assertEqual(answer(recording.path, "sql", "select count(*) from process")[1], "")
        self.assertEqual(recording.value("select count from loss where name = "
                                         "'allocations_condensed'"), condensed["host_allocations"])

    def test_more_that_lives_than_fits_leaves_the_sums(self):
        path, process = self.start(6_000_000, 90)
        sizes, recording = self.watch(path, process)
        said = self.said(recording)
        self.assertLessEqual(max(sizes), LIMIT)
        self.assertLessEqual(size_of(path), LIMIT)
        self.assertEqual(recording.value("select count(*) from allocation"), 0)
        self.assertGreater(recording.losses("info").get("live_allocations_condensed", 0), 0)
        self.assertEqual(self.totals(recording),
                         {name: said[name] for name in SUMS if name != "peak_bytes"})

    def has_condensed(self, path):
        """Asks a copy, which may be torn: a reader of the trace itself would keep its journal from
        being emptied."""
        copy = self.path("copy.db")
        for suffix in ("", "-wal"):
            shutil.copyfile(path + suffix, copy + suffix)
        done = subprocess.run([harness.TIDEMARK, "info", "--json", copy], capture_output=True,
                              text=True, timeout=harness.TIMEOUT_S)
        return done.returncode == 0 and "condensed" in json.loads(done.stdout)

    def kill(self, whom):
        path, process = self.start(30_000_000)
        deadline = time.monotonic() + harness.TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            # The first sums are written when something is about to be condensed.
            if size_of(path) > LIMIT // 2 and self.has_condensed(path):
                break
            time.sleep(0.1)
        self.assertIsNone(process.poll(), "it ended before it could be killed")
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)],
                                  capture_output=True, text=True).stdout.split()
        self.assertTrue(children, "the program that is recorded is not there")
        victims = [int(children[0])]
        if whom == "collector":
            victims.insert(0, process.pid)  # the program would run on
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        _, stderr = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertLessEqual(size_of(path), LIMIT)
        return harness.Recording(
            path, subprocess.CompletedProcess([], process.returncode, "", stderr))

    def assert_readable(self, recording):
        report = json.loads(answer(recording.path, "report", "--format", "json")[0])
        heap = next(space for space in report["spaces"] if space["layer"] == "heap")
        self.assertGreaterEqual(heap["peak_bytes"], 200 * MIB)
        condensed = report["condensed"]["host_allocations"]
        self.assertGreater(condensed, 0)
        rows = recording.sql("select count(*) n, count(free_ns) frees from allocation")[0]
        sums = recording.sql("select sum(allocations) n, sum(frees) frees from host_total")[0]
        return condensed, rows, sums

    def test_a_killed_program_leaves_a_trace_that_adds_up(self):
        recording = self.kill("program")
        self.assertEqual(recording.returncode, -signal.SIGKILL)
        condensed, rows, sums = self.assert_readable(recording)
        self.assertEqual(rows["n"] + condensed, sums["n"])

    def test_a_killed_collector_leaves_a_trace_that_can_be_read(self):
        recording = self.kill("collector")
        condensed, rows, sums = self.assert_readable(recording)
        # What was in open chunks is in the sums only.
        self.assertLessEqual(rows["n"] + condensed, sums["n"])
        self.assertGreater(rows["n"] + condensed, sums["n"] - 500_000)

    def test_a_size_that_is_none_or_too_small_is_one_clear_line(self):
        for text, why in (("15MiB", "16.0 MiB"), ("many", "is no size"), ("2Gib2", "is no unit"),
                          ("-1", "is no size")):
            done = subprocess.run(
                [harness.TIDEMARK, "record", "-o", self.path(), f"--max-size={text}", "--", "true"],
                capture_output=True, text=True, timeout=harness.TIMEOUT_S)
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn("--max-size", done.stderr)
            self.assertIn(why, done.stderr)
            self.assertFalse(os.path.exists(self.path()))


if __name__ == "__main__":
    harness.main()
