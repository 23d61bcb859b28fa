"""Runs a program bare and recorded, and asks the trace. Standard library only.

The build passes TIDEMARK (the program under test) and PROGRAMS (where the hazard programs lie).
"""

import bisect
import itertools
import json
import os
import subprocess
import sys
import tempfile
import unittest

TIDEMARK = os.environ["TIDEMARK"]
PROGRAMS = os.environ["PROGRAMS"]
TIMEOUT_S = 120
# Whether `tidemark record` itself is built with a sanitizer, which has demands of its own.
SANITIZED = bool(os.environ.get("TIDEMARK_SANITIZED"))


def program(name):
    return os.path.join(PROGRAMS, name)


def root(what):
    """Whether we are root; says on the console which hazard goes untested when we are not."""
    if os.getuid() == 0:
        return True
    print(f"\n*** NOT TESTED: {what} needs root; run the tests as root to test it ***",
          file=sys.stderr, flush=True)
    return False


def library(name):
    return os.path.join(PROGRAMS, f"lib{name}.so")


class Recording:
    """A finished `tidemark record`: what it printed, and its trace."""

    def __init__(self, path, completed):
        self.path = path
        self.stdout = completed.stdout
        self.stderr = completed.stderr
        self.returncode = completed.returncode

    def sql(self, query):
        result = subprocess.run([TIDEMARK, "sql", self.path, query, "--format", "json"],
                                capture_output=True, text=True, timeout=TIMEOUT_S)
        if result.returncode != 0:
            raise AssertionError(f"sql failed: {result.stderr.strip()}\n{query}")
        return json.loads(result.stdout)

    def value(self, query):
        rows = self.sql(query)
        return None if not rows else next(iter(rows[0].values()))

    def start_ns(self):
        """CLOCK_MONOTONIC at the trace's time 0."""
        return int(self.value("select value from meta where key = 'start_monotonic_ns'"))

    def losses(self, *severities):
        wanted = severities or ("data_loss", "error")
        return {row["name"]: row["count"] for row in self.sql("select * from loss")
                if row["severity"] in wanted and row["count"]}


def overlapping(rows):
    """The first two blocks that share a byte at one time, of rows with address, size, alloc_ns,
    free_ns (None: never); None when there are none. A free and an allocation at the same
    nanosecond do not meet."""
    events = []
    for row in rows:
        if row["free_ns"] == row["alloc_ns"]:
            continue  # it never lived
        events.append((row["alloc_ns"], 1, row["address"], row))
        if row["free_ns"] is not None:
            events.append((row["free_ns"], 0, row["address"], row))
    events.sort(key=lambda event: event[:3])
    starts, live = [], {}
    for _, begins, address, row in events:
        if not begins:
            if live.get(address) is row:
                del live[address]
                starts.pop(bisect.bisect_left(starts, address))
            continue
        at = bisect.bisect_left(starts, address)
        for neighbour in starts[max(at - 1, 0):at + 1]:
            other = live[neighbour]
            # A block of no bytes still has its address for itself.
            if (neighbour < address + max(row["size"], 1)
                    and address < neighbour + max(other["size"], 1)):
                return other, row
        starts.insert(at, address)
        live[address] = row
    return None


# Heap events are stamped by the processor's counter, processes by the kernel's clock; how far the two
# are apart between two looks of a collector that gets no processor (collector/tick_clock.h).
CLOCKS_DIFFER_NS = 1_000_000

# What is counted although nothing is wrong: how deep and how completely stacks could be taken.
HARMLESS = ("stacks_truncated", "stacks_incomplete", "stack_table_full", "processes_still_running",
            "mappings_not_readable", "processes_not_visible_in_proc")


class HazardTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tidemark-test-")
        self.addCleanup(self.folder.cleanup)

    def path(self, name="trace.db"):
        return os.path.join(self.folder.name, name)

    def record(self, *command, options=(), trace="trace.db", **kwargs):
        path = self.path(trace)
        completed = subprocess.run([TIDEMARK, "record", "-o", path, *options, "--", *command],
                                   capture_output=True, text=True, timeout=TIMEOUT_S, **kwargs)
        return Recording(path, completed)

    def record_unchanged(self, *command, options=(), trace="trace.db", **kwargs):
        """Records, and asserts that output and exit status are those of a bare run."""
        bare = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, **kwargs)
        recording = self.record(*command, options=options, trace=trace, **kwargs)
        self.assertEqual(recording.returncode, bare.returncode, recording.stderr)
        self.assertEqual(recording.stdout, bare.stdout)
        self.assertTrue(recording.stderr.startswith(bare.stderr),
                        f"bare:\n{bare.stderr}\nrecorded:\n{recording.stderr}")
        return recording

    def assert_nothing_lost(self, recording):
        self.assertEqual(recording.losses(), {})

    def assert_pairs(self, recording, **counts):
        """assert_pairs(recording, _1001=20): 20 blocks of 1001 bytes by malloc, each freed."""
        for size, count in counts.items():
            self.assertEqual(
                recording.sql("select count(*) n, count(free_ns) freed from allocation where "
                              f"api = 'malloc' and size = {size[1:]}"),
                [{"n": count, "freed": count}], size)

    def assert_consistent(self, recording, expected=(), but=()):
        """What holds of every trace of an allocator that works: each free comes after its
        allocation, live bytes are never negative, no two blocks of a layer share a byte at one time
        (so nothing is freed twice either), processes live as long as what they did.

        Every loss that says otherwise must be absent, of any severity, except those that `expected`
        names: they must be there. `but` names losses that may or may not be there.
        """
        losses = recording.losses("info", "data_loss", "error")
        allowed = set(expected) | set(but) | set(HARMLESS)
        self.assertEqual({name: count for name, count in losses.items() if name not in allowed}, {})
        self.assertLessEqual(set(expected), set(losses), "a loss that was expected was not counted")
        rows = recording.sql(
            "select process_id, layer, address, size, alloc_ns, free_ns, api from allocation "
            "where space = 'host' order by process_id, layer")
        for (process, layer), group in itertools.groupby(
                rows, key=lambda row: (row["process_id"], row["layer"])):
            group = list(group)
            changes = []
            for row in group:
                self.assertGreaterEqual(row["size"], 0, row)
                if row["free_ns"] is not None:
                    self.assertGreaterEqual(row["free_ns"], row["alloc_ns"], row)
                    changes.append((row["free_ns"], 1, -row["size"]))
                changes.append((row["alloc_ns"], 0, row["size"]))
            for live in itertools.accumulate(change for _, _, change in sorted(changes)):
                self.assertGreaterEqual(live, 0, (process, layer))
            pair = overlapping(group)
            self.assertIsNone(pair, f"process {process}, {layer}: two blocks share a byte")
        outside = recording.sql(
            "select p.pid, p.start_ns, p.end_ns, min(a.alloc_ns) first, max(a.alloc_ns) last "
            "from process p join allocation a on a.process_id = p.id group by p.id "
            f"having first < p.start_ns - {CLOCKS_DIFFER_NS} "
            f"or (p.end_ns is not null and last > p.end_ns + {CLOCKS_DIFFER_NS})")
        self.assertEqual(outside, [], "allocations outside the life of their process")


def main():
    unittest.main(verbosity=2)
