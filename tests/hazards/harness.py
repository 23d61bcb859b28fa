"""Runs a program bare and recorded, and asks the trace. Standard library only.

The build passes TIDEMARK (the program under test) and PROGRAMS (where the hazard programs lie).
"""

import json
import os
import subprocess
import tempfile
import unittest

TIDEMARK = os.environ["TIDEMARK"]
PROGRAMS = os.environ["PROGRAMS"]
TIMEOUT_S = 120


def program(name):
    return os.path.join(PROGRAMS, name)


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

    def record_unchanged(self, *command, options=(), **kwargs):
        """Records, and asserts that output and exit status are those of a bare run."""
        bare = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, **kwargs)
        recording = self.record(*command, options=options, **kwargs)
        self.assertEqual(recording.returncode, bare.returncode, recording.stderr)
        self.assertEqual(recording.stdout, bare.stdout)
        self.assertTrue(recording.stderr.startswith(bare.stderr), recording.stderr)
        return recording

    def assert_nothing_lost(self, recording):
        self.assertEqual(recording.losses(), {})


def main():
    unittest.main(verbosity=2)
