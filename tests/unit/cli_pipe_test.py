#!/usr/bin/env python3
"""What goes wrong around standard output: cli_pipe_test.py TIDEMARK MAKE_FIXTURES."""

import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

TIDEMARK, FIXTURES = sys.argv[1:3]

# More than a pipe holds, so that the writer meets the closed end.
ENDLESS = ("with recursive n(x) as (select 1 union all select x + 1 from n where x < 500000)"
           " select x from n")


class Pipe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="tidemark-cli-")
        subprocess.run([FIXTURES, cls.folder.name], check=True)
        cls.trace = str(pathlib.Path(cls.folder.name) / "gpu.db")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def end_reading_early(self, ignore_sigpipe):
        # A shell leaves SIGPIPE at its default, Python's children and some services ignore it.
        handler = signal.SIG_IGN if ignore_sigpipe else signal.SIG_DFL
        process = subprocess.Popen(
            [TIDEMARK, "sql", self.trace, ENDLESS, "--format", "csv"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, restore_signals=False,
            preexec_fn=lambda: signal.signal(signal.SIGPIPE, handler))
        self.assertEqual(process.stdout.readline(), b"x\r\n")
        process.stdout.close()
        status = process.wait(timeout=60)
        message = process.stderr.read()
        process.stderr.close()
        self.assertEqual(message, b"")
        return status

    def test_a_reader_that_has_gone_ends_the_command_quietly(self):
        self.assertEqual(self.end_reading_early(ignore_sigpipe=False), -signal.SIGPIPE)
        self.assertEqual(self.end_reading_early(ignore_sigpipe=True), 0)

    def test_a_full_disk_is_said_and_fails(self):
        with open("/dev/full", "wb") as full:
            for words in (["report", self.trace], ["sql", self.trace, ENDLESS], ["--help"]):
                done = subprocess.run([TIDEMARK, *words], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 1, words)
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
                self.assertIn(b"No space left", done.stderr)

    def test_output_to_a_file_is_the_same_as_to_the_terminal(self):
        out = pathlib.Path(self.folder.name) / "out.txt"
        subprocess.run([TIDEMARK, "report", self.trace, "-o", out], check=True)
        direct = subprocess.run([TIDEMARK, "report", self.trace], check=True, capture_output=True)
        self.assertEqual(out.read_bytes(), direct.stdout)
        self.assertGreater(len(direct.stdout), 1000)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
