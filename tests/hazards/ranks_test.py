"""Ranks: each process has the one of its own environment, and the report sets them side by side."""

import json
import subprocess
import sys

import harness

LAUNCHER = """
import os, subprocess, sys
worker = "block = bytearray(int(sys.argv[1]) << 20)\\nblock[::4096] = b'x' * len(block[::4096])"
workers = []
for rank, mib in ((0, 8), (1, 40)):
    environment = {**os.environ, sys.argv[1]: str(rank)}
    workers.append(subprocess.Popen([sys.executable, "-c", "import sys\\n" + worker, str(mib)],
                                    env=environment))
sys.exit(max(worker.wait() for worker in workers))
"""


class Ranks(harness.HazardTest):
    def test_ranks_of_every_launcher(self):
        for variable in ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
            recording = self.record(sys.executable, "-c", LAUNCHER, variable)
            self.assertEqual(recording.returncode, 0, recording.stderr)
            self.assertEqual(
                recording.sql("select rank, count(*) as processes from process group by rank"),
                [{"rank": None, "processes": 1}, {"rank": 0, "processes": 1},
                 {"rank": 1, "processes": 1}], variable)

    def test_the_report_compares_them(self):
        recording = self.record(sys.executable, "-c", LAUNCHER, "RANK")
        report = subprocess.run(
            [harness.TIDEMARK, "report", recording.path, "--format", "json"],
            capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        ranks = json.loads(report.stdout)["ranks"]
        self.assertEqual([line["rank"] for line in ranks], [0, 1])
        # The launcher's 32 MiB more, whatever the interpreter itself takes.
        more = ranks[1]["heap_peak_bytes"] - ranks[0]["heap_peak_bytes"]
        self.assertAlmostEqual(more, 32 << 20, delta=1 << 20)


if __name__ == "__main__":
    harness.main()
