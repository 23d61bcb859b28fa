"""What repeat.py concludes: a test that fails once in many is found, and what was not run is told."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class Repeat(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_list(self, commands, *options):
        path = os.path.join(self.folder, "tests.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"tests": [
                {"name": name, "command": command,
                 "properties": [{"name": "ENVIRONMENT",
                                 "value": [f"FOLDER={self.folder}", "A=b=c", "D=e", "f"]}]}
                for name, command in commands.items()]}, file)
        return subprocess.run([sys.executable, os.path.join(HERE, "repeat.py"), path, *options],
                              capture_output=True, text=True, check=False)

    def test_all_pass(self):
        done = self.run_list({"a": ["/bin/true"], "b": ["sh", "-c", '[ "$A" = b=c ]'],
                              "a value that ctest splits": ["sh", "-c", '[ "$D" = "e;f" ]']},
                             "--repeat", "5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("15 runs passed, 0 failed, 0 not begun", done.stdout)

    def test_one_failure_among_many(self):
        # The third run alone fails.
        script = 'echo x >>"$FOLDER/n"; [ $(wc -l <"$FOLDER/n") != 3 ] || { echo planted; exit 1; }'
        failures = os.path.join(self.folder, "failures")
        done = self.run_list({"mostly": ["sh", "-c", script]}, "--repeat", "9", "--jobs", "1",
                             "--failures", failures)
        self.assertEqual(done.returncode, 1)
        self.assertIn("8 runs passed, 1 failed", done.stdout)
        with open(failures, encoding="utf-8") as file:
            self.assertEqual(file.read(), "==== mostly\nplanted\n\n")

    def test_time_that_is_up_is_no_success(self):
        done = self.run_list({"a": ["/bin/true"]}, "--repeat", "5", "--seconds", "0", "--jobs", "1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("not begun", done.stdout)

    def test_an_empty_list_is_no_success(self):
        self.assertEqual(self.run_list({}).returncode, 1)


if __name__ == "__main__":
    unittest.main()
