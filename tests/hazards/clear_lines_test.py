"""What cannot work gets one clear line; where the program can run, it runs unharmed."""

import os
import shutil
import sqlite3
import stat
import subprocess
import unittest

import harness


def run(*arguments, **kwargs):
    return subprocess.run([harness.TIDEMARK, *arguments], capture_output=True, text=True,
                          timeout=harness.TIMEOUT_S, **kwargs)


class ClearLines(harness.HazardTest):
    def assert_one_line(self, result, status, *words):
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def trace(self):
        return self.record("/bin/true").path

    def test_a_missing_command(self):
        self.assert_one_line(run("record", "-o", self.path(), "--", "no-such-command-here"), 127,
                             "no-such-command-here")
        self.assertFalse(os.path.exists(self.path()), "nothing was recorded, nothing is left")

    def test_a_command_that_is_not_executable(self):
        script = self.path("script")
        with open(script, "w", encoding="utf-8") as file:
            file.write("data")
        self.assert_one_line(run("record", "-o", self.path(), "--", script), 126, script)

    def test_an_unwritable_output(self):
        self.assert_one_line(run("record", "-o", "/no/such/folder/x.db", "--", "/bin/true"), 1,
                             "/no/such/folder")

    def test_an_output_that_is_another_file_of_the_users(self):
        precious = self.path("thesis.txt")
        with open(precious, "w", encoding="utf-8") as file:
            file.write("three years of work\n" * 100)
        result = run("record", "-o", precious, "--", "/bin/true")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(precious, result.stderr)
        with open(precious, encoding="utf-8") as file:
            self.assertEqual(file.read(), "three years of work\n" * 100)

    def test_a_file_that_is_no_trace(self):
        for name, content in (("empty", b""), ("text", b"hello\n" * 1000),
                              ("half", b"SQLite format 3\0" + b"\0" * 50)):
            path = self.path(name)
            with open(path, "wb") as file:
                file.write(content)
            for command in (["info"], ["report"], ["sql"]):
                query = ["select 1"] if command == ["sql"] else []
                self.assert_one_line(run(*command, path, *query), 2, path)
        foreign = self.path("foreign.db")
        with sqlite3.connect(foreign) as database:
            database.execute("create table allocation(id)")
        self.assert_one_line(run("info", foreign), 2, "not a tidemark trace")

    def test_a_missing_file(self):
        self.assert_one_line(run("report", self.path("absent.db")), 2, "absent.db")

    def test_a_trace_of_a_newer_version(self):
        path = self.trace()
        with sqlite3.connect(path) as database:
            database.execute("pragma user_version = 99")
        self.assert_one_line(run("info", path), 2, "99", "newer")

    def test_a_truncated_trace(self):
        path = self.record(harness.program("scripted_calls"), "1", "3").path
        whole = os.path.getsize(path)
        for keep in (whole // 2, whole - 5000):
            cut = self.path(f"cut{keep}.db")
            shutil.copy(path, cut)
            os.truncate(cut, keep)
            result = run("report", cut)
            self.assertLessEqual(len(result.stderr.splitlines()), 1)
            self.assertIn(result.returncode, (0, 1, 2))
            if result.returncode != 0:
                self.assertIn(cut, result.stderr)

    def test_a_command_that_does_not_exist(self):
        self.assert_one_line(run("reprot", "x.db"), 2, "reprot", "report")

    def test_no_command_behind_the_dashes(self):
        self.assert_one_line(run("record", "--"), 2, "--")

    def test_a_window_of_what_is_not_recorded(self):
        for device in ("memory", "off"):
            self.assert_one_line(
                run("record", "-o", self.path(), f"--device={device}", "--window=1s:2s", "--",
                    "/bin/true"), 2, "--window", f"--device={device}")
        self.assertFalse(os.path.exists(self.path()))

    def test_valgrind_is_declined_before_anything_starts(self):
        script = self.path("valgrind")
        started = self.path("started")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {started}\n")
        os.chmod(script, 0o755)
        self.assert_one_line(run("record", "-o", self.path(), "--", script, "/bin/true"), 2,
                             "valgrind", "malloc", "without")
        self.assertFalse(os.path.exists(started))
        self.assertFalse(os.path.exists(self.path()))

    def test_a_static_program_runs_unharmed_and_is_named(self):
        result = self.record_with_notice(harness.program("static_program"), "3")
        self.assertIn("static", result.stderr)
        self.assertEqual(result.losses("error").get("static_binary"), 1)

    def record_with_notice(self, *command):
        bare = subprocess.run(command, capture_output=True, text=True, timeout=harness.TIMEOUT_S)
        recording = self.record(*command)
        self.assertEqual((recording.returncode, recording.stdout), (bare.returncode, bare.stdout))
        return recording

    @unittest.skipIf(os.getuid() != 0, "making a file setuid for another user needs root")
    def test_a_setuid_program_runs_unharmed_and_is_named(self):
        program = self.path("setuid_true")
        os.chmod(self.folder.name, 0o755)
        shutil.copy("/bin/true", program)
        os.chown(program, 65534, 65534)
        os.chmod(program, os.stat(program).st_mode | stat.S_ISUID)
        recording = self.record(program)
        self.assertEqual(recording.returncode, 0)
        self.assertIn("setuid", recording.stderr)

    def test_exit_statuses_and_signals_pass_through(self):
        for command, status in ((["sh", "-c", "exit 42"], 42), (["sh", "-c", "kill -TERM $$"], -15),
                                (["sh", "-c", "kill -SEGV $$"], -11)):
            recording = self.record(*command)
            self.assertEqual(recording.returncode, status, command)

    def test_standard_input_and_output_pass_through(self):
        text = "line\n" * 100000
        recording = self.record_unchanged("cat", input=text)
        self.assertEqual(recording.stdout, text)

    def test_without_cupti_a_program_runs_and_the_trace_says_so(self):
        """A program that loads the CUDA library as the driver would, on a machine without CUPTI."""
        library = os.path.join(os.path.dirname(os.path.dirname(harness.TIDEMARK)), "lib",
                               "tidemark", "libtidemark_cuda.so")
        if not os.path.exists(library):
            self.skipTest("libtidemark_cuda.so was not built: no CUDA headers at build time")
        recording = self.record_unchanged(
            harness.program("load_injection"), library,
            env={"PATH": os.environ["PATH"], "TIDEMARK_CUPTI": "/nonexistent/libcupti.so"})
        self.assertEqual(recording.losses("error").get("cupti_unavailable"), 1)


if __name__ == "__main__":
    harness.main()
