"""The offsets that injection/stack knows are those of the interpreters' own headers, wherever an
interpreter and its headers are here. Standard library only."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "hazards"))
import pythons  # noqa: E402

FIGURES = os.environ["FIGURES"]
COMPILER = os.environ.get("CC", "cc")


def figures(text):
    return dict(line.split() for line in text.splitlines())


def from_headers(python, folder):
    """None when its internal headers are not installed."""
    if not os.path.exists(os.path.join(python.include, "internal", "pycore_runtime.h")) and \
            not os.path.exists(os.path.join(python.include, "internal", "pycore_pystate.h")):
        return None
    program = os.path.join(folder, "headers")
    # Debian keeps pyconfig.h apart, under the folder that holds the include folder.
    around = os.path.dirname(python.include)
    includes = [python.include, os.path.join(python.include, "internal"), around,
                os.path.join(around, "x86_64-linux-gnu")]
    subprocess.run([COMPILER, "-w", *(f"-I{folder}" for folder in includes), "-o", program,
                    os.path.join(HERE, "python_layout", "headers.c")], check=True)
    return figures(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


class Layout(unittest.TestCase):
    maxDiff = None

    def test_figures_are_those_of_the_headers(self):
        without = []
        for python in pythons.supported():
            with self.subTest(python=python.name), tempfile.TemporaryDirectory() as folder:
                headers = from_headers(python, folder)
                if headers is None:
                    without.append(python.name)
                    continue
                ours = subprocess.run(
                    [FIGURES, str(python.version[1]), str(int(python.free_threaded))],
                    check=True, capture_output=True, text=True).stdout
                self.assertEqual(figures(ours), headers)
        print("no headers, so not compared:", ", ".join(without) or "none")

    def test_figures_are_whole(self):
        """Also where no headers are: a version has every figure that its chain of frames needs."""
        for minor in range(pythons.OLDEST[1], pythons.NEWEST[1] + 1):
            ours = subprocess.run([FIGURES, str(minor), "0"], check=True, capture_output=True,
                                  text=True).stdout
            zero = {name for name, value in figures(ours).items() if value == "0"}
            # What does lie at the beginning of its structure.
            self.assertLessEqual(zero, {"frame_code", "entry_frame"}, f"3.{minor}")
        unknown = subprocess.run([FIGURES, "15", "0"], capture_output=True, text=True)
        self.assertEqual(unknown.returncode, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
