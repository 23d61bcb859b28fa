"""SIGKILL at a random moment: every event before it is in the trace, which opens."""

import os
import random
import re
import signal
import subprocess
import threading
import time

import harness

KILLS = int(os.environ.get("TIDEMARK_TEST_KILLS", "5" if harness.SANITIZED else "20"))


class Kill(harness.HazardTest):
    def kill_once(self, seed):
        """The program writes each operation to a pipe after it has happened: what the pipe holds
        is what had happened before the kill."""
        path = self.path(f"kill{seed}.db")
        process = subprocess.Popen(
            [harness.TIDEMARK, "record", "-o", path, "--", harness.program("busy_until_killed")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid = int(process.stdout.readline().split()[1])
        done = {}
        started = threading.Event()

        def read():
            for line in process.stdout:
                match = re.fullmatch(r"(\d+) (\d+)\n", line)
                if match:
                    done[int(match[1])] = int(match[2])
                    started.set()

        reader = threading.Thread(target=read)
        reader.start()
        started.wait(harness.TIMEOUT_S)
        time.sleep(random.Random(seed).uniform(0.02, 0.4))
        os.kill(pid, signal.SIGKILL)
        stderr = process.stderr.read()
        reader.join(harness.TIMEOUT_S)
        status = process.wait(harness.TIMEOUT_S)
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(status, -signal.SIGKILL, stderr)
        recording = harness.Recording(
            path, subprocess.CompletedProcess([], status, "", stderr))
        self.assertTrue(done, "killed before it did anything: nothing was tested")
        # Thread t makes blocks of 100000*(t+1)+i bytes, i counting up, and frees every second one.
        for thread, steps in done.items():
            base = 100000 * (thread + 1)
            row = recording.sql(
                "select count(*) n, count(free_ns) freed, count(distinct size) kinds, "
                f"max(size) - {base} last from allocation where layer = 'heap' and "
                f"size >= {base} and size < {base + 100000} and process_id in "
                f"(select id from process where pid = {pid})")[0]
            self.assertGreaterEqual(row["n"], steps)
            self.assertEqual(row["n"], row["kinds"])
            self.assertEqual(row["last"], row["n"] - 1, "no gap")
            self.assertGreaterEqual(row["freed"], steps // 2)
        self.assertEqual(recording.losses(), {})
        self.assertEqual(
            recording.value(f"select exit from process where pid = {pid}"), 128 + signal.SIGKILL)

    def test_random_moments(self):
        for seed in range(KILLS):
            with self.subTest(seed=seed):
                self.kill_once(seed)


if __name__ == "__main__":
    harness.main()
