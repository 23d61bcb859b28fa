"""tidemark record --pid: a running process is recorded from now on, and let go unharmed."""

import os
import signal
import subprocess
import sys
import time
import unittest

import harness

ATTACHES = int(os.environ.get("TIDEMARK_TEST_ATTACHES", "50"))
KILLS = int(os.environ.get("TIDEMARK_TEST_ATTACH_KILLS", "20"))
WELL = 7


class Target:
    """A process that runs without us; says a line when it is ready."""

    def __init__(self, test, *command, **kwargs):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1, **kwargs)
        test.addCleanup(self.end)
        self.pid = self.process.pid
        test.assertEqual(self.line(), "ready")

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def order(self, text="go"):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self):
        out, err = self.process.communicate(timeout=harness.TIMEOUT_S)
        return self.process.returncode, out, err

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


class Recorder:
    """tidemark record --pid in the background; attached once constructed."""

    def __init__(self, test, pid, path, *options, wait=True):
        self.test = test
        self.path = path
        self.process = subprocess.Popen(
            [harness.TIDEMARK, "record", *options, "-o", path, "--pid", str(pid)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.end)
        if wait:
            self.first = self.process.stderr.readline()
            test.assertIn(f"recording process {pid}", self.first)

    def finish(self, stop=None):
        if stop is not None:
            self.process.send_signal(stop)
        out, err = self.process.communicate(timeout=harness.TIMEOUT_S)
        self.test.assertEqual((self.process.returncode, out), (0, ""), err)
        return harness.Recording(self.path, subprocess.CompletedProcess([], 0, out, err))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


class Attach(harness.HazardTest):
    def start(self, *arguments, **kwargs):
        return Target(self, harness.program("attach_target"), *arguments, **kwargs)

    def assert_consistent(self, recording):
        self.assertEqual(recording.losses(), {}, recording.stderr)
        self.assertEqual(recording.value(
            "select count(*) from allocation where free_ns < alloc_ns"), 0)
        self.assertEqual(recording.value("select value from meta where key = 'attached'"), "1")

    def assert_untouched(self, target, mask):
        status = status_of(target.pid)
        self.assertEqual(status["TracerPid"], "0")
        self.assertEqual(status["SigBlk"], mask)

    def attached_while_blocked(self, call):
        """On a busy machine the wait may be over before we come: then the next one is longer."""
        for seconds in (4, 16, 64):
            target = self.start("blocked", call, str(seconds))
            mask = status_of(target.pid)["SigBlk"]
            recorder = Recorder(self, target.pid, self.path(f"{call}{seconds}.db"), wait=False)
            first = recorder.process.stderr.readline()
            if f"recording process {target.pid}" in first:
                break
            self.assertRegex(first, f"process {target.pid} .*has ended")
        return target, mask, recorder

    def made(self, target):
        target.order("count")
        return int(target.line())

    def test_threads_that_allocate_all_the_time_until_the_process_ends(self):
        target = self.start("threads", "8")
        recorder = Recorder(self, target.pid, self.path())
        before = self.made(target)
        while self.made(target) < before + 200000:
            pass
        target.order("end")
        self.assertEqual(target.wait(), (WELL, "", ""))
        recording = recorder.finish()
        self.assert_consistent(recording)
        rows = recording.sql("select size, count(*) n, count(free_ns) freed from allocation "
                             "where layer = 'heap' and size between 3001 and 3008 group by size")
        self.assertEqual(len(rows), 8)
        for row in rows:
            self.assertEqual(row["n"], row["freed"], "the threads free all that they made")
        # What was alive when we came: 32 blocks of each thread, at most.
        unknown = {row["name"]: row["count"] for row in recording.sql("select * from loss")}
        self.assertGreater(unknown.get("frees_of_blocks_from_before_attach", 0), 0)
        self.assertEqual(recording.value("select count(*) from process"), 1)
        self.assertGreater(recording.value(
            "select count(*) from frame where function like '%churn%'"), 0)

    def test_many_attaches_in_a_row(self):
        target = self.start("threads", "2")
        mask = status_of(target.pid)["SigBlk"]
        for round_number in range(ATTACHES):
            recorder = Recorder(self, target.pid, self.path(f"round{round_number}.db"))
            before = self.made(target)
            while self.made(target) < before + 1000:
                pass
            recording = recorder.finish(signal.SIGINT)
            self.assert_untouched(target, mask)
            self.assert_consistent(recording)
            self.assertGreater(recording.value(
                "select count(*) from allocation where size between 3001 and 3008"), 500)
            self.assertLessEqual(recording.value(
                "select count(*) from allocation where layer = 'heap' and free_ns is null "
                "and size between 3001 and 3008"), 2 * 33)
            for name in ("", "-wal", "-shm"):
                if os.path.exists(recording.path + name):
                    os.remove(recording.path + name)
        target.order("end")
        self.assertEqual(target.wait(), (WELL, "", ""))

    def test_killed_while_attaching_the_process_runs_on(self):
        target = self.start("threads", "4")
        for attempt in range(KILLS):
            recorder = Recorder(self, target.pid, self.path(f"kill{attempt}.db"), wait=False)
            # From before the first look at the process to well after the attach.
            time.sleep(0.02 + 0.3 * attempt / KILLS)
            recorder.process.kill()
            recorder.process.wait()
            before = self.made(target)
            while self.made(target) < before + 1000:
                pass
        recorder = Recorder(self, target.pid, self.path("after.db"))
        self.assert_consistent(recorder.finish(signal.SIGINT))
        target.order("end")
        self.assertEqual(target.wait(), (WELL, "", ""))

    def test_a_blocked_process_goes_on_waiting(self):
        for call in ("nanosleep", "sleep", "poll", "select", "epoll", "recv", "sigtimedwait",
                     "futex", "semaphore", "read"):
            with self.subTest(call=call):
                target, mask, recorder = self.attached_while_blocked(call)
                if call != "sigtimedwait":
                    self.assert_untouched(target, mask)
                if call == "read":
                    target.order("x")
                expected = "read 1 " if call == "read" else f"{call} 0 "
                self.assertEqual(target.wait(), (WELL, expected + "\n", ""))
                recording = recorder.finish()
                self.assert_consistent(recording)
                self.assertEqual(recording.sql(
                    "select count(*) n, count(free_ns) freed from allocation where size = 4242"),
                    [{"n": 10, "freed": 5}])

    def test_libraries_and_children_that_come_later(self):
        program = harness.program("attach_target")
        target = self.start("children", harness.library("attach_library"), program)
        recorder = Recorder(self, target.pid, self.path())
        target.order()
        self.assertEqual(target.line(), "done")
        recording = recorder.finish(signal.SIGINT)
        target.order()
        self.assertEqual(target.wait(), (WELL, "", ""), "and its environment is its own again")
        self.assert_consistent(recording)
        counts = {row["size"]: (row["n"], row["freed"]) for row in recording.sql(
            "select size, count(*) n, count(free_ns) freed from allocation "
            "where size in (5353, 5454, 5555, 5656, 6161) group by size")}
        self.assertEqual(counts, {5353: (100, 100), 5454: (50, 50), 5555: (10, 10), 5656: (10, 10)})
        commands = recording.sql("select pid, parent_id, command from process order by id")
        self.assertEqual(commands[0]["pid"], target.pid)
        self.assertTrue(all(row["parent_id"] for row in commands[1:]), commands)

    def test_python(self):
        script = ("import sys, time\nprint('ready', flush=True)\nsys.stdin.readline()\n"
                  "import json, sqlite3, decimal\n"
                  "def own():\n    return [bytearray(70707) for _ in range(20)]\n"
                  "kept = own()\nkept.clear()\nprint('bye', flush=True)\n")
        for python in interpreters():
            with self.subTest(python=python):
                target = Target(self, python, "-c", script)
                recorder = Recorder(self, target.pid, self.path("python.db"))
                target.order()
                self.assertEqual(target.wait(), (0, "bye\n", ""))
                recording = recorder.finish()
                self.assert_consistent(recording)
                rows = recording.sql("select count(*) n, count(free_ns) freed from allocation "
                                     "where layer = 'heap' and size between 70707 and 70720")
                self.assertEqual(rows, [{"n": 20, "freed": 20}])

    def refused(self, pid, *words, **kwargs):
        result = subprocess.run(
            [harness.TIDEMARK, "record", "-o", self.path("refused.db"), "--pid", str(pid)],
            capture_output=True, text=True, timeout=harness.TIMEOUT_S, **kwargs)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(self.path("refused.db")), "nothing is left behind")

    def test_what_an_earlier_recording_left_without_the_heap(self):
        """Its recorder was killed; the library without malloc stays, and the whole one comes beside it."""
        script = ("import os\nprint(os.getpid(), flush=True)\ninput()\n"
                  "for _ in range(30): bytearray(123456)\n"
                  "print('done', flush=True)\ninput()\n")
        earlier = subprocess.Popen(
            [harness.TIDEMARK, "record", "--host=off", "-o", self.path("earlier.db"), "--",
             sys.executable, "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(earlier.stdin.close)
        self.addCleanup(earlier.stdout.close)
        pid = int(earlier.stdout.readline())
        self.addCleanup(os.kill, pid, signal.SIGKILL)  # before its pipes close: it waits for a line
        earlier.kill()
        earlier.wait()
        recorder = Recorder(self, pid, self.path())
        earlier.stdin.write("go\n")
        earlier.stdin.flush()
        self.assertEqual(earlier.stdout.readline(), "done\n")
        recording = recorder.finish(stop=signal.SIGINT)
        self.assert_consistent(recording)
        # A bytearray has a byte more than it shows.
        self.assertEqual(
            recording.sql("select count(*) n, count(free_ns) freed from allocation "
                          "where layer = 'heap' and size between 123456 and 123460"),
            [{"n": 30, "freed": 30}])

    def test_refusals_are_one_line_each(self):
        target = self.start("blocked", "read")
        self.refused(2 ** 22 - 3, "there is no process")
        zombie = subprocess.Popen(["/bin/true"])
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        self.refused(zombie.pid, "has ended")
        zombie.wait()
        static = subprocess.Popen([harness.program("static_program"), "wait"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        static.stdout.readline()
        self.refused(static.pid, "statically linked")
        static.communicate("\n")
        first = Recorder(self, target.pid, self.path("first.db"))
        self.refused(target.pid, "being recorded by tidemark already")
        first.finish(signal.SIGINT)
        os.kill(target.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, target.pid, os.WSTOPPED)
        self.refused(target.pid, "is stopped", f"kill -CONT {target.pid}")
        os.kill(target.pid, signal.SIGCONT)
        target.order()
        self.assertEqual(target.wait()[0], WELL)

    def test_a_thread_id_and_a_kernel_thread(self):
        target = self.start("threads", "1")
        thread = max(int(tid) for tid in os.listdir(f"/proc/{target.pid}/task"))
        self.refused(thread, f"use --pid {target.pid}")
        target.order("end")
        target.wait()
        if os.path.exists("/proc/2/status") and "VmSize" not in status_of(2):
            self.refused(2, "thread of the kernel")

    @unittest.skipIf(os.getuid() != 0, "becoming another user needs root")
    def test_another_users_process(self):
        target = self.start("blocked", "read")
        os.chmod(self.folder.name, 0o777)
        self.refused(target.pid, "belongs to user", user=65534)

    def test_a_process_that_is_being_debugged(self):
        """A process has one tracer."""
        target = self.start("blocked", "read")
        result = subprocess.run(
            [sys.executable, "-c", TRACE_AND_WAIT, str(target.pid), harness.TIDEMARK,
             self.path("traced.db")], capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("is being traced by process", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_wrong_use(self):
        for options, word in ((["--pid", "12", "--", "true"], "leave the command out"),
                              (["--pid", "no"], "--pid"), (["--pid", "-3"], "--pid")):
            result = subprocess.run([harness.TIDEMARK, "record", *options], capture_output=True,
                                    text=True, timeout=harness.TIMEOUT_S)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(word, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)


# Traces the process as a debugger would, and meanwhile lets tidemark try.
TRACE_AND_WAIT = """
import ctypes, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
assert libc.ptrace(0x4206, pid, None, None) == 0  # PTRACE_SEIZE
result = subprocess.run([sys.argv[2], "record", "-o", sys.argv[3], "--pid", str(pid)],
                        capture_output=True, text=True)
sys.stderr.write(result.stderr)
sys.exit(result.returncode)
"""


def interpreters():
    found = []
    for candidate in ("/usr/bin/python3", os.path.realpath(sys.executable)):
        if os.path.exists(candidate) and os.path.realpath(candidate) not in found:
            found.append(os.path.realpath(candidate))
    return found


if __name__ == "__main__":
    harness.main()
