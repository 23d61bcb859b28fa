"""A collector that stands still, or dies, while the program produces more than the rings hold."""

import os
import signal
import subprocess
import time

import harness

THREADS = 3
PAIRS = 20000


class SlowConsumer(harness.HazardTest):
    def start(self, *options):
        process = subprocess.Popen(
            [harness.TIDEMARK, "record", "-o", self.path(), *options, "--",
             harness.program("many_events"), str(THREADS), str(PAIRS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def go(self, process):
        process.stdin.write("\n")
        process.stdin.flush()

    def stand_still(self, *options, seconds=1.0):
        process = self.start(*options)
        os.kill(process.pid, signal.SIGSTOP)
        self.go(process)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGCONT)
        self.assertEqual(process.stdout.read(), "done\n")
        status = process.wait(harness.TIMEOUT_S)
        stderr = process.stderr.read()
        self.assertEqual(status, 7, stderr)
        return harness.Recording(
            self.path(), subprocess.CompletedProcess([], status, "", stderr))

    def test_the_program_waits(self):
        recording = self.stand_still()
        self.assert_consistent(recording)
        self.assertEqual(
            recording.sql("select count(*) n, count(free_ns) freed from allocation "
                          "where size = 1001"),
            [{"n": THREADS * PAIRS, "freed": THREADS * PAIRS}])

    def test_the_program_goes_on_and_every_event_is_accounted_for(self):
        for stacks in ("none", "all"):
            with self.subTest(stacks=stacks):
                recording = self.stand_still("--on-full=drop", f"--stacks={stacks}")
                losses = recording.losses("info", "data_loss", "error")
                dropped = losses.get("events_dropped_ring_full", 0)
                self.assertGreater(dropped, 0, "nothing was dropped: nothing was tested")
                row = recording.sql("select count(*) n, count(free_ns) freed from allocation "
                                    "where size = 1001")[0]
                # An allocation whose free was dropped ends when its address is handed out again.
                ended_by_others = losses.get("allocations_at_live_address", 0)
                frees = row["freed"] - ended_by_others + losses.get("frees_of_unknown_memory", 0)
                accounted = row["n"] + frees + dropped
                # What the threads themselves cost, both ways.
                others = recording.sql("select count(*) n, count(free_ns) freed from allocation "
                                       "where size <> 1001")[0]
                total = 2 * THREADS * PAIRS
                self.assertGreaterEqual(accounted, total)
                self.assertLessEqual(accounted, total + 200, (losses, row, others))
                self.assertNotIn("stacks_missing", losses)

    def test_a_killed_collector_harms_nobody(self):
        """Also not while nobody has asked for its exit status: its number is still in use then."""
        for waited in (False, True):
            with self.subTest(waited=waited):
                process = self.start()
                os.kill(process.pid, signal.SIGKILL)
                if waited:
                    process.wait(harness.TIMEOUT_S)
                else:
                    time.sleep(0.05)
                start = time.monotonic()
                self.go(process)
                self.assertEqual(process.stdout.read(), "done\n")
                self.assertLess(time.monotonic() - start, 60, "it waits for the dead")
                process.wait(harness.TIMEOUT_S)
                opened = subprocess.run([harness.TIDEMARK, "info", self.path()],
                                        capture_output=True, text=True, timeout=harness.TIMEOUT_S)
                self.assertEqual(opened.returncode, 0, opened.stderr)

    def test_a_collector_that_is_killed_while_the_program_waits_for_it(self):
        process = self.start()
        os.kill(process.pid, signal.SIGSTOP)
        self.go(process)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        self.assertEqual(process.stdout.read(), "done\n")
        process.wait(harness.TIMEOUT_S)


if __name__ == "__main__":
    harness.main()
