"""--pools=expose: a program whose Python modules look like those of CuPy and JAX.

Whatever is installed beside the interpreter that runs this, the programs see only its standard library
and what the tests write: they run in a virtual environment with nothing in it."""

import os
import subprocess
import venv

import harness

CUPY = """
class cuda:
    said = []
    @staticmethod
    def set_allocator(what): cuda.said.append(("device", what))
    @staticmethod
    def set_pinned_memory_allocator(what): cuda.said.append(("pinned", what))
"""
PROGRAM = """
import os, sys
print([name for name in ("XLA_PYTHON_CLIENT_ALLOCATOR", "TF_GPU_ALLOCATOR") if name in os.environ])
print("mine" if getattr(sys, "mine", None) else "nobody's")
print([finder for finder in sys.meta_path if "Cupy" in type(finder).__name__] == [])
import cupy
print(cupy.cuda.said, cupy.__spec__.name, "sitecustomize" in sys.modules)
import cupy
print(any(folder.endswith("lib/tidemark/python") for folder in sys.path))
"""


class Pools(harness.HazardTest):
    def setUp(self):
        super().setUp()
        venv.create(self.path("python"), symlinks=True)
        self.python = self.path("python/bin/python3")
        self.modules = self.path("modules")
        os.mkdir(self.modules)
        self.write("cupy.py", CUPY)
        os.environ["PYTHONPATH"] = self.modules
        self.addCleanup(os.environ.pop, "PYTHONPATH")

    def write(self, name, text):
        with open(os.path.join(self.modules, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_program(self, *options, program=PROGRAM, arguments=()):
        recording = self.record(self.python, *arguments, "-c", program, options=options)
        self.assertEqual(recording.returncode, 0, recording.stderr)
        return recording

    def test_frameworks_are_told_and_nothing_else_changes(self):
        recording = self.run_program("--pools=expose")
        self.assertEqual(recording.stdout.splitlines(), [
            "['XLA_PYTHON_CLIENT_ALLOCATOR', 'TF_GPU_ALLOCATOR']", "nobody's", "False",
            "[('device', None), ('pinned', None)] cupy True", "False"])
        self.assertIn("cupy.cuda.set_allocator=None",
                      recording.value("select value from meta where key = 'pools_exposed_by'"))

    def test_without_it_nothing_is_said(self):
        recording = self.run_program()
        # Some distributions bring a sitecustomize of their own.
        own = subprocess.run([self.python, "-c", "import sys; print('sitecustomize' in sys.modules)"],
                             check=True, capture_output=True, text=True).stdout.strip()
        self.assertEqual(recording.stdout.splitlines(),
                         ["[]", "nobody's", "True", f"[] cupy {own}", "False"])
        self.assertEqual(recording.sql("select value from meta where key = 'pools_exposed_by'"), [])

    def test_the_user_s_own_sitecustomize_has_its_turn(self):
        self.write("sitecustomize.py", "import sys; sys.mine = True")
        recording = self.run_program("--pools=expose")
        self.assertIn("mine", recording.stdout.splitlines())
        self.assertIn("[('device', None), ('pinned', None)] cupy True", recording.stdout)
        self.write("sitecustomize.py", "raise ValueError('mine')")
        recording = self.run_program("--pools=expose", program="print(1)")
        bare = self.run_program(program="print(1)")
        self.assertEqual(recording.stdout, bare.stdout)
        self.assertIn("ValueError: mine", bare.stderr)
        self.assertIn("ValueError: mine", recording.stderr)

    def test_an_isolated_interpreter_and_one_without_site(self):
        for flag in ("-I", "-S", "-E"):
            recording = self.run_program("--pools=expose", program="print('ran')", arguments=(flag,))
            self.assertEqual(recording.stdout, "ran\n")

    def test_a_cupy_that_is_not_there_and_one_that_knows_no_allocators(self):
        missing = "try:\n  import cupy\nexcept ImportError as e: print(type(e).__name__, e)"
        os.remove(os.path.join(self.modules, "cupy.py"))
        recording = self.run_program("--pools=expose", program=missing)
        self.assertEqual(recording.stdout, "ModuleNotFoundError No module named 'cupy'\n")
        self.write("cupy.py", "x = 1")
        recording = self.run_program("--pools=expose", program="import cupy; print(cupy.x)")
        self.assertEqual(recording.stdout, "1\n")

    def test_a_user_who_has_chosen_is_left_alone(self):
        os.environ["XLA_PYTHON_CLIENT_ALLOCATOR"] = "bfc"
        self.addCleanup(os.environ.pop, "XLA_PYTHON_CLIENT_ALLOCATOR")
        recording = self.run_program(
            "--pools=expose",
            program="import os; print(os.environ['XLA_PYTHON_CLIENT_ALLOCATOR'])")
        self.assertEqual(recording.stdout, "bfc\n")
        self.assertIn("XLA_PYTHON_CLIENT_ALLOCATOR is bfc already, which is kept", recording.stderr)

    def test_a_running_process_cannot_be_told(self):
        recording = self.record(options=("--pools=expose", "--pid=1"))
        self.assertEqual(recording.returncode, 2)
        self.assertIn("too late", recording.stderr)


if __name__ == "__main__":
    harness.main()
